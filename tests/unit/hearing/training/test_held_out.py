"""Selection of training examples from all candidates."""

import dataclasses

import numpy as np
import pytest

from safe.hearing.data.sample import Sample
from safe.hearing.training.held_out import pick


class Usable:
    """Replacement for `Features`: the media of all samples except `broken` are usable."""

    def __init__(self, broken=()):
        self.broken, self.encoded = set(broken), []

    def ensure(self, images, sounds):
        self.encoded.append((len(images), len(sounds)))

    def usable(self, samples):
        return [s for s in samples if s.source not in self.broken]


def about(source, image_source="", question="What is the sum?", number=0):
    return Sample(
        id=f"{source}/{image_source}/{question}/{number}",
        dataset="d",
        split="test",
        task="av",
        question=question,
        question_type="sum",
        answers=("two",),
        answer="two",
        source=source,
        image_source=image_source,
    )


def picked(candidates, wanted=100, features=None, *, audible=True):
    rng = np.random.default_rng(0)
    return pick(candidates, wanted, features or Usable(), rng, audible=audible)


def test_question_about_a_recording_is_taken_once():
    candidates = [about("r1", number=n) for n in range(3)] + [about("r1", question="How many?")]
    assert {s.question for s in picked(candidates)} == {"What is the sum?", "How many?"}
    assert len(picked(candidates)) == 2


def test_recording_with_another_picture_is_another_question():
    pairs = [about(f"r{n % 2}", f"i{n}") for n in range(6)]
    assert sorted(s.id for s in picked(pairs)) == sorted(s.id for s in pairs)
    again = [dataclasses.replace(pair, id=f"{pair.id} again") for pair in pairs]
    assert len(picked(pairs + again)) == len(pairs)


@pytest.mark.parametrize("audible", [True, False])
def test_unusable_samples_are_replaced(audible):
    features = Usable(broken={f"r{n}" for n in range(10)})
    found = picked([about(f"r{n}") for n in range(20)], 8, features, audible=audible)
    assert len(found) == 8
    assert {s.source for s in found} <= {f"r{n}" for n in range(10, 20)}
    assert all(sounds == (images if audible else 0) for images, sounds in features.encoded)
