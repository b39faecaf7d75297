"""Acceptance of a base: it must answer VL questions and must not answer audio questions."""

from pathlib import Path

import pytest

from safe.hearing.data.sample import MediaRef, Sample
from safe.hearing.miniature.base.digits import DigitsMaterial
from safe.hearing.miniature.base.evaluate import by_type, faults, pick
from safe.hearing.miniature.base.world import WorldMaterial


def sample(number: int, task: str, kind: str, answer: str) -> Sample:
    return Sample(
        id=f"d/val/{number}",
        dataset="d",
        split="val",
        task=task,  # type: ignore[arg-type]
        question="?",
        question_type=kind,
        answers=(answer,),
        answer=answer,
        source=f"s:{number}",
        audio=MediaRef(Path("/a.wav")),
    )


def answered(task: str, kind: str, pairs: list[tuple[str, str]]):
    return [(sample(i, task, kind, true), given) for i, (true, given) in enumerate(pairs)]


GOOD = {
    "vl": {"colour": {"accuracy": 0.99, "n": 200, "ci": [0.96, 1.0]}},
    "audio": {"heard": {"accuracy": 0.3, "n": 200, "ci": [0.2, 0.4], "prior": 0.35, "chance": 0.3}},
    "clap_zero_shot": {"accuracy": 0.98, "n": 100, "ci": [0.93, 0.99]},
}


def test_accuracy_and_prior_by_type():
    pairs = [("bell", "bell"), ("bell", "drum"), ("drum", "bell"), ("bell", "bell")]
    rows = by_type(answered("audio", "heard", pairs) + answered("vl", "colour", [("Red", "red")]))
    assert rows["audio"]["heard"]["accuracy"] == 0.5
    assert rows["audio"]["heard"]["prior"] == 0.75
    assert rows["audio"]["heard"]["chance"] == pytest.approx(0.75**2 + 0.25**2)
    assert rows["vl"]["colour"]["accuracy"] == 1.0
    assert "prior" not in rows["vl"]["colour"]


def test_good_base_has_no_fault():
    assert faults(GOOD) == []


@pytest.mark.parametrize(
    ("part", "row", "message"),
    [
        ("vl", {"count": {"accuracy": 0.93, "n": 200, "ci": None}}, "count: 0.930 of 200"),
        ("vl", {}, "no question about a picture"),
        (
            "audio",
            {"heard": {"accuracy": 0.6, "n": 200, "prior": 0.35, "chance": 0.3}},
            "without audio, prior 0.350",
        ),
        (
            "audio",
            {"heard": {"accuracy": 0.05, "n": 200, "prior": 0.35, "chance": 0.3}},
            "under chance 0.300",
        ),
    ],
    ids=["low accuracy in one type", "no vl question", "above prior", "below chance"],
)
def test_faulty_base_is_named(part, row, message):
    found = faults(GOOD | {part: row})
    assert len(found) == 1
    assert message in found[0]


def test_weak_audio_encoder_is_refused():
    assert "under 0.95" in faults(GOOD | {"clap_zero_shot": {"accuracy": 0.8, "n": 50}})[0]
    assert "no sound" in faults(GOOD | {"clap_zero_shot": {"accuracy": None, "n": 0}})[0]


def test_each_type_is_sampled_up_to_its_limit():
    samples = [sample(i, "vl", "colour", "red") for i in range(30)]
    samples += [sample(i, "audio", "heard", "bell") for i in range(5)]
    samples += [sample(i, "caption", "caption", "a bell") for i in range(5)]
    chosen = pick(samples, 0, per_type=10)
    assert [s.question_type for s in chosen].count("colour") == 10
    assert [s.question_type for s in chosen].count("heard") == 5
    assert len(chosen) == 15
    assert chosen == pick(samples, 0, per_type=10)


def test_zero_shot_items_are_single_sounds():
    world = WorldMaterial(1, 1, 0)
    samples = [
        sample(1, "audio", "Audio-Identity", "bell"),
        sample(2, "audio", "Audio-Temporal", "bell"),
        sample(3, "audio", "Audio-Identity", "rain"),
    ]
    prompts, items = world.zero_shot(samples)
    assert [(s.id, prompts[number]) for s, number in items] == [
        ("d/val/1", "a bell can be heard"),
        ("d/val/3", "rain can be heard"),
    ]


def test_spoken_digits_are_the_zero_shot_items_of_digits(tmp_path):
    (tmp_path / "recordings").mkdir()
    digits = DigitsMaterial(tmp_path, 0, 32, 0)
    items = [sample(1, "audio", "spoken", "seven"), sample(2, "audio", "speaker", "theo")]
    prompts, chosen = digits.zero_shot(items)
    assert [(s.id, prompts[number]) for s, number in chosen] == [("d/val/1", "a person says seven")]
