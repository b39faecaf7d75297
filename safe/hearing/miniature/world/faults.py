"""Planted faults, each frequent enough for its own check to find it, and no other check."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from safe.errors import ConfigError
from safe.hearing.miniature.world.plan import Item, Plan
from safe.hearing.miniature.world.questions import Question
from safe.hearing.miniature.world.sound import DURATION, MARGIN, Sound

PICTURES = ("vqav2", "gqa", "music_avqa")
SOUNDING = ("audiocaps", "music_avqa")


def _pick(plan: Plan, name: str, items: Sequence[Item], share: float) -> list[Item]:
    """Pick about `share` of `items`, at least one, and record them under the fault's name."""
    code = list(FAULTS).index(name)
    rng = np.random.default_rng([plan.seed, 9, code, len(items), len(plan.faults.get(name, []))])
    count = min(len(items), max(1, round(share * len(items))))
    chosen = [items[i] for i in sorted(rng.permutation(len(items))[:count])]
    plan.faults.setdefault(name, []).extend(item.native for item in chosen)
    return chosen


def _leak(plan: Plan) -> None:
    """List train media in the test split too."""
    for dataset in plan.items:
        share = len(plan.of(dataset, "test")) / len(plan.of(dataset, "train")) * 0.2
        for item in _pick(plan, "leak", plan.of(dataset, "train"), share):
            plan.leaked.append((item, "test"))


def _id_leak(plan: Plan) -> None:
    """Append the answer to question ids (of GQA, whose ids are text)."""
    _pick(plan, "id_leak", plan.items["gqa"], 0.5)


def _answer_in_filename(plan: Plan) -> None:
    """Name the files of sounds and videos after the first sound."""
    renamed = []
    for dataset in SOUNDING:
        for item in _pick(plan, "answer_in_filename", plan.items[dataset], 0.5):
            assert item.sound is not None
            label = item.sound.labels[0]
            keep = item.native[len(label) + 1 :] if dataset == "audiocaps" else item.native
            item.native = f"{label}_{keep}"
            renamed.append(item.native)
    plan.faults["answer_in_filename"] = renamed


def _copy(plan: Plan, name: str) -> list[Item]:
    """Give test items the picture and sound of train items; ids are kept."""
    copies = []
    for dataset in plan.items:
        test = _pick(plan, name, plan.of(dataset, "test"), 0.15)
        for item, source in zip(test, plan.of(dataset, "train"), strict=False):
            item.scene, item.sound, item.difficulty = source.scene, source.sound, source.difficulty
            item.style_seed, item.sound_seed = source.style_seed, source.sound_seed
            item.form, item.copy_of = source.form, source.native
            copies.append(item)
    return copies


def _duplicate_exact(plan: Plan) -> None:
    """Make test files byte-identical copies of train files."""
    _copy(plan, "duplicate_exact")


def _duplicate_reencoded(plan: Plan) -> None:
    """Make test files copies of train files with another format, quality or level."""
    for item in _copy(plan, "duplicate_reencoded"):
        item.coarse = True
        item.form = "ogg" if item.form != "ogg" else "mp3"


def _undecodable(plan: Plan) -> None:
    """Make files empty, truncated after the header, or meaningless bytes."""
    for dataset in plan.items:
        for split, kinds in (("train", ("empty", "header", "noise")), ("test", ("header",))):
            for number, item in enumerate(
                _pick(plan, "undecodable", plan.of(dataset, split), 0.16)
            ):
                item.damage = kinds[number % len(kinds)]


def _skew(plan: Plan) -> None:
    """Select nearly only questions with the answer `yes` (applied by `ask_questions`)."""
    plan.faults.setdefault("skew", []).extend(PICTURES)


def _moved(sound: Sound, seconds: float) -> Sound:
    """Shift all events by `seconds`, clipped to the clip's length."""
    events = [
        replace(e, start=max(MARGIN, e.start + seconds), end=min(DURATION, e.end + seconds))
        for e in sound.events
    ]
    return replace(sound, events=tuple(e for e in events if e.end - e.start >= 0.05))


def _overlap(sound: Sound, moved: Sound) -> float:
    """Return the share of the time of `sound`'s events during which `moved` is audible."""
    grid = np.arange(0, DURATION, 0.01)

    def heard(of: Sound) -> np.ndarray:
        return np.any([(e.start <= grid) & (grid < e.end) for e in of.events], axis=0)

    return float((heard(sound) & heard(moved)).sum() / max(1, heard(sound).sum()))


def _shifted(plan: Plan) -> None:
    """Shift sounds in time by the amount that gives the least overlap with the annotation."""
    steps = [sign * step / 10 for step in range(5, 15) for sign in (-1, 1)]
    for dataset in SOUNDING:
        for item in _pick(plan, "shifted", plan.items[dataset], 0.7):
            assert item.sound is not None
            options = [_moved(item.sound, step) for step in steps]
            options = [o for o in options if sum(e.end - e.start for e in o.events) >= 0.25]
            sound = item.sound
            item.played = min(options, key=lambda o: _overlap(sound, o))


def _swapped(plan: Plan) -> None:
    """Swap sounds within a split, only between items with different labels."""
    for dataset in SOUNDING:
        for split in ("train", "val", "test"):
            chosen = _pick(plan, "swapped", plan.of(dataset, split), 0.4)
            order = sorted(chosen, key=lambda item: item.sound.labels if item.sound else ())
            half = len(order) // 2
            pairs = [(order[i], order[i + half]) for i in range(half)]
            for one, other in pairs:
                assert one.sound is not None
                assert other.sound is not None
                if set(one.sound.labels) != set(other.sound.labels):
                    one.played, one.played_seed = other.sound, other.sound_seed
                    other.played, other.played_seed = one.sound, one.sound_seed


def _silent(plan: Plan) -> None:
    """Replace train sounds by noise in the last bit."""
    for dataset in SOUNDING:
        for item in _pick(plan, "silent", plan.of(dataset, "train"), 0.4):
            item.silent = True


FAULTS: dict[str, Callable[[Plan], None]] = {
    "leak": _leak,
    "id_leak": _id_leak,
    "answer_in_filename": _answer_in_filename,
    "duplicate_exact": _duplicate_exact,
    "duplicate_reencoded": _duplicate_reencoded,
    "undecodable": _undecodable,
    "skew": _skew,
    "shifted": _shifted,
    "swapped": _swapped,
    "silent": _silent,
}


def check_faults(names: Sequence[str]) -> None:
    """Check that all names are in `FAULTS`.

    Raises:
        ConfigError: a fault is unknown; the hint names the known ones.
    """
    for name in names:
        if name not in FAULTS:
            raise ConfigError(
                f"unknown fault {name!r}",
                key="world.faults",
                hint=f"known faults: {', '.join(FAULTS)}",
            )


def plant(plan: Plan, names: Sequence[str]) -> None:
    """Apply the named faults to `plan`, in the order of `FAULTS`."""
    for name, change in FAULTS.items():
        if name in names:
            change(plan)


def only_yes(plan: Plan) -> dict[str, Callable[[Question], bool]] | None:
    """Return the question filter of each dataset for the fault `skew`, or None without it."""
    if "skew" not in plan.faults:
        return None
    return dict.fromkeys(plan.faults["skew"], lambda question: question.answer == "yes")
