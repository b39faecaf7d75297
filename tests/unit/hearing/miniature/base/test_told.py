"""Sound descriptions are true of the sound, and conclusions follow from sound and picture."""

import itertools

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from safe.hearing.miniature.base.sound_descriptions import LONGEST, conclude, tell
from safe.hearing.miniature.world.questions import draw_video
from safe.hearing.miniature.world.scene import DIFFICULTIES
from safe.hearing.miniature.world.words import NUMBERS, VOCABULARY, words

SEEDS = st.integers(0, 10_000)


def drawn(seed):
    rng = np.random.default_rng(seed)
    return *draw_video(rng, DIFFICULTIES[seed % 3]), rng


@given(SEEDS)
def test_described_sound_has_its_labels_in_order(seed):
    _, sound, rng = drawn(seed)
    told = tell(sound, rng).split()
    assert len(told) <= LONGEST
    assert tuple(label for label, _ in itertools.groupby(told)) == sound.labels


@given(SEEDS)
def test_conclusions_are_true(seed):
    scene, sound, rng = drawn(seed)
    text = conclude(scene, sound, rng)
    assert set(words(text)) <= set(VOCABULARY)
    facts = text.split()
    heard, seen = sound.labels, [kind for _, kind in scene.instruments]
    after = dict(itertools.pairwise(facts))  # only labels occur more than once
    assert after["first"] == heard[0]
    assert after["last"] == heard[-1]
    assert after["sounds"] == NUMBERS[len(heard)]
    assert after["sounding"] == NUMBERS[len(set(heard) & set(seen))]
    assert after["silent"] == NUMBERS[len(set(seen) - set(heard))]
    for label, said in itertools.pairwise(facts):
        if said in ("yes", "no"):
            assert (said == "yes") == (label in heard)


@given(SEEDS)
def test_facts_are_shuffled_and_reproducible(seed):
    scene, sound, _ = drawn(seed)
    one, again = (conclude(scene, sound, np.random.default_rng(seed)) for _ in range(2))
    assert one == again
    others = {conclude(scene, sound, np.random.default_rng(s)).split()[0] for s in range(30)}
    assert len(others) > 1
