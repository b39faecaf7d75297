"""05 on a tiny run: chosen on validation, run on test, saved for other experiments."""

import json
from types import SimpleNamespace

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from safe.hearing.context import Context
from safe.hearing.evaluation.gate_curve import Outcomes
from safe.hearing.experiments.gating import cost as gating_cost
from safe.hearing.experiments.gating.measure import METRICS, _candidate, _choose
from safe.hearing.experiments.metric_builder import MetricBuilder
from safe.hearing.models.checkpoint import load_adapter
from safe.hearing.models.gate_file import load_gate, read_gate
from safe.hearing.models.gating import EntropyGate, MarginGate
from safe.hearing.training.frozen_models import open_base
from tests.judging import decide, run, verdicts
from tests.tiny_gating import EXPERIMENT, REPEATED, SHARED, VL, changed
from tests.tiny_models import tiny_tone

AUDIO = 310


@pytest.fixture(scope="module")
def config(gating_run):
    return changed(gating_run, timed_items=20, timing_repeats=1)


@pytest.fixture(scope="module")
def measured(config):
    return run(config, EXPERIMENT, config.folder / EXPERIMENT)


@pytest.fixture(scope="module")
def metrics(measured):
    return {metric.name: metric for metric in measured[1]}


def table(measured, name):
    return pq.read_table(measured[0].folder / name).to_pylist()


def test_base_with_informative_uncertainty_is_go(config, measured):
    found = verdicts(decide(config, EXPERIMENT, measured[1], measured[0]))
    found.pop("05.time_saved")  # depends on machine load
    assert set(found.values()) == {"pass"}, found


def test_all_questions_are_tabulated_except_those_with_shared_sources(measured, metrics):
    items = table(measured, "items.parquet")
    assert sum(r["split"] == "test" for r in items) == VL + AUDIO + REPEATED
    assert sum(r["split"] == "val" for r in items) == VL + AUDIO - SHARED
    left_out = metrics["tradeoff"].detail["left_out"]
    assert left_out["val"] == {"shared": SHARED, "unusable": 0}
    assert all(r["heard_source"] != r["source"] for r in items if r["task"] == "vl")
    assert all(r["heard_source"] == r["source"] for r in items if r["task"] != "vl")
    tests = {r["heard_source"] for r in items if r["split"] == "test"}
    assert tests.isdisjoint(r["heard_source"] for r in items if r["split"] == "val")


def test_metrics_can_be_recomputed_from_the_evidence(measured, metrics):
    rows = table(measured, "gated.parquet")
    items = {r["id"]: r for r in table(measured, "items.parquet")}
    assert metrics["skip_rate"].value == sum(not r["consulted"] for r in rows) / len(rows)
    for row in rows:
        tabulated = items[row["id"]]
        assert row["gated"] == tabulated["on" if row["consulted"] else "off"]
        assert row["consulted"] or row["as_the_base"]
    audio_examples = [r for r in rows if r["task"] != "vl"]
    drop = sum(items[r["id"]]["on_correct"] - r["gated_correct"] for r in audio_examples) / len(
        audio_examples
    )
    assert metrics["audio_drop"].value == drop
    curve = table(measured, "curve.parquet")
    assert metrics["tradeoff"].value == sum(r["on_frontier"] for r in curve)
    assert {r["kind"] for r in curve} >= {"always_on", "always_off", "entropy", "margin"}


def test_saved_gate_can_be_loaded_and_used(config, measured, metrics):
    context = measured[0]
    opened = open_base(config)
    gate = load_gate(context.folder / "gate.json", base=opened.vlm_ref.digest)
    record = read_gate(context.folder / "gate.json")
    assert metrics["skip_rate"].measured_on == {"gate": f"{record.kind}@{record.threshold:.6g}"}
    assert (record.chosen_on.run, record.chosen_on.split) == ("tiny", "val")
    assert record.chosen_on.items == len(table(measured, record.chosen_on.table))
    adapter = config.folder / "04_stage_a_pilot" / "jobs" / "distilled" / "adapter"
    model = load_adapter(adapter, opened.vlm, opened.audio_encoder)
    text = [
        "Question: what colour is the dog? Answer:",
        "Question: what sound do you hear? Answer:",
    ]
    pictures = [Image.new("RGB", (16, 16), (220, 40, 40))] * 2
    inputs = opened.processor(images=pictures, text=text, padding=True, return_tensors="pt")
    done = model.generate(**inputs, gate=gate, audio=[tiny_tone(500)] * 2, max_new_tokens=2)
    assert (done.consultation.off, done.consultation.on) == ([0], [1])


def test_costs_include_the_gates_own(metrics):
    detail = metrics["time_saved"].detail
    flops = detail["flops"]
    assert flops["always off"] < flops["none consult"] < flops["gated"] < flops["all consult"]
    assert flops["always on"] < flops["all consult"]
    full = detail["flops_full_size"]
    assert full["always on"] / full["always off"] == pytest.approx(1.068, abs=0.002)
    assert set(detail["milliseconds"]) == set(flops)


def test_when_skipping_saves_no_time_time_saved_is_zero(tmp_path):
    slow, fast = np.full((10, 3), 2.0), np.full((10, 3), 1.0)
    seconds = {"gated": slow, "all consult": fast, "none consult": slow,
               "always off": fast, "always on": fast}  # fmt: skip
    cost = gating_cost.Cost(
        [str(i) for i in range(10)], [True] * 10, seconds, [0], {w: [1] for w in seconds}, [0]
    )
    context = SimpleNamespace(folder=tmp_path, evidence=[], config=SimpleNamespace(seed=0))
    found = gating_cost.time_saved(context, MetricBuilder(METRICS), cost)
    assert found.value == 0
    assert "no measurable" in found.detail["note"]


def test_evidence_and_plot_exist(measured):
    context = measured[0]
    assert context.plots == ["plots/tradeoff.png"]
    for name in (*context.plots, *context.evidence):
        assert (context.folder / name).is_file()
    assert "gate.json" in context.evidence
    json.dumps([m.model_dump(mode="json") for m in measured[1]], allow_nan=False)


def test_repeated_measurement_is_identical_except_for_timing(config, measured, metrics):
    _, again = run(config, EXPERIMENT, config.folder / EXPERIMENT)
    for metric in again:
        if metric.name != "time_saved":
            assert metric == metrics[metric.name]


def test_of_gates_that_skip_equally_often_the_one_with_fewer_pictures_is_selected(config):
    """Both skip half; margin consults on what needs its sound, entropy on the rest."""
    needs_audio = np.arange(100) < 50
    same = np.ones(100, dtype=bool)
    scores = {
        "entropy": np.where(needs_audio, 0.0, 1.0),
        "max_probability": np.ones(100),
        "margin": np.where(needs_audio, 0.0, 1.0),
    }
    names = tuple(map(str, range(100)))
    outcomes = Outcomes(names, names, needs_audio, scores, same, same, same)
    context = Context(config=config, folder=config.folder / EXPERIMENT)
    choices = _choose(context, outcomes, [EntropyGate(0.5), MarginGate(0.5)])
    offer = [_candidate(name, choice) for name, choice in choices.items()]
    assert [c.values["skip_rate"] for c in offer] == [0.5, 0.5]
    assert context.select("gate", offer).selected == "margin@0.5"
