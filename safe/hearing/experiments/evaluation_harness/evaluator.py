"""Evaluator of experiment 07: generates answers with clean and degraded sounds."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from safe.hearing.config import RunConfig
from safe.hearing.data.decode import load_audio
from safe.hearing.data.layouts import metric_of
from safe.hearing.data.manifest import load_samples
from safe.hearing.data.sample import Sample
from safe.hearing.evaluation.sound_quality import Condition
from safe.hearing.experiments.evaluation_harness.config import EvaluationSettings
from safe.hearing.experiments.gating.evaluator import GatingEvaluator
from safe.hearing.models.audio import Audio
from safe.hearing.models.gating import POLICIES, Gate, GateLike, GateRequest, as_gate
from safe.hearing.training.background_noise import background_noise
from safe.hearing.training.batching import EVALUATE
from safe.hearing.training.collate import Example
from safe.hearing.training.frozen_models import OpenedBase
from safe.hearing.training.gating_eval_set import HEARING

Table = list[dict[str, Any]]
Sounds = Callable[[Sequence[Example]], Audio]


@dataclass(frozen=True)
class GeneratedAnswer:
    """A generated answer.

    Attributes:
        text, tokens: as generated, without padding.
        consulted: whether the audio was used.
        scores: policy kind -> uncertainty score of the base.
    """

    text: str
    tokens: tuple[int, ...]
    consulted: bool
    scores: dict[str, float]


class RecordingGate:
    """Wraps a gate and records every policy's scores."""

    def __init__(self, gate: GateLike) -> None:
        self.gate: Gate = as_gate(gate)
        self.scores: dict[str, list[float]] = {}

    def decide(self, request: GateRequest) -> Tensor:
        logits = request.base_logits()
        self.scores = {kind: policy.score(logits).tolist() for kind, policy in POLICIES.items()}
        return self.gate.decide(request)


def unanswered(row: Example) -> Example:
    """Return the example without its answer and labels, as used for generation."""
    sample = dataclasses.replace(row.sample, answer="", answers=(), labels={}, events=())
    return dataclasses.replace(row, sample=sample, answer=())


class HarnessEvaluator:
    """The trained adapter, and test questions that are paired with a sound."""

    def __init__(
        self, config: RunConfig, manifest: Path, adapter: Path, opened: OpenedBase
    ) -> None:
        self.config = config
        self.gated = GatingEvaluator(config, manifest, adapter, opened)
        self.model, self.feeder = self.gated.model, self.gated.feeder
        self.features, self.encoder = self.gated.features, self.gated.encoder
        self.rate = opened.audio_encoder.sampling_rate
        self.layouts = {dataset.name: dataset.layout for dataset in config.datasets}
        self.rules = {
            dataset.name: import_module(f"safe.hearing.evaluation.{metric_of(dataset)}")
            for dataset in config.datasets
        }
        self._background = background_noise(
            config.cache, config.seed + 2
        )  # seed unique to this experiment
        self._waves: dict[str, np.ndarray] = {}

    def rows(self) -> tuple[list[Example], list[Example]]:
        """Audio questions, and picture questions paired with another example's sound.

        If the test split has too few picture questions, validation questions are added: resolving
        0.5 points needs thousands. No training or selection used their answers.
        """
        eval_set = self.gated.eval_set("test").rows
        self.features.ensure([], self._background)
        limits = EvaluationSettings.of(self.config)
        audio_examples = [r for r in eval_set if r.sample.task in HEARING][: limits.audio_items]
        vl_examples = [r for r in eval_set if r.sample.task not in HEARING]
        if len(vl_examples) < limits.vl_items:
            others = self.gated.eval_set("val").rows
            vl_examples += [r for r in others if r.sample.task not in HEARING]
        return audio_examples, vl_examples[: limits.vl_items]

    def validation_rows(self) -> list[Example]:
        """Validation picture questions of datasets without a test split with answers."""
        tested = {d.name for d in self.config.datasets if "test" in d.splits}
        found: dict[str, list[Sample]] = {}
        for sample in load_samples(self.gated.manifest, split="val", task="vl"):
            if sample.dataset not in tested:
                found.setdefault(sample.dataset, []).append(sample)
        rng = np.random.default_rng([self.config.seed, 12])
        chosen = [
            samples[i]
            for _, samples in sorted(found.items())
            for i in rng.permutation(len(samples))[: EvaluationSettings.of(self.config).vl_items]
        ]
        self.features.ensure(chosen, [])
        return [self.encoder.row(s, s) for s in self.features.usable(chosen)]

    def score(self, sample: Sample, answer: str) -> float:
        """Score an answer in [0, 1] by the metric of the sample's dataset."""
        return float(self.rules[sample.dataset].item_accuracy(answer, sample.answers))

    # -- sounds --------------------------------------------------------------------------------

    def background(self, rows: Sequence[Example]) -> list[Example]:
        """Return the same questions, each paired with near-silence."""
        background = self.features.usable(self._background)
        return [
            dataclasses.replace(row, heard=background[i % len(background)])
            for i, row in enumerate(rows)
        ]

    def cached(self, rows: Sequence[Example]) -> Tensor:
        """Audio-encoder features of the examples' sounds."""
        return self.features.audio([r.heard for r in rows]).to(self.model.device)

    def through(self, condition: Condition) -> Sounds:
        """Return a function that gives the examples' waveforms, degraded by `condition`."""

        def sounds(rows: Sequence[Example]) -> list[np.ndarray | None]:
            return [
                condition.degrade(self._wave(row), np.random.default_rng(_number(row)))
                for row in rows
            ]

        return sounds

    def _wave(self, row: Example) -> np.ndarray:
        if row.heard.id not in self._waves:
            assert row.heard.audio is not None
            self._waves[row.heard.id] = load_audio(row.heard.audio, self.rate)
        return self._waves[row.heard.id]

    # -- answers -------------------------------------------------------------------------------

    @torch.no_grad()
    def base(self, rows: Sequence[Example]) -> list[GeneratedAnswer]:
        """Answers of the separately loaded base to picture and question."""
        found = []
        for batch in self._asked(rows, EVALUATE, "the base"):
            inputs = self.feeder.plain(batch)
            done = self.gated.plain.generate(**inputs, **self._options)
            texts, tokens = self.gated.answers(done, inputs["input_ids"].shape[1])
            found += [
                GeneratedAnswer(t, tuple(n), False, {}) for t, n in zip(texts, tokens, strict=True)
            ]
        return found

    @torch.no_grad()
    def answer(
        self,
        rows: Sequence[Example],
        gate: GateLike,
        sounds: Sounds | None = None,
        *,
        batch: int = EVALUATE,
        said: str = "answers",
    ) -> list[GeneratedAnswer]:
        """SAFE's greedy answers under a gate, in input order; cached features if no `sounds`."""
        found = []
        for asked in self._asked(rows, batch, said):
            watched = RecordingGate(gate)
            inputs = self.feeder.plain(asked)
            audio = (sounds or self.cached)(asked)
            done = self.model.generate(**inputs, audio=audio, gate=watched, **self._options)
            texts, tokens = self.gated.answers(done.sequences, inputs["input_ids"].shape[1])
            mask = done.consultation.mask()
            found += [
                GeneratedAnswer(
                    texts[i],
                    tuple(tokens[i]),
                    mask[i],
                    {kind: scores[i] for kind, scores in watched.scores.items()},
                )
                for i in range(len(asked))
            ]
        return found

    @torch.no_grad()
    def log_probabilities(
        self, rows: Sequence[Example], gate: GateLike, *, batch: int = EVALUATE
    ) -> list[float]:
        """Log-probability in nats of each correct answer under a gate, summed over its tokens."""
        found: list[float] = []
        for start in range(0, len(rows), batch):
            some = rows[start : start + batch]
            answers = self.encoder.answers(some).items()
            inputs: dict[str, Any] = {**self.feeder.plain(some)}
            inputs |= {name: value.to(self.model.device) for name, value in answers}
            nats = self.model.score(**inputs, audio=self.cached(some), gate=gate)
            found += nats.double().sum(dim=1).tolist()
        return found

    @property
    def _options(self) -> dict[str, Any]:
        return {
            "max_new_tokens": EvaluationSettings.of(self.config).max_new_tokens,
            "do_sample": False,
        }

    def _asked(self, rows: Sequence[Example], size: int, said: str) -> Any:
        asked = [unanswered(row) for row in rows]
        parts = [asked[start : start + size] for start in range(0, len(asked), size)]
        return tqdm(parts, said, unit="batch")


def _number(row: Example) -> list[int]:
    """Seed from the example id, so that noise does not depend on the order of examples."""
    return list(row.sample.id.encode())
