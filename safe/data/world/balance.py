"""Choosing questions so that no answer is worn out, and people who answer them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from safe.data.world.scene import COLOURS, INSTRUMENTS, KINDS
from safe.data.world.words import NUMBERS, Question

Weights = Mapping[tuple[str, str], float]


def _weights(*rows: tuple[str, Sequence[str], float]) -> dict[tuple[str, str], float]:
    return {(kind, answer): weight for kind, answers, weight in rows for answer in answers}


# Relative frequency of (type, answer). Over types and over answers the sums stay within 1:3.
VQA_WEIGHTS = _weights(
    ("color", tuple(COLOURS), 1),
    ("object", KINDS, 1),
    ("count", NUMBERS, 1.2),
    ("existence", ("yes", "no"), 2.5),
    ("spatial", ("left", "right", "top", "bottom"), 1),
)
GQA_WEIGHTS = _weights(
    ("query-attr", tuple(COLOURS), 0.5),
    ("choose-attr", tuple(COLOURS), 0.5),
    ("query-obj", KINDS, 0.55),
    ("choose-obj", KINDS, 0.45),
    ("verify-attr", ("yes", "no"), 0.8),
    ("verify-obj", ("yes", "no"), 0.8),
    ("choose-rel", ("left", "right", "top", "bottom"), 0.75),
)
VIDEO_WEIGHTS = _weights(
    ("Audio-Identity", INSTRUMENTS, 0.3),
    ("Audio-Identity", ("rain", "speech"), 0.5),
    ("Audio-Counting", ("one", "two", "three"), 0.8),
    ("Audio-Existential", ("yes", "no"), 0.6),
    ("Audio-Temporal", INSTRUMENTS, 0.4),
    ("Audio-Temporal", ("rain", "speech"), 0.6),
    ("Audio-Visual-Existential", ("yes", "no"), 0.6),
    ("Audio-Visual-Counting", ("one", "two", "three"), 0.6),
    ("Audio-Visual-Counting", ("zero",), 0.75),
    ("Audio-Visual-Location", ("left", "right"), 0.8),
    ("Audio-Visual-Temporal", INSTRUMENTS, 0.4),
    ("Visual-Counting", ("one", "two", "three"), 0.6),
    ("Visual-Existential", ("yes", "no"), 0.4),
    ("Visual-Location", INSTRUMENTS, 0.5),
)


class Balancer:
    """Picks, of the questions a scene allows, those whose answers were asked least so far."""

    def __init__(self, weights: Weights) -> None:
        self.weights = weights
        self.counts: Counter[tuple[str, str]] = Counter()
        self.recent: Counter[tuple[str, str]] = Counter()

    def start_split(self) -> None:
        """Balance what follows within itself, and the whole with what came before."""
        self.recent = Counter()

    def pick(
        self, questions: Sequence[Question], count: int, rng: np.random.Generator
    ) -> list[Question]:
        """At most `count` different questions; at most one of a type unless types run out."""
        groups: dict[tuple[str, str], list[Question]] = {}
        for question in questions:
            groups.setdefault((question.type, question.answer), []).append(question)
        chosen: list[Question] = []
        types: Counter[str] = Counter()
        while groups and len(chosen) < count:
            keys = list(groups)
            luck = rng.random(len(keys))
            need = [
                (
                    types[key[0]],
                    (self.counts[key] + self.recent[key] + luck[i]) / self.weights[key],
                )
                for i, key in enumerate(keys)
            ]
            key = keys[min(range(len(keys)), key=lambda i: need[i])]
            group = groups[key]
            # Templates of one type share the answer evenly, however many questions each allows.
            names = sorted({question.name for question in group})
            name = names[rng.integers(len(names))]
            of_name = [question for question in group if question.name == name]
            chosen.append(of_name[rng.integers(len(of_name))])
            group.remove(chosen[-1])
            if not group:
                del groups[key]
            self.counts[key] += 1
            self.recent[key] += 1
            types[key[0]] += 1
        return chosen


def annotators(question: Question, weights: Weights, rng: np.random.Generator) -> tuple[str, ...]:
    """Ten people's answers: at least seven are right, the others err within the type."""
    others = sorted({a for kind, a in weights if kind == question.type} - {question.answer})
    wrong = int(rng.choice(4, p=(0.6, 0.2, 0.12, 0.08)))
    answers = [question.answer] * 10
    for who in rng.permutation(10)[:wrong]:
        answers[who] = others[rng.integers(len(others))]
    return tuple(answers)
