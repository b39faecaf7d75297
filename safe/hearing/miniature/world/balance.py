"""Choosing questions so that no answer is worn out, and people who answer them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence

import numpy as np

from safe.hearing.miniature.world.scene import COLOURS, INSTRUMENTS, KINDS
from safe.hearing.miniature.world.words import NUMBERS, Question

Weights = Mapping[tuple[str, str], float]
Wording = tuple[str, bool]  # a question's text, and whether it asks for the sound of what is seen


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
    ("Audio-Identity", ("rain", "speech"), 0.6),
    ("Audio-Counting", ("one", "two", "three"), 0.6),
    ("Audio-Existential", ("yes", "no"), 0.8),
    ("Audio-Temporal", INSTRUMENTS, 0.4),
    ("Audio-Temporal", ("rain", "speech"), 0.8),
    ("Audio-Visual-Existential", ("yes", "no"), 0.8),
    # A language model of three layers adds up badly, told or heard: asked less often.
    ("Audio-Visual-Counting", ("one", "two", "three"), 0.3),
    ("Audio-Visual-Counting", ("zero",), 0.5),
    ("Audio-Visual-Location", INSTRUMENTS, 0.25),
    ("Audio-Visual-Location", ("rain", "speech"), 0.35),
    ("Audio-Visual-Temporal", INSTRUMENTS, 0.4),
    ("Audio-Visual-Temporal", ("rain", "speech"), 0.5),
    ("Visual-Counting", ("one", "two", "three"), 0.6),
    ("Visual-Existential", ("yes", "no"), 0.4),
    ("Visual-Location", INSTRUMENTS, 0.5),
)


SIGN = {"yes": 1, "no": -1}


def wording(question: Question, seen: Collection[str]) -> Wording:
    """What must not tell the answer of a yes/no question.

    Args:
        seen: the instruments in the picture.
    """
    return question.text, question.task != "vl" and not set(seen).isdisjoint(question.values)


class Balancer:
    """Picks, of the questions a scene allows, those whose answers were asked least so far.

    Of yes/no questions each wording gets both answers alike, as far as scenes allow; of those about
    a sound, apart for what is seen and for what is not.
    """

    def __init__(self, weights: Weights) -> None:
        self.weights = weights
        self.counts: Counter[tuple[str, str]] = Counter()
        self.recent: Counter[tuple[str, str]] = Counter()
        self.leaning: Counter[Wording] = Counter()  # of each yes/no question: yes less no

    def start_split(self) -> None:
        """Balance what follows within itself, and the whole with what came before."""
        self.recent, self.leaning = Counter(), Counter()

    def pick(
        self,
        questions: Sequence[Question],
        count: int,
        rng: np.random.Generator,
        *,
        paired: bool = False,
        seen: Collection[str] = (),
    ) -> list[Question]:
        """At most `count` different questions; at most one of a type unless types run out.

        Args:
            paired: with each question, where there is one, comes another of its template that has
                another answer, so that neither can be known by its picture or sound alone.
            seen: the instruments in the picture.
        """
        left: dict[tuple[str, str], list[Question]] = {}
        for question in questions:
            left.setdefault((question.type, question.answer), []).append(question)
        chosen: list[Question] = []
        types: Counter[str] = Counter()

        def take(question: Question) -> None:
            key = (question.type, question.answer)
            left[key].remove(question)
            if not left[key]:
                del left[key]
            chosen.append(question)
            self.counts[key] += 1
            self.recent[key] += 1
            types[question.type] += 1
            self.leaning[wording(question, seen)] += SIGN.get(question.answer, 0)

        while left and len(chosen) < count:
            one = self._most_needed(left, types, rng, seen)
            take(one)
            if paired and len(chosen) < count:
                contrasts = {
                    key: [q for q in group if q.name == one.name and q.values != one.values]
                    for key, group in left.items()
                    if key[1] != one.answer
                }
                contrasts = {key: group for key, group in contrasts.items() if group}
                if contrasts:
                    take(self._most_needed(contrasts, types, rng, seen))
        return chosen

    def _most_needed(
        self,
        groups: Mapping[tuple[str, str], Sequence[Question]],
        types: Counter[str],
        rng: np.random.Generator,
        seen: Collection[str],
    ) -> Question:
        keys = list(groups)
        luck = rng.random(len(keys))
        need = [
            (types[key[0]], (self.counts[key] + self.recent[key] + luck[i]) / self.weights[key])
            for i, key in enumerate(keys)
        ]
        group = groups[keys[min(range(len(keys)), key=lambda i: need[i])]]
        # Templates of one type share the answer evenly, however many questions each allows.
        names = sorted({question.name for question in group})
        name = names[rng.integers(len(names))]
        of_name = [question for question in group if question.name == name]
        # "Is there a rain sound?" would be answered "no" four times in five, and a base that knows
        # how often that is so would be right without hearing; so would one that says "yes" to what
        # it sees, as what is seen sounds more often.
        leans = [SIGN.get(q.answer, 0) * self.leaning[wording(q, seen)] for q in of_name]
        least = [q for q, lean in zip(of_name, leans, strict=True) if lean == min(leans)]
        return least[rng.integers(len(least))]


def annotators(question: Question, weights: Weights, rng: np.random.Generator) -> tuple[str, ...]:
    """Ten people's answers: at least seven are right, the others err within the type."""
    others = sorted({a for kind, a in weights if kind == question.type} - {question.answer})
    wrong = int(rng.choice(4, p=(0.6, 0.2, 0.12, 0.08)))
    answers = [question.answer] * 10
    for who in rng.permutation(10)[:wrong]:
        answers[who] = others[rng.integers(len(others))]
    return tuple(answers)
