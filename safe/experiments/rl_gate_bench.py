"""The bench of experiment 12: every action tried on every question, and what actions cost."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from safe.evaluation.latency import interleaved
from safe.evaluation.learning import same_answer
from safe.experiments.gating_bench import GateBench
from safe.models.gating import POLICIES, EntropyGate, GateRequest, Tokens
from safe.models.policy import features_of
from safe.models.preview import preview
from safe.training.collate import Row
from safe.training.feeding import batches


class Noting:
    """Notes the state that a learned gate would decide by, and lets nobody consult."""

    def __init__(self, preview_B4: Tensor) -> None:
        self.preview_B4 = preview_B4
        self.features = torch.empty(0)
        self.scores: dict[str, list[float]] = {}

    def decide(self, request: GateRequest) -> Tensor:
        look = request.look()
        self.features = features_of(look, self.preview_B4)
        self.scores = {kind: p.score(look.logits).tolist() for kind, p in POLICIES.items()}
        return torch.zeros(request.rows, dtype=torch.int64)


# What gates look at before they decide.
HEURISTIC, LEARNED, GLANCING = "heuristic", "learned", "glancing"


@dataclass(frozen=True)
class Decided:
    """Looks at all that its kind of gate looks at, in the time that takes; the action is given."""

    tokens: int
    kind: str

    def decide(self, request: GateRequest) -> Tensor:
        if self.kind == HEURISTIC:
            EntropyGate(threshold=0.0).decide(request)
        else:
            preview = request.preview() if self.kind == GLANCING else None
            state = features_of(request.look(), preview)
            (state @ torch.zeros(state.shape[1], 3, dtype=state.dtype)).argmax(dim=1)
        return torch.full((request.rows,), self.tokens, dtype=torch.int64)


def way(kind: str, tokens: int) -> str:
    """The name under which an action's seconds stand."""
    return f"{kind} {tokens}"


class ActionBench(GateBench):
    """An adapter on its base, under every action."""

    def outcomes(self, rows: Sequence[Row], actions: Sequence[int]) -> list[dict[str, Any]]:
        """For each question: the state before listening, and whether each action answers it.

        Columns `right_K` are for K audio tokens, 0 to skip; `state` is what `features_of` gives.
        """
        options, table = self._options(rows), []
        rate = self.opened.ear.sampling_rate
        for batch in tqdm(list(batches(rows)), "every action", unit="batch"):
            inputs, sounds = self._batch(batch)
            noting = Noting(torch.from_numpy(preview(self.waves(batch), rate)))
            prompt = inputs["input_ids"].shape[1]
            right: dict[int, list[bool]] = {}
            for action in actions:
                gate = Tokens((action,) * len(batch)) if action else noting
                done = self.model.generate(**inputs, audio=sounds, gate=gate, **options)
                texts, _ = self._answers(done.sequences, prompt)
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
                    **{kind: scores[i] for kind, scores in noting.scores.items()},
                    **{f"right_{action}": answers[i] for action, answers in right.items()},
                    "state": noting.features[i].tolist(),
                }
                for i, row in enumerate(batch)
            ]
        return table

    @torch.no_grad()
    def seconds(
        self, rows: Sequence[Row], actions: Sequence[int], *, repeats: int
    ) -> dict[str, float]:
        """Seconds of a single question, from decoded picture and sound to the answer.

        The median over questions, each at its fastest of `repeats` turns: what else a machine does
        only adds.

        Of every action under a learned gate, whose look is part of it, with a glance at the sound
        and without; of skipping and of hearing everything under a gate that looks at the base's
        uncertainty alone; and of always ON and always OFF, which look at nothing.
        """
        found: dict[str, list[float]] = {}
        for row in tqdm(rows, "timing actions", unit="question"):
            inputs, options = self.feeder.plain([row]), self._options([row])
            sounds = self.waves([row])

            def call(gate: Any, i: Any = inputs, s: Any = sounds, o: Any = options) -> Any:
                return lambda: self.model.generate(**i, audio=s, gate=gate, **o)

            calls: dict[str, Callable[[], Any]] = {
                **{way(n, k): call(Decided(k, n)) for n in (LEARNED, GLANCING) for k in actions},
                **{way(HEURISTIC, k): call(Decided(k, HEURISTIC)) for k in (0, actions[-1])},
                "always off": call(False),
                "always on": call(True),
            }
            turns = interleaved(list(calls.values()), self.model.device, repeats=repeats)
            for name, taken in zip(calls, zip(*turns, strict=True), strict=True):
                found.setdefault(name, []).append(min(taken))
        return {name: median(values) for name, values in found.items()}
