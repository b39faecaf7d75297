"""The runs that users start, to the launch decision: `make accept`."""

from __future__ import annotations

import pytest

from .conftest import Dag, assert_it_is_a_base, assert_it_went_to_launch

pytestmark = pytest.mark.accept


def test_default_run_is_go(default_run: Dag) -> None:
    assert_it_is_a_base(default_run)
    assert_it_went_to_launch(default_run)


def test_digits_run_is_go(digits_run: Dag) -> None:
    assert_it_is_a_base(digits_run)
    assert_it_went_to_launch(digits_run)
    heard = next(
        c
        for c in digits_run.json("03_tiny_overfit", "decision.json")["criteria"]
        if c["id"] == "03.audio_accuracy"
    )
    assert heard["ci"]["low"] > 0.9
