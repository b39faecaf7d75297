"""The whole DAG on real handwriting and real recordings."""

from __future__ import annotations

import pytest

from safe.gates.schema import Decision

from .conftest import BUILT, Dag, assert_it_is_a_base

pytestmark = pytest.mark.dag


def test_a_model_that_reads_learns_to_hear_real_recordings(finished_digits: Dag) -> None:
    assert_it_is_a_base(finished_digits)
    for name in BUILT:
        decision = Decision.model_validate(finished_digits.json(name, "decision.json"))
        assert decision.verdict == "GO", [c.reason for c in decision.criteria]
    heard = next(
        c
        for c in finished_digits.json("03_tiny_overfit", "decision.json")["criteria"]
        if c["id"] == "03.audio_accuracy"
    )
    assert heard["ci"]["low"] > 0.9
