"""10 with planted faults: the criterion for each fault fails and the gate is NO-GO."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from safe.files import write_json
from safe.hearing.experiments import training_setup
from safe.hearing.experiments.sweep.plan import cells
from safe.hearing.training.sampler import MixedBatches
from tests.faults import fault
from tests.judging import decide, restore_afterwards, retrain, run, verdicts
from tests.tiny_curriculum import teacher_forced

EXPERIMENT = "10_sweep"


@pytest.fixture
def config(trained_sweep_run, monkeypatch):
    """Trained cells that a test may modify; restored afterwards."""
    monkeypatch.setattr(training_setup, "teacher_forced", teacher_forced)
    with restore_afterwards(trained_sweep_run.folder / EXPERIMENT):
        yield trained_sweep_run


def outcome(config):
    context, metrics = run(config, EXPERIMENT, config.folder / EXPERIMENT)
    decision = decide(config, EXPERIMENT, metrics, context)
    assert decision.verdict == "NO-GO"
    return verdicts(decision), {m.name: m for m in metrics}, decision.selections


def rewrite(config, cell, choose):
    """Rewrite a cell's items; `choose(row)` returns the new values."""
    path = config.folder / EXPERIMENT / "jobs" / cell.name / "items.parquet"
    rows = [row | choose(row) for row in pq.read_table(path).to_pylist()]
    pq.write_table(pa.Table.from_pylist(rows), path)


@pytest.mark.parametrize("seed", range(5))
@fault("statistics", "the best of many cells, none of which learned", "10.selected")
def test_lucky_cell_without_learning_is_not_selected(config, seed):
    """No cell uses audio: each guesses as well as the base, and one of 27 is best by chance."""
    rng = np.random.default_rng(seed)
    base = {}
    for cell in cells(config.sweep):

        def guess(row):
            if row["kind"] == "vl":
                return {}
            known = base.setdefault(row["id"], bool(rng.random() < 0.3))
            return {"base_right": known, "right": bool(rng.random() < 0.3)}

        rewrite(config, cell, guess)
    found, _, selections = outcome(config)
    assert found["10.selected"] == "fail"
    assert selections["selected"].selected is None


@fault("statistics", "a selection that does not hold on test", "10.selected")
def test_selection_that_test_does_not_confirm_fails_selected(config):
    """The limits are met on validation, but nothing was gained on test."""
    for cell in cells(config.sweep):
        rewrite(
            config,
            cell,
            lambda row: (
                {"right": row["base_right"]}
                if (row["kind"], row["split"]) == ("audio", "test")
                else {}
            ),
        )
    found, _, selections = outcome(config)
    assert found["10.selected"] == "fail"
    assert selections["selected"].within
    assert selections["selected"].selected is None
    assert "not confirmed" in selections["selected"].reason


@fault("training", "cells that gain audio and lose pictures", "10.selected")
def test_cells_that_forget_vl_fail_selected(config):
    for cell in cells(config.sweep):
        rewrite(config, cell, lambda row: {"right": False} if row["kind"] == "vl" else {})
    assert outcome(config)[0]["10.selected"] == "fail"


@fault("statistics", "one cell far from its neighbours", "10.consistent")
def test_outlier_cell_fails_consistent(config):
    """All cells but one are equally good."""
    middle = next(cell for cell in cells(config.sweep) if cell.place == (1, 1, 1))
    for cell in cells(config.sweep):
        right = cell != middle
        rewrite(config, cell, lambda row, r=right: {"right": r} if row["kind"] == "audio" else {})
    found, metrics, _ = outcome(config)
    assert found["10.consistent"] == "fail"
    assert middle.name in next(iter(metrics["consistent"].detail["widest"]))


@fault("training", "a loss that oscillates", "10.stable_curves")
def test_oscillating_loss_fails_stable_curves(config):
    """The loss oscillates without divergence and without spikes."""
    for cell in cells(config.sweep)[:4]:
        path = config.folder / EXPERIMENT / "jobs" / cell.name / "result.json"
        result = json.loads(path.read_text())
        result["losses"] = [2 + 0.5 * np.sin(step / 5) for step in range(60)]
        write_json(path, result)
    found, _, selections = outcome(config)
    assert found["10.stable_curves"] == "fail"
    rising = next(li for li in selections["stable_curves"].limits if li.value == "rising")
    assert rising.satisfied == 27 - 4


@fault("data", "batches that lost their sounds", "10.selected")
def test_batches_without_audio_fail_selected(config, monkeypatch):
    """The sampler never draws examples that need audio."""
    real = MixedBatches.next

    def without_audio(self):
        drawn = real(self)
        return [n for n in drawn if n >= 150] * 2

    monkeypatch.setattr(MixedBatches, "next", without_audio)
    names = [cell.name for cell in cells(config.sweep)]
    retrain(config, EXPERIMENT, *names[:1])
    path = config.folder / EXPERIMENT / "jobs" / names[0]
    for name in names[1:]:
        answers = pq.read_table(path / "items.parquet")
        pq.write_table(answers, path.with_name(name) / "items.parquet")
    assert outcome(config)[0]["10.selected"] == "fail"
