"""06 on a tiny run; each planted fault fails its own criterion."""

import time

import pytest

from safe.errors import ModelError
from safe.hearing.config import parse_run_config
from safe.hearing.experiments.efficiency import measure as efficiency
from safe.hearing.experiments.efficiency.measure import recommend
from safe.hearing.models.safe_model import SafeModel
from safe.pipeline.runner import run_job
from tests.faults import fault
from tests.judging import decide, run, verdicts
from tests.tiny_run import make_run

EXPERIMENT = "06_efficiency"
GB = 2**30


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    config = make_run(
        tmp_path_factory.mktemp("run"),
        vl=80,
        audio=80,
        held_out=20,
        stage_a={"rows": 160, "steps": 2, "batch_size": 8},
        profile={
            "batch_sizes": [4, 8, 16, 32],
            "target_batch": 16,
            "audio_tokens": [2],
            "planned_samples": 100,
            "planned_hours": 1,
            "audio_latency_ms": 1000,
        },
    )
    run_job(config, "04_stage_a_pilot", "distilled")
    return config


def outcome(config, tmp_path, **changes):
    values = config.model_dump(mode="json")
    values["profile"] |= changes
    own = parse_run_config(values, "t")
    context, metrics = run(own, EXPERIMENT, tmp_path / "06")
    return context, metrics, verdicts(decide(own, EXPERIMENT, metrics))


def test_metrics_pass_and_plots_are_written(config, tmp_path):
    context, metrics, found = outcome(config, tmp_path)
    for name in ("headroom", "audio_latency", "throughput"):
        assert found[f"06.{name}"] == "pass", name
    assert sorted(context.plots) == [f"plots/{n}.png" for n in ("latency", "memory", "throughput")]
    for name in (*context.plots, *context.evidence):
        assert (context.folder / name).is_file()
    by_name = {metric.name: metric for metric in metrics}
    assert by_name["headroom"].detail["batch"] == 16
    assert set(by_name["audio_latency"].detail["uncached_ms_by_audio_tokens"]) == {"2", "3"}


@fault("model", "a batch that fills the device to the last byte", "06.headroom")
def test_too_small_memory_budget_fails_headroom(config, tmp_path):
    found = outcome(config, tmp_path, memory_budget_gb=0.05)[2]
    assert found["06.headroom"] == "fail"


@fault("training", "a plan that the hardware cannot keep", "06.throughput")
def test_unreachable_sample_plan_fails_throughput(config, tmp_path):
    found = outcome(config, tmp_path, planned_samples=10**9)[2]
    assert found["06.throughput"] == "fail"


@fault("model", "a sound that is encoded again for every question", "06.audio_latency")
def test_slow_audio_encoder_fails_audio_latency(config, tmp_path, monkeypatch):
    real = SafeModel.hear

    def slow(self, audio, rows):
        time.sleep(0.02)
        return real(self, audio, rows)

    monkeypatch.setattr(SafeModel, "hear", slow)
    found = outcome(config, tmp_path, audio_latency_ms=10, audio_latency_p95_ms=10)[2]
    assert found["06.audio_latency"] == "fail"
    assert found["06.audio_latency_p95"] == "fail"


@fault("model", "memory that leaks between batches", "06.memory_scaling")
def test_erratic_memory_growth_fails_memory_scaling(config, tmp_path, monkeypatch):
    real = efficiency._point

    def jumping(kind, batch, *rest):
        point = real(kind, batch, *rest)
        return {**point, "peak_bytes": (1 + (batch in (8, 32))) * GB}

    monkeypatch.setattr(efficiency, "_point", jumping)
    assert outcome(config, tmp_path)[2]["06.memory_scaling"] == "fail"


def test_recommended_batch_is_the_smallest_that_is_fast_and_fits():
    def point(batch, rate, peak):
        return {"batch": batch, "samples_per_s": rate, "peak_bytes": peak}

    points = [point(8, 100, 1), point(16, 196, 2), point(32, 200, 3), point(64, 900, 50)]
    assert recommend(points, 10)["batch"] == 16
    assert recommend(points, 100)["batch"] == 64
    assert recommend(points, 1)["batch"] is None


def test_missing_pilot_adapter_is_named(config, tmp_path):
    other = parse_run_config({**config.model_dump(mode="json"), "run": "other"}, "t")
    with pytest.raises(ModelError, match=r"safe\.json: there is no adapter"):
        run(other, EXPERIMENT, tmp_path / "06")
