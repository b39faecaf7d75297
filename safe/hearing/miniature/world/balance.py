"""Selection of questions with balanced answers, and simulated annotators."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence

import numpy as np

from safe.hearing.miniature.world.scene import COLOURS, INSTRUMENTS, KINDS
from safe.hearing.miniature.world.words import NUMBERS, Question

Weights = Mapping[tuple[str, str], float]
Wording = tuple[str, bool]  # question text; whether it asks for the sound of a visible instrument


def _weights(*rows: tuple[str, Sequence[str], float]) -> dict[tuple[str, str], float]:
    return {(kind, answer): weight for kind, answers, weight in rows for answer in answers}


# Relative frequency of (type, answer). Sums over types and over answers are within 1:3.
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
    # Rarer, because a three-layer language model counts badly, from descriptions and from audio.
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
    """Return the features of a yes/no question that must not predict its answer.

    Args:
        seen: the instruments in the picture.
    """
    return question.text, question.task != "vl" and not set(seen).isdisjoint(question.values)


class Balancer:
    """Selects, from the possible questions of a scene, those with the rarest answers so far.

    Each wording of a yes/no question gets both answers equally often, as far as the scenes allow.
    For questions about a sound, visible and invisible sources are balanced separately.
    """

    def __init__(self, weights: Weights) -> None:
        self.weights = weights
        self.counts: Counter[tuple[str, str]] = Counter()
        self.recent: Counter[tuple[str, str]] = Counter()
        self.leaning: Counter[Wording] = Counter()  # yes/no questions: count of yes minus no

    def start_split(self) -> None:
        """Start a split: balance it separately, and also together with the earlier splits."""
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
        """Pick at most `count` different questions; at most one per type unless types run out.

        Args:
            paired: add to each question one with the same template and another answer, if there is
                one, so that the picture or sound alone does not determine the answer.
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
        # Templates of one type are equally likely, regardless of their numbers of questions.
        names = sorted({question.name for question in group})
        name = names[rng.integers(len(names))]
        of_name = [question for question in group if question.name == name]
        # Otherwise "Is there a rain sound?" has the answer "no" in four of five cases, and a base
        # could guess it without audio. It could also answer "yes" for visible instruments, which
        # sound more often.
        leans = [SIGN.get(q.answer, 0) * self.leaning[wording(q, seen)] for q in of_name]
        least = [q for q, lean in zip(of_name, leans, strict=True) if lean == min(leans)]
        return least[rng.integers(len(least))]


def annotators(question: Question, weights: Weights, rng: np.random.Generator) -> tuple[str, ...]:
    """Return ten annotators' answers: at least seven correct, the others wrong but of the type."""
    others = sorted({a for kind, a in weights if kind == question.type} - {question.answer})
    wrong = int(rng.choice(4, p=(0.6, 0.2, 0.12, 0.08)))
    answers = [question.answer] * 10
    for who in rng.permutation(10)[:wrong]:
        answers[who] = others[rng.integers(len(others))]
    return tuple(answers)
