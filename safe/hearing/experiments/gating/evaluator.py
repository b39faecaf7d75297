"""Evaluator of experiment 05: answers, gates and times questions paired with a sound."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from safe.hearing.config import RunConfig
from safe.hearing.evaluation.gate_curve import Outcomes
from safe.hearing.evaluation.latency import interleaved
from safe.hearing.evaluation.learning import same_answer
from safe.hearing.experiments.gating.config import GatingSettings
from safe.hearing.models.gating import POLICIES, Gate, GateRequest
from safe.hearing.models.probe import Trace, trace
from safe.hearing.training.batching import Feeder, batches
from safe.hearing.training.collate import Example, TextEncoder, waveforms
from safe.hearing.training.features import Features
from safe.hearing.training.frozen_models import OpenedBase, open_plain_vlm
from safe.hearing.training.gating_eval_set import (
    HEARING,
    GatingEvalSet,
    gating_eval_set,
    split_sources,
)

MODES = ("gated", "all consult", "none consult", "always off", "always on")
COUNTED = {True: 8, False: 4}  # skipped or not -> number of timed questions with FLOPs counted


class ScoreRecorder:
    """Gate that records every policy's scores and always skips."""

    def __init__(self) -> None:
        self.scores: dict[str, Tensor] = {}

    def decide(self, request: GateRequest) -> Tensor:
        logits = request.base_logits()
        self.scores = {kind: policy.score(logits) for kind, policy in POLICIES.items()}
        return torch.zeros(request.rows, dtype=torch.bool)


@dataclass(frozen=True)
class FixedDecision:
    """Runs the gate for its cost, then makes a fixed decision for every example."""

    gate: Gate
    consult: bool

    def decide(self, request: GateRequest) -> Tensor:
        return torch.full_like(self.gate.decide(request), self.consult)


@dataclass(frozen=True)
class Cost:
    """Cost of single questions, run one at a time.

    Attributes:
        ids, skipped: question ids; whether the gate skips each question.
        seconds: name in `WAYS` -> (questions, repeats).
        counted: indices of the questions whose FLOPs were counted.
        flops: name in `WAYS` -> floating-point operations of each counted question.
        heard: for each counted question, the calls of audio encoder, projector or LoRA made by the
            gated answer.
    """

    ids: list[str]
    skipped: list[bool]
    seconds: dict[str, np.ndarray]
    counted: list[int]
    flops: dict[str, list[int]]
    heard: list[int]


def outcomes_of(table: Sequence[Mapping[str, Any]]) -> Outcomes:
    """Convert the columns of the table to arrays."""

    def column(name: str) -> np.ndarray:
        return np.array([row[name] for row in table])

    return Outcomes(
        ids=tuple(row["id"] for row in table),
        sources=tuple(row["source"] for row in table),
        needs_audio=np.isin(column("task"), HEARING),
        scores={kind: column(kind) for kind in POLICIES},
        off=column("off_correct"),
        on=column("on_correct"),
        same=np.array([row["off_tokens"] == row["on_tokens"] for row in table]),
    )


class GatingEvaluator:
    """The trained adapter on its base, and a separately loaded plain base."""

    def __init__(
        self, config: RunConfig, manifest: Path, adapter: Path, opened: OpenedBase
    ) -> None:
        self.config, self.manifest, self.opened = config, manifest, opened
        self.model = opened.load(adapter)
        self.plain = open_plain_vlm(config)  # a separate copy to compare SAFE with
        self.features = Features(opened, config.cache, self.model.projector.input_kind)
        self.encoder = TextEncoder(opened.vlm, opened.processor)
        self.feeder = Feeder(self.model, self.features, self.encoder)
        self._test_sources = split_sources(manifest, "test")

    def eval_set(self, split: str) -> GatingEvalSet:
        """Questions of a split; for splits other than test, without sources that test uses."""
        return gating_eval_set(
            self.config,
            self.manifest,
            split,
            self.features,
            self.encoder,
            items=GatingSettings.of(self.config).items,
            apart_from=frozenset() if split == "test" else self._test_sources,
        )

    def _options(self, rows: Sequence[Example]) -> dict[str, Any]:
        return {"max_new_tokens": max(len(r.answer) for r in rows), "do_sample": False}

    def _batch(self, rows: Sequence[Example]) -> tuple[dict[str, Tensor], Tensor]:
        """Inputs of a plain call from the pictures, and the audio encoder's features."""
        sounds = self.features.audio([r.heard for r in rows])
        return self.feeder.plain(rows), sounds.to(self.model.device)

    def answers(self, sequences: Tensor, prompt: int) -> tuple[list[str], list[list[int]]]:
        """Return texts, and new tokens without trailing padding."""
        return self.encoder.decode(sequences, prompt), self.encoder.new_tokens(sequences, prompt)

    def tabulate(self, rows: Sequence[Example]) -> list[dict[str, Any]]:
        """Table of each question's scores and its answers with the gate OFF and ON."""
        options, table = self._options(rows), []
        for batch in tqdm(list(batches(rows)), "both answers", unit="batch"):
            inputs, sounds = self._batch(batch)
            prompt, recorder = inputs["input_ids"].shape[1], ScoreRecorder()
            answered: dict[str, Any] = {}
            for name, gate in (("off", recorder), ("on", True)):
                done = self.model.generate(**inputs, audio=sounds, gate=gate, **options)
                answered[name], answered[f"{name}_tokens"] = self.answers(done.sequences, prompt)
            for i, row in enumerate(batch):
                given = {name: values[i] for name, values in answered.items()}
                table.append(
                    {
                        "id": row.sample.id,
                        "source": row.sample.source,
                        "image_source": row.sample.image_source,
                        "heard_source": row.heard.source,
                        "task": row.sample.task,
                        "split": row.sample.split,
                        "question_type": row.sample.question_type,
                        **{kind: float(s[i]) for kind, s in recorder.scores.items()},
                        "answer": row.sample.answer,
                        **given,
                        "off_correct": same_answer(given["off"], row.sample.answer),
                        "on_correct": same_answer(given["on"], row.sample.answer),
                    }
                )
        return table

    def waves(self, rows: Sequence[Example]) -> list[np.ndarray]:
        """Decoded waveforms of the sounds."""
        return waveforms(rows, self.opened.audio_encoder.sampling_rate)

    def answer_gated(
        self, rows: Sequence[Example], gate: Gate, *, with_waveforms: bool = False
    ) -> list[dict[str, Any]]:
        """Run the gate on mixed batches; compare skipped examples with a plain call of the base.

        Args:
            glances: the gate needs waveforms, so these are passed instead of cached features.
        """
        options, table = self._options(rows), []
        for batch in tqdm(list(batches(rows)), "gated answers", unit="batch"):
            inputs, cached = self._batch(batch)
            sounds: Any = self.waves(batch) if with_waveforms else cached
            prompt = inputs["input_ids"].shape[1]
            done = self.model.generate(**inputs, audio=sounds, gate=gate, **options)
            texts, tokens = self.answers(done.sequences, prompt)
            off = done.consultation.off
            by_base: dict[int, list[int]] = {}
            if off:
                alone = {name: value[off] for name, value in inputs.items()}
                plain = self.answers(self.plain.generate(**alone, **options), prompt)[1]
                by_base = dict(zip(off, plain, strict=True))
            consulted, counts = done.consultation.mask(), done.consultation.counts()
            table += [
                {
                    "id": row.sample.id,
                    "task": row.sample.task,
                    "consulted": consulted[i],
                    "tokens_heard": counts[i],
                    "gated": texts[i],
                    "gated_tokens": tokens[i],
                    "gated_correct": same_answer(texts[i], row.sample.answer),
                    "as_the_base": None if consulted[i] else tokens[i] == by_base[i],
                }
                for i, row in enumerate(batch)
            ]
        return table

    # -- what it costs -------------------------------------------------------------------------

    @torch.no_grad()
    def cost(self, rows: Sequence[Example], gate: Gate, *, repeats: int) -> Cost:
        """Time single questions: gated, with the gate's decision overridden, and without a gate.

        Sounds are decoded beforehand and passed as waveforms. "none consult" gets no sound, so that
        any use of audio would be noticed.
        """
        seconds: dict[str, list[list[float]]] = {mode: [] for mode in MODES}
        flops: dict[str, list[int]] = {mode: [] for mode in MODES}
        skipped: list[bool] = []
        counted: list[int] = []
        heard: list[int] = []
        for number, row in enumerate(tqdm(rows, "timing", unit="question")):
            calls = self._calls(row, gate)
            skipped.append(not calls["gated"]().consultation.on)
            if sum(skipped[i] == skipped[number] for i in counted) < COUNTED[skipped[number]]:
                counted.append(number)
                work = {mode: self._trace(call) for mode, call in calls.items()}
                for mode in MODES:
                    flops[mode].append(work[mode].flops)
                beyond = [n for name, n in work["gated"].calls.items() if name.startswith("+")]
                heard.append(sum(beyond))
            taken = interleaved(list(calls.values()), self.model.device, repeats=repeats)
            for mode, values in zip(calls, zip(*taken, strict=True), strict=True):
                seconds[mode].append(list(values))
        arrays = {mode: np.array(values) for mode, values in seconds.items()}
        return Cost([r.sample.id for r in rows], skipped, arrays, counted, flops, heard)

    def _trace(self, call: Callable[[], Any]) -> Trace:
        """Trace a call; names of modules outside the base start with `+`."""
        return trace(call, self.model.base, wrapper=self.model, tensor_ops=False)

    def _calls(self, row: Example, gate: Gate) -> dict[str, Callable[[], Any]]:
        inputs, options = self.feeder.plain([row]), self._options([row])
        (wave,) = self.waves([row])

        def call(gate: Any, sound: Any) -> Callable[[], Any]:
            return lambda: self.model.generate(**inputs, gate=gate, audio=sound, **options)

        modes = {
            "gated": (gate, [wave]),
            "all consult": (FixedDecision(gate, True), [wave]),
            "none consult": (FixedDecision(gate, False), None),
            "always off": (False, [wave]),
            "always on": (True, [wave]),
        }
        return {mode: call(*modes[mode]) for mode in MODES}
