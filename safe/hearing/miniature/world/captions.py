"""Captions of a sound: five references in different words, all with the true order of events."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np

from safe.hearing.miniature.world.sound import Sound, SoundEvent
from safe.hearing.miniature.world.words import NOUNS, SINGLE, SLOT, THEN, VERBS, WHILE

REFERENCES = 5


def follows(first: SoundEvent, second: SoundEvent) -> bool:
    """Return whether `second` starts after `first` ends, with 50 ms tolerance."""
    return second.start >= first.end - 0.05


def captions(sound: Sound, rng: np.random.Generator) -> tuple[str, ...]:
    """Return five different captions in random order, capitalised, without a full stop.

    Raises:
        ValueError: the sound has no events.
    """
    if not sound.events:
        raise ValueError("a sound without events has no caption")
    texts = []
    for variant in rng.permutation(REFERENCES):
        text = _caption(sound.events, int(variant))
        texts.append(text[0].upper() + text[1:])
    return tuple(texts)


def _caption(events: Sequence[SoundEvent], variant: int) -> str:
    labels = [event.label for event in events]
    if len(events) == 1:
        return _fill(SINGLE[variant], labels)
    kind = THEN if follows(events[0], events[1]) else WHILE
    text = _fill(kind[variant], labels[:2])
    for before, after in itertools.pairwise(events[1:]):
        # Further events are appended as "then" or "while" clauses.
        joint = "then" if follows(before, after) else "while"
        noun, (verb, doing) = NOUNS[after.label], VERBS[after.label]
        tail = (f"{noun} {verb}", f"{noun} is {doing}", f"{noun} {verb}")[variant % 3]
        text += f" and {joint} {tail}" if variant % 2 else f" {joint} {tail}"
    return text


def _fill(template: str, labels: Sequence[str]) -> str:
    """Fill `<Thing>`, `<Doing>` and `<Does>`; all but `<Doing>` take the next label."""
    rest, current, parts, last = list(labels), "", [], 0
    for slot in SLOT.finditer(template):
        if slot.group(1) != "Doing":
            current = rest.pop(0)
        noun, (verb, doing) = NOUNS[current], VERBS[current]
        parts.append(template[last : slot.start()])
        parts.append({"Thing": noun, "Does": f"{noun} {verb}", "Doing": doing}[slot.group(1)])
        last = slot.end()
    return "".join([*parts, template[last:]])
