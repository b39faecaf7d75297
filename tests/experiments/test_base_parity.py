"""02 on a tiny run: GO, traceable evidence, and inconclusive with too few samples."""

import csv
import json

import pyarrow.parquet as pq
import pytest

from safe.gates.criteria_check import check_criteria
from safe.hearing.data.manifest import load_samples, write_manifest
from tests.judging import CRITERIA, decide, run, verdicts
from tests.tiny_run import make_run

EXPERIMENT = "02_base_parity"


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("run"), vl=1000, parity={"max_new_tokens": 2})


@pytest.fixture(scope="module")
def measured(config):
    return run(config, EXPERIMENT, config.folder / EXPERIMENT)


def test_unmodified_model_is_go(config, measured):
    decision = decide(config, EXPERIMENT, measured[1])
    assert decision.verdict == "GO", verdicts(decision)
    required = [c for c in decision.criteria if c.severity == "required"]
    assert {c.verdict for c in required} == {"pass"}


def test_equal_metrics_are_exactly_equal(measured):
    metrics = {m.name: m for m in measured[1]}
    assert metrics["logits_equal"].value == 0
    assert metrics["logits_identical"].value == 0
    assert metrics["logits_identical"].n == metrics["logits_equal"].n == 1000
    assert metrics["logits_equal"].detail["also_in_mixed_batches"] == 500
    assert metrics["no_overhead"].detail["base_flops"] > 0
    assert metrics["trainable_count_full"].value == 16_078_464


def test_every_metric_can_be_recomputed_from_the_evidence(measured):
    context, metrics = measured
    items = pq.read_table(context.folder / "items.parquet").to_pylist()
    assert len({i["id"] for i in items}) == 1000
    assert all(i["mean_difference"] == 0 and i["same_tokens"] for i in items)
    assert len({i["base_answer"] for i in items}) > 1  # one constant answer would prove nothing
    rows = list(csv.DictReader((context.folder / "parameters.csv").open()))
    total = rows.pop()
    assert sum(int(r["trainable"]) for r in rows) == int(total["trainable"])
    count = next(m for m in metrics if m.name == "trainable_count")
    assert int(total["trainable"]) == count.value
    assert {r["module"] for r in rows if int(r["trainable"])} == {
        "lora.q_proj",
        "lora.v_proj",
        "projector",
    }
    assert set(context.evidence) == {"items.parquet", "parameters.csv", "timing.parquet"}
    json.dumps([m.model_dump(mode="json") for m in metrics], allow_nan=False)


def test_criteria_match_the_declared_metrics():
    assert EXPERIMENT in {c.experiment for c in check_criteria(CRITERIA)}


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("small"), vl=12, parity={"max_new_tokens": 2})


def test_too_few_samples_are_inconclusive(small):
    metrics = run(small, EXPERIMENT, small.folder / EXPERIMENT)[1]
    found = verdicts(decide(small, EXPERIMENT, metrics))
    assert {m.name: m.n for m in metrics}["logits_equal"] == 24
    assert found["02.logits_equal"] == found["02.vqa_identical"] == "inconclusive"
    assert found["02.no_overhead"] == found["02.backbone_frozen"] == "pass"


def test_without_vl_samples_parity_is_unavailable(small):
    manifest = small.folder / "data" / "manifest.parquet"
    samples = load_samples(manifest)
    try:
        write_manifest([s for s in samples if s.task != "vl"], manifest)
        metrics = run(small, EXPERIMENT, small.folder / "none")[1]
    finally:
        write_manifest(samples, manifest)
    found = verdicts(decide(small, EXPERIMENT, metrics))
    for name in ("logits_equal", "vqa_identical", "no_overhead", "wall_clock_ratio"):
        assert found[f"02.{name}"] == "unavailable"
