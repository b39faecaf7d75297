"""The whole DAG on real handwriting and real recordings."""

from __future__ import annotations

import pytest

from .conftest import Dag, assert_it_is_a_base, assert_it_went_to_launch

pytestmark = pytest.mark.dag


def test_a_model_that_reads_learns_to_hear_real_recordings(finished_digits: Dag) -> None:
    assert_it_is_a_base(finished_digits)
    assert_it_went_to_launch(finished_digits)
    heard = next(
        c
        for c in finished_digits.json("03_tiny_overfit", "decision.json")["criteria"]
        if c["id"] == "03.audio_accuracy"
    )
    assert heard["ci"]["low"] > 0.9
