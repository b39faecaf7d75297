"""Evaluator of experiment 12: outcome of every action on every question, and latencies."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from safe.hearing.evaluation.latency import interleaved
from safe.hearing.evaluation.learning import same_answer
from safe.hearing.experiments.gating.evaluator import GatingEvaluator
from safe.hearing.models.audio_summary import audio_summary
from safe.hearing.models.gating import POLICIES, EntropyGate, Gate, GateRequest, Tokens
from safe.hearing.models.policy import (
    GLANCE,
    VIEWS,
    LearnedGate,
    PolicyRecord,
    feature_names,
    features_of,
)
from safe.hearing.training.batching import batches
from safe.hearing.training.collate import Example


class FeatureRecorder:
    """Gate that records a learned gate's input features and always skips."""

    def __init__(self, summary_B4: Tensor) -> None:
        self.summary_B4 = summary_B4
        self.features = torch.empty(0)
        self.scores: dict[str, list[float]] = {}

    def decide(self, request: GateRequest) -> Tensor:
        self.features = features_of(replace(request, audio_summary=lambda: self.summary_B4), GLANCE)
        logits = request.base_logits()
        self.scores = {kind: p.score(logits).tolist() for kind, p in POLICIES.items()}
        return torch.zeros(request.rows, dtype=torch.int64)


HEURISTIC = "heuristic"  # uses only the base's uncertainty


@dataclass(frozen=True)
class FixedAction:
    """Runs a gate for its latency, then takes a fixed action."""

    gate: Gate
    tokens: int

    def decide(self, request: GateRequest) -> Tensor:
        self.gate.decide(request)
        return torch.full((request.rows,), self.tokens, dtype=torch.int64)


def undecided(view: str, width: int, actions: Sequence[int]) -> LearnedGate:
    """Learned gate with zero weights, for timing; `width` is the language model's width."""
    names = feature_names(width, view)
    none = "0" * 64
    record = PolicyRecord(
        actions=tuple(actions),
        features=tuple(names),
        price=0.0,
        base=none,
        adapter=none,
        trained_on=none,
    )
    ones = torch.ones(len(names), dtype=torch.float64)
    weight = torch.zeros(len(actions), len(names), dtype=torch.float64)
    return LearnedGate(record, 0 * ones, ones, weight, weight[:, 0])


def timing_key(kind: str, tokens: int) -> str:
    """Key of an action's latency; `kind` is a view or `HEURISTIC`."""
    return f"{kind} {tokens}"


class ActionEvaluator(GatingEvaluator):
    """Evaluates an adapter on its base under every action."""

    def outcomes(self, rows: Sequence[Example], actions: Sequence[int]) -> list[dict[str, Any]]:
        """Table of each question's features and the correctness of each action.

        Column `right_K` is for K audio tokens, 0 for skipping. `state` is the output of
        `features_of`.
        """
        options, table = self._options(rows), []
        rate = self.opened.audio_encoder.sampling_rate
        for batch in tqdm(list(batches(rows)), "every action", unit="batch"):
            inputs, sounds = self._batch(batch)
            recorder = FeatureRecorder(torch.from_numpy(audio_summary(self.waves(batch), rate)))
            prompt = inputs["input_ids"].shape[1]
            right: dict[int, list[bool]] = {}
            for action in actions:
                gate = Tokens((action,) * len(batch)) if action else recorder
                done = self.model.generate(**inputs, audio=sounds, gate=gate, **options)
                texts, _ = self.answers(done.sequences, prompt)
                right[action] = [
                    same_answer(text, row.sample.answer)
                    for text, row in zip(texts, batch, strict=True)
                ]
            table += [
                {
                    "id": row.sample.id,
                    "split": row.sample.split,
                    "task": row.sample.task,
                    "source": row.sample.source,
                    "image_source": row.sample.image_source,
                    "heard_source": row.heard.source,
                    **{kind: scores[i] for kind, scores in recorder.scores.items()},
                    **{f"right_{action}": answers[i] for action, answers in right.items()},
                    "state": recorder.features[i].tolist(),
                }
                for i, row in enumerate(batch)
            ]
        return table

    @torch.no_grad()
    def seconds(
        self, rows: Sequence[Example], actions: Sequence[int], *, repeats: int
    ) -> dict[str, float]:
        """Seconds of a single question, from decoded picture and sound to the answer.

        Median over questions of the minimum of `repeats` runs. Background load only increases
        latency, so the minimum is used.

        Timed are: every action under a learned gate of each view, including the gate's decision;
        skipping and using all audio tokens under a gate that uses only the base's uncertainty; and
        always ON and always OFF, which decide nothing.
        """
        found: dict[str, list[float]] = {}
        width = self.model.base.get_input_embeddings().embedding_dim
        learned = {view: undecided(view, width, actions) for view in VIEWS}
        plain = EntropyGate(threshold=0.0)
        for row in tqdm(rows, "timing actions", unit="question"):
            inputs, options = self.feeder.plain([row]), self._options([row])
            sounds = self.waves([row])

            def call(gate: Any, i: Any = inputs, s: Any = sounds, o: Any = options) -> Any:
                return lambda: self.model.generate(**i, audio=s, gate=gate, **o)

            calls: dict[str, Callable[[], Any]] = {
                **{
                    timing_key(v, k): call(FixedAction(g, k))
                    for v, g in learned.items()
                    for k in actions
                },
                **{timing_key(HEURISTIC, k): call(FixedAction(plain, k)) for k in (0, actions[-1])},
                "always off": call(False),
                "always on": call(True),
            }
            turns = interleaved(list(calls.values()), self.model.device, repeats=repeats)
            for name, taken in zip(calls, zip(*turns, strict=True), strict=True):
                found.setdefault(name, []).append(min(taken))
        return {name: median(values) for name, values in found.items()}
