"""Answers derived from truth.json by parsing the question, independently of `safe`."""

from __future__ import annotations

import re
from collections.abc import Sequence

NUMBER = ["zero", "one", "two", "three", "four"]
PLAYED = {"bell", "guitar", "drum", "siren"}
SINGULAR = {"crosses": "cross"}
Cells = Sequence[Sequence[str] | None]  # kind, colour; reading order
Events = Sequence[Sequence[object]]  # label, start, end, level


def about_picture(question: str, cells: Cells) -> str:
    """Return the answer to a question about a picture."""
    objects = [(i, cell[0], cell[1]) for i, cell in enumerate(cells) if cell]
    played = [(i, kind) for i, kind, _ in objects if kind in PLAYED]

    def the(kind: str) -> tuple[int, str, str]:
        (found,) = [row for row in objects if row[1] == kind]
        return found

    def the_one(colour: str) -> str:
        (found,) = [row for row in objects if row[2] == colour]
        return found[1]

    if m := re.fullmatch(r"What color is the (\w+)\?|What is the color of the (\w+)\?", question):
        return the(m[1] or m[2])[2]
    if m := re.fullmatch(r"What is the object at the (top|bottom) (left|right)\?", question):
        cell = cells[2 * (m[1] == "bottom") + (m[2] == "right")]
        assert cell is not None
        return cell[0]
    if m := re.fullmatch(r"What is the (\w+) object\?|Which object is (\w+)\?", question):
        return the_one(m[1] or m[2])
    if m := re.fullmatch(r"Is the (\w+) object a (\w+) or a (\w+)\?", question):
        assert the_one(m[1]) in (m[2], m[3])
        return the_one(m[1])
    if question == "How many objects are there?":
        return NUMBER[len(objects)]
    if question == "How many instruments are in the video?":
        return NUMBER[len(played)]
    if m := re.fullmatch(r"How many (\w+) objects are there\?", question):
        return NUMBER[sum(colour == m[1] for _, _, colour in objects)]
    if m := re.fullmatch(r"How many (\w+) are there\?", question):
        kind = SINGULAR.get(m[1], m[1][:-1])
        return NUMBER[sum(row[1] == kind for row in objects)]
    if m := re.fullmatch(r"Is there a (\w+)(?: in the (?:picture|video))?\?", question):
        return "yes" if any(row[1] == m[1] for row in objects) else "no"
    if m := re.fullmatch(r"Is there a (\w+) (\w+)\?", question):
        return "yes" if any(row[1:] == (m[2], m[1]) for row in objects) else "no"
    if m := re.fullmatch(r"Is the (\w+) on the left or on the right\?", question):
        return ["left", "right"][the(m[1])[0] % 2]
    if m := re.fullmatch(r"Is the (\w+) at the top or at the bottom\?", question):
        return ["top", "bottom"][the(m[1])[0] // 2]
    if m := re.fullmatch(r"Is the (\w+) (\w+) or (\w+)\?", question):
        assert the(m[1])[2] in (m[2], m[3])
        return the(m[1])[2]
    if m := re.fullmatch(r"Is the (\w+) (\w+)\?", question):
        return "yes" if the(m[1])[2] == m[2] else "no"
    if m := re.fullmatch(r"What instrument is on the (left|right)\?", question):
        (kind,) = [kind for i, kind in played if i % 2 == (m[1] == "right")]
        return kind
    raise AssertionError(f"no rule for {question!r}")


def about_video(question: str, cells: Cells, events: Events) -> str:
    """Return the answer to a question about a sound, alone or with the picture."""
    played = [(i, cell[0]) for i, cell in enumerate(cells) if cell and cell[0] in PLAYED]
    order = [str(label) for _, label in sorted((e[1], e[0]) for e in events)]
    ends = {"first": order[0], "last": order[-1]}

    def on(side: str) -> str:
        (kind,) = [kind for i, kind in played if i % 2 == (side == "right")]
        return kind

    if question == "What sound is heard in the video?":
        (only,) = order
        return only
    if question == "How many sounds are heard in the video?":
        return NUMBER[len(order)]
    if m := re.fullmatch(r"Is there a (\w+) sound\?", question):
        return "yes" if m[1] in order else "no"
    if m := re.fullmatch(r"Which sound comes (first|last)\?", question):
        return ends[m[1]]
    if question == "Is this sound from the instrument in the video?":
        (only,), ((_, seen),) = order, played
        return "yes" if only == seen else "no"
    if m := re.fullmatch(r"Does the instrument on the (left|right) sound\?", question):
        return "yes" if on(m[1]) in order else "no"
    if m := re.fullmatch(r"How many instruments in the video are (sounding|silent)\?", question):
        return NUMBER[sum((kind in order) == (m[1] == "sounding") for _, kind in played)]
    if m := re.fullmatch(r"Which instrument in the video sounds (first|last)\?", question):
        own = [label for label in order if label in {kind for _, kind in played}]
        return own[0] if m[1] == "first" else own[-1]
    if m := re.fullmatch(r"Which sound is heard with the (\w+) instrument\?", question):
        (other,) = [label for label in order if label != on(m[1])]
        return other
    if m := re.fullmatch(r"Which sound comes (before|after) the (\w+) instrument\?", question):
        return order[order.index(on(m[2])) + {"before": -1, "after": 1}[m[1]]]
    return about_picture(question, cells)
