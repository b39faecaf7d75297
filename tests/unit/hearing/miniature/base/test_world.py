"""Training material of the world base: pictures do not reveal what sounds."""

import numpy as np
import pytest

from safe.hearing.miniature.base.world import WorldMaterial
from safe.hearing.miniature.world.scene import KINDS
from safe.hearing.miniature.world.sound import SOUNDS


@pytest.fixture(scope="module")
def seen():
    return WorldMaterial(pictures=3000, sounds=1, seed=0).seen()


def shown(seen, item, label):
    """Whether the picture of a question shows the object that the question names."""
    kinds = {KINDS[kind] for kind, _, _ in seen.cells[item.picture].tolist() if kind < len(KINDS)}
    return label in kinds


@pytest.mark.parametrize("told", [False, True])
def test_picture_does_not_reveal_whether_its_object_sounds(seen, told):
    by_answer = {"yes": [], "no": []}
    for item in seen.asked:
        if item.kind == "heard_exists" and bool(item.told) == told:
            (label,) = (s for s in SOUNDS if s in item.question.lower().split())
            by_answer[item.answer].append(shown(seen, item, label))
    assert min(map(len, by_answer.values())) > 100
    shares = {answer: np.mean(found) for answer, found in by_answer.items()}
    assert abs(shares["yes"] - shares["no"]) < 0.15, shares
