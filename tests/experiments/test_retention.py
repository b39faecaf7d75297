"""09 on a tiny run: loss without retention, and the effect of each retention method."""

import dataclasses
import json

import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from safe.errors import ConfigError, EvidenceError, TrainingError
from safe.hearing.context import Context
from safe.hearing.experiments.retention import jobs as retention_jobs
from safe.hearing.experiments.retention import measure as retention
from safe.hearing.experiments.retention.config import RetentionSettings
from safe.hearing.experiments.retention.measure import METRICS
from safe.hearing.experiments.retention.plan import (
    dearest_first,
    lambdas,
    names,
    plan,
    seeds_of,
    variants,
)
from safe.hearing.training.stage_a import StageA
from tests.judging import decide, run, verdicts

EXPERIMENT = "09_retention"


@pytest.fixture(scope="module")
def config(trained_retention_run):
    return trained_retention_run


@pytest.fixture(scope="module")
def measured(config):
    return run(config, EXPERIMENT, config.folder / EXPERIMENT)


def test_distillation_retains_and_decision_is_go(config, measured):
    decision = decide(config, EXPERIMENT, measured[1], measured[0])
    assert decision.verdict == "GO", verdicts(decision)
    assert len(measured[0].plots) == 2
    assert measured[0].extra["seeds"] == {"training 0": 0, "training 1": 1}
    assert "09.null_space_distilled" in verdicts(decision)  # reported with any verdict


def test_metrics_can_be_recomputed_from_the_evidence(config, measured):
    metrics = {metric.name: metric for metric in measured[1]}
    assert set(metrics) == set(METRICS) - {"lambda_selected"}
    items = {
        name: pq.read_table(
            config.folder / EXPERIMENT / "jobs" / name / "items.parquet"
        ).to_pylist()
        for name in ("none", "distilled")
    }
    seed = metrics["distillation"].detail["decided_by_seed"]
    drift = {
        name: sum(r["drift"] for r in rows if r["kind"] == "vl" and r["seed"] == seed)
        for name, rows in items.items()
    }
    assert metrics["distillation"].value == pytest.approx(1 - drift["distilled"] / drift["none"])
    assert metrics["null_space"].n == 2 * config.retention.vl_items - _left_out(config, items)
    decision = decide(config, EXPERIMENT, measured[1], measured[0])
    assert decision.selections["lambda_selected"].selected in lambdas(config)
    full = metrics["null_space"].detail["full_size"]
    assert full["making_bytes"] <= full["budget_gb"] * 2**30
    assert full["weights"] == 16_078_464


def _left_out(config, items):
    return 2 * config.retention.vl_items - sum(r["kind"] == "vl" for r in items["none"])


def test_drift_is_measured_during_training(config):
    path = config.folder / EXPERIMENT / "jobs" / "none" / "drift.parquet"
    rows = pq.read_table(path).to_pylist()
    assert [(r["seed"], r["step"]) for r in rows] == [(s, n) for s in (0, 1) for n in (0, 30, 60)]
    for seed in (0, 1):
        own = [r["drift"] for r in rows if r["seed"] == seed]
        assert own[2] > own[0]


def test_jobs_differ_only_in_their_retention_methods(config):
    assert variants(config) == [
        "none", "distilled", "null_space", "fisher", "distilled-null_space", "distilled-fisher",
        "null_space-fisher", "distilled-null_space-fisher",
    ]  # fmt: skip
    assert lambdas(config) == {"lambda_1": 1.0, "distilled": 5.0, "lambda_10": 10.0}
    whole = plan(config, "distilled-null_space-fisher")
    assert (whole.distillation, whole.null_space, whole.fisher) == (5.0, 80, 1000.0)
    none = plan(config, "none")
    assert (none.distillation, none.null_space, none.fisher) == (0.0, 0, 0.0)
    with pytest.raises(ConfigError, match="no job 'distilled-luck'"):
        plan(config, "distilled-luck")


def test_zero_fisher_weight_removes_the_fisher_variants(config):
    off = config.retention.model_copy(update={"fisher": 0.0})
    without = config.model_copy(update={"retention": off})
    assert variants(without) == ["none", "distilled", "null_space", "distilled-null_space"]
    assert names(without) == [*variants(without), "lambda_1", "lambda_10"]
    with pytest.raises(ConfigError, match="no job 'null_space-fisher'"):
        plan(without, "null_space-fisher")


def test_undistilled_jobs_can_have_more_seeds(config):
    own = config.retention.model_copy(update={"undistilled_seeds": 4})
    more = config.model_copy(update={"retention": own, "seed": 3})
    for job in names(more):
        count = 2 if "distilled" in job or job.startswith("lambda_") else 4
        assert seeds_of(more, job) == list(range(3, 3 + count))
        assert seeds_of(config, job) == [0, 1]
    with pytest.raises(ValidationError, match="undistilled_seeds"):
        RetentionSettings(seeds=3, undistilled_seeds=2)


def test_distillation_is_compared_only_on_seeds_it_was_trained_with(config, measured, monkeypatch):
    """A seed without a distilled training does not change the metric."""
    real = retention._read

    def with_a_third_seed(context, name):
        job = real(context, name)
        if plan(config, name).distillation > 0:
            return job
        third = [row | {"seed": 2} for row in job.items if row["seed"] == 1]
        result = {**job.result, "seeds": [0, 1, 2]}
        return dataclasses.replace(job, result=result, items=[*job.items, *third])

    monkeypatch.setattr(retention, "_read", with_a_third_seed)
    before = {metric.name: metric for metric in measured[1]}
    after = {m.name: m for m in run(config, EXPERIMENT, config.folder / EXPERIMENT)[1]}
    assert after["distillation"].value == before["distillation"].value
    assert after["null_space"].n == before["null_space"].n * 3 / 2


def test_job_order_balances_the_costly_methods(config):
    order = dearest_first(config)
    assert sorted(order) == sorted(names(config))
    for method in ("null_space", "distillation"):
        counts = [sum(getattr(plan(config, p), method) > 0 for p in order[n::2]) for n in (0, 1)]
        assert abs(counts[0] - counts[1]) <= 1


def test_diverged_seed_is_recorded(config, tmp_path, monkeypatch):
    def broken(*_, **__):
        raise TrainingError("the loss is nan at step 3")

    monkeypatch.setattr(StageA, "train", broken)
    context = Context(config=config, folder=tmp_path)
    bench = retention_jobs.prepare(context, ["none"])
    found = retention_jobs.run(context, "none", bench)
    assert found["diverged"].keys() == {"0", "1"}


def test_missing_job_is_named(config, tmp_path):
    with pytest.raises(EvidenceError, match="the job 'none' was not run"):
        run(config, EXPERIMENT, tmp_path)


def test_result_records_how_it_was_trained(config):
    path = config.folder / EXPERIMENT / "jobs" / "null_space" / "result.json"
    found = json.loads(path.read_text())
    taken_out = found["null_space"]["share_of_update_taken_out"]
    assert all(0 < share < 1 for share in taken_out.values())
    assert found["null_space"]["memory"]["directions"] == 80


def test_so_few_questions_are_inconclusive(config, measured):
    context, metrics = measured
    judged = decide(config, EXPERIMENT, metrics, context, min_items=True).criteria
    found = next(c for c in judged if c.id == "09.lambda_selected")
    assert found.verdict == "inconclusive"
    assert 0 < found.items < 300
