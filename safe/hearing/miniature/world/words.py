"""The closed language of the miniature world: templates, slots, vocabulary.

Slots in angle brackets are filled in order, as MUSIC-AVQA does with `<Object>`, `<LR>`, `<FL>`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from safe.hearing.data.annotations.captions import PROMPT
from safe.hearing.miniature.world.scene import COLOURS, KINDS
from safe.hearing.miniature.world.sound import SOUNDS

Task = Literal["vl", "audio", "av"]

NUMBERS: tuple[str, ...] = ("zero", "one", "two", "three", "four")
PLACES: tuple[str, ...] = ("top left", "top right", "bottom left", "bottom right")

# name: (question type, template)
PICTURE: dict[str, tuple[str, str]] = {
    "color": ("color", "What color is the <Kind>?"),
    "object": ("object", "What is the <Colour> object?"),
    "object_at": ("object", "What is the object at the <Place>?"),
    "count": ("count", "How many objects are there?"),
    "exists": ("existence", "Is there a <Kind>?"),
    "exists_color": ("existence", "Is there a <Colour> <Kind>?"),
    "left_right": ("spatial", "Is the <Kind> on the left or on the right?"),
    "top_bottom": ("spatial", "Is the <Kind> at the top or at the bottom?"),
}
# name: (structural type, semantic type, detailed type, template)
GQA: dict[str, tuple[str, str, str, str]] = {
    "query_color": ("query", "attr", "directOf", "What is the color of the <Kind>?"),
    "choose_color": ("choose", "attr", "chooseAttr", "Is the <Kind> <Colour> or <Colour>?"),
    "query_object": ("query", "obj", "categoryThat", "Which object is <Colour>?"),
    "choose_object": (
        "choose",
        "obj",
        "chooseObj",
        "Is the <Colour> object a <Kind> or a <Kind>?",
    ),
    "verify_color": ("verify", "attr", "verifyAttr", "Is the <Kind> <Colour>?"),
    "exists": ("verify", "obj", "exist", "Is there a <Kind> in the picture?"),
    "choose_side": (
        "choose",
        "rel",
        "positionChoose",
        "Is the <Kind> on the left or on the right?",
    ),
    "choose_height": (
        "choose",
        "rel",
        "positionChoose",
        "Is the <Kind> at the top or at the bottom?",
    ),
}
# name: (MUSIC-AVQA's pair of types, template)
VIDEO: dict[str, tuple[tuple[str, str], str]] = {
    "heard": (("Audio", "Identity"), "What sound is heard in the video?"),
    "heard_count": (("Audio", "Counting"), "How many sounds are heard in the video?"),
    "heard_exists": (("Audio", "Existential"), "Is there a <Object> sound?"),
    "heard_order": (("Audio", "Temporal"), "Which sound comes <FL>?"),
    "same": (("Audio-Visual", "Existential"), "Is this sound from the instrument in the video?"),
    "side_sounds": (("Audio-Visual", "Existential"), "Does the instrument on the <LR> sound?"),
    "sounding": (("Audio-Visual", "Counting"), "How many instruments in the video are <Playing>?"),
    "with": (("Audio-Visual", "Location"), "Which sound is heard with the <LR> instrument?"),
    "which_order": (("Audio-Visual", "Temporal"), "Which instrument in the video sounds <FL>?"),
    "next_to": (("Audio-Visual", "Temporal"), "Which sound comes <BA> the <LR> instrument?"),
    "seen_count": (("Visual", "Counting"), "How many instruments are in the video?"),
    "seen_exists": (("Visual", "Existential"), "Is there a <Object> in the video?"),
    "seen_side": (("Visual", "Location"), "What instrument is on the <LR>?"),
}
SLOT_VALUES: dict[str, tuple[str, ...]] = {
    "Kind": KINDS,
    "Colour": tuple(COLOURS),
    "Place": PLACES,
    "Object": SOUNDS,
    "LR": ("left", "right"),
    "FL": ("first", "last"),
    "BA": ("before", "after"),
    "Playing": ("sounding", "silent"),
}

# For each sound: its noun, and its verb (finite form, participle).
NOUNS: dict[str, str] = {
    "bell": "a bell",
    "guitar": "a guitar",
    "drum": "a drum",
    "siren": "a siren",
    "rain": "rain",
    "speech": "a person",
}
VERBS: dict[str, tuple[str, str]] = {
    "bell": ("rings", "ringing"),
    "guitar": ("plays", "playing"),
    "drum": ("beats", "beating"),
    "siren": ("wails", "wailing"),
    "rain": ("falls", "falling"),
    "speech": ("speaks", "speaking"),
}
CAPTION_PROMPT = PROMPT  # the default prompt of the AudioCaps reader
SINGLE: tuple[str, ...] = (
    "<Does>",
    "<Thing> is <Doing>",
    "the sound of <Thing> <Doing>",
    "<Thing> <Doing>",
    "<Thing> can be heard",
)
THEN: tuple[str, ...] = (
    "<Does> then <Does>",
    "<Does> followed by <Thing>",
    "<Thing> and then <Thing>",
    "first <Does> and then <Does>",
    "<Thing> <Doing> followed by <Thing> <Doing>",
)
WHILE: tuple[str, ...] = (
    "<Does> while <Does>",
    "<Thing> together with <Thing>",
    "<Does> as <Does>",
    "<Thing> <Doing> while <Does>",
    "<Thing> is <Doing> as <Does>",
)
SLOT = re.compile(r"<(\w+)>")


@dataclass(frozen=True, slots=True)
class Question:
    """A question and its answer.

    Attributes:
        name: key of the template in `PICTURE`, `GQA` or `VIDEO`.
        type: question type for balancing and for results by type.
        task: `vl` needs only the picture, `audio` only the sound, `av` both.
        template, values: text with slots, and the slots' values in order.
    """

    name: str
    type: str
    task: Task
    template: str
    values: tuple[str, ...]
    answer: str

    @property
    def text(self) -> str:
        """Text of the question with its slots filled."""
        return fill(self.template, self.values)


def fill(template: str, values: Sequence[str]) -> str:
    """Fill the slots of `template` in order.

    Raises:
        ValueError: the number of values differs from the number of slots.
    """
    if len(SLOT.findall(template)) != len(values):
        raise ValueError(f"{template!r} cannot be filled with {list(values)}")
    rest = iter(values)
    return SLOT.sub(lambda _: next(rest), template)


def words(text: str) -> list[str]:
    """Return the lower-case words of `text`, without punctuation."""
    return re.findall(r"[a-z]+", text.lower())


def _vocabulary(texts: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted({word for text in texts for word in words(SLOT.sub(" ", text))}))


VOCABULARY: tuple[str, ...] = _vocabulary(
    [
        *(template for _, template in PICTURE.values()),
        *(row[-1] for row in GQA.values()),
        *(template for _, template in VIDEO.values()),
        *(value for values in SLOT_VALUES.values() for value in values),
        *NUMBERS,
        "yes no left right top bottom",
        CAPTION_PROMPT,
        *SINGLE,
        *THEN,
        *WHILE,
        *NOUNS.values(),
        *(verb for pair in VERBS.values() for verb in pair),
    ]
)
