"""A figure has a value or a reason, as JSON and as text."""

import json

import pytest

from safe.scoring.report import Figure, Scored

SCORED = Scored(
    task="vqav2",
    n=4,
    figures={
        "accuracy": Figure(62.5),
        "by_type.what. is": Figure(50.0),
        "by_type.is\n\x1b[2J\ud800": Figure(75.0),
        "validity": Figure(None, "give the choices file"),
    },
    counts={"unanswered": 1, "unknown": 0, "left_out": 2},
    unit="%",
    sizes={"by_type.what. is": 2, "by_type.is\n\x1b[2J\ud800": 2},
)


@pytest.mark.parametrize(("value", "reason"), [(None, None), (1.0, "why")])
def test_figure_has_either_a_value_or_a_reason(value, reason):
    with pytest.raises(ValueError, match="either a value or a reason"):
        Figure(value, reason)


def test_as_dict_is_json_and_keeps_every_name():
    found = json.loads(json.dumps(SCORED.as_dict(), allow_nan=False))
    assert found["figures"]["accuracy"] == 62.5
    assert found["figures"]["validity"] is None
    assert found["unavailable"] == {"validity": "give the choices file"}
    assert found["counts"] == {"unanswered": 1, "unknown": 0, "left_out": 2}
    assert (found["task"], found["n"], found["unit"]) == ("vqav2", 4, "%")


def test_as_text_is_a_printable_table():
    lines = SCORED.as_text().encode("utf-8").decode("utf-8").split("\n")
    assert lines[0] == "vqav2: 4 items (1 unanswered, 2 left out)"
    assert lines[1].split() == ["accuracy", "62.50", "%", "of", "4"]
    assert lines[2].split() == ["validity", "unavailable:", "give", "the", "choices", "file"]
    assert lines[3] == "by_type"
    assert lines[4].split() == ["what.", "is", "50.00", "%", "of", "2"]
    assert lines[5].split()[0] == r"is\u000a\u001b[2J\ud800"
    assert len(lines) == 6


def test_units_other_than_percent_show_four_digits():
    scored = Scored("captions", 1, {"cider_d": Figure(0.401724)}, {})
    assert scored.as_text() == "captions: 1 items\n  cider_d    0.4017"
