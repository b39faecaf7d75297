"""The stage-transition state machine, on scripted and on arbitrary traces."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safe.errors import SafeError
from safe.hearing.config import CurriculumConfig, StageConfig
from safe.hearing.training.curriculum import Curriculum, EpochMetrics


def make(epochs=(2, 2), extensions=2, early_epochs=2, min_samples=0) -> CurriculumConfig:
    stages = [
        StageConfig(
            name=f"stage{i}", epochs=n, audio_ratio=0.5, difficulties=["easy"],
            min_audio_accuracy=0.6, max_vl_drop=0.01, min_samples=min_samples,
        )
        for i, n in enumerate(epochs)
    ]  # fmt: skip
    return CurriculumConfig(
        stages=stages, max_extensions=extensions, early_factor=1.1, early_epochs=early_epochs
    )


def run(config: CurriculumConfig, accuracies, drop=0.0, samples=100) -> list[str]:
    machine = Curriculum(config)
    return [machine.observe(EpochMetrics(a, drop, samples)).action for a in accuracies]


def test_normal_progress():
    assert run(make(), [0.5, 0.61, 0.61, 0.62]) == ["continue", "advance", "continue", "finish"]


def test_value_on_the_threshold_passes():
    assert run(make((1,)), [0.6], drop=0.01) == ["finish"]


def test_extension_then_pass():
    assert run(make((1,)), [0.5, 0.55, 0.6]) == ["extend", "extend", "finish"]


def test_exhausted_extensions_stop_with_the_missed_thresholds():
    machine = Curriculum(make((1,), extensions=1))
    machine.observe(EpochMetrics(0.5, 0.02, 10))
    last = machine.observe(EpochMetrics(0.55, 0.02, 10))
    assert last.action == "stop"
    assert "0.5500 < 0.6000" in last.reason
    assert "VL drop 0.0200 > 0.0100" in last.reason
    with pytest.raises(SafeError, match="has ended"):
        machine.observe(EpochMetrics(0.9, 0.0, 10))


def test_early_progress_needs_consecutive_epochs():
    config = make((5, 1))
    assert run(config, [0.67, 0.67])[-1] == "advance_early"
    assert run(config, [0.67, 0.65, 0.67, 0.67])[1:] == ["continue", "continue", "advance_early"]


def test_early_progress_needs_the_minimum_samples_too():
    assert run(make((5, 1), min_samples=250), [0.9] * 4)[:3] == ["continue"] * 3
    assert run(make((5, 1), min_samples=250), [0.9] * 4)[3] == "advance_early"


def test_too_few_samples_extend():
    assert run(make((1,), min_samples=150), [0.9, 0.9]) == ["extend", "finish"]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_non_finite_metric_is_refused(value):
    with pytest.raises(SafeError, match="not finite"):
        Curriculum(make()).observe(EpochMetrics(value, 0.0, 1))


metrics = st.builds(EpochMetrics, st.floats(0, 1), st.floats(-0.1, 0.1), st.integers(0, 500))


@given(
    st.lists(metrics, min_size=60, max_size=60),
    st.lists(st.integers(1, 4), min_size=1, max_size=4),
    st.integers(0, 3), st.integers(1, 3), st.integers(0, 400),
)  # fmt: skip
def test_any_trace_follows_the_rules_and_survives_a_checkpoint(trace, epochs, extensions, early, n):
    config = make(tuple(epochs), extensions, early, n)
    machine, copy = Curriculum(config), Curriculum(config)
    per_stage: dict[str, list[str]] = {}
    for values in trace:
        if machine.ended:
            break
        index, stage = machine.stage_index, machine.stage
        done = machine.observe(values)
        copy = Curriculum.restore(config, json.loads(json.dumps(copy.state())))
        assert copy.observe(values) == done
        assert copy.state() == machine.state()
        per_stage.setdefault(stage.name, []).append(done.action)
        if done.action in ("advance", "finish"):
            assert values.audio_accuracy >= 0.6
            assert values.vl_drop <= 0.01
        assert machine.stage_index == index + (done.action in ("advance", "advance_early"))
    for name, actions in per_stage.items():
        assert actions.count("extend") <= extensions
        assert len(actions) <= epochs[int(name[-1])] + extensions
        assert all(a in ("continue", "extend") for a in actions[:-1])
