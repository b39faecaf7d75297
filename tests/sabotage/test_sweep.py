"""10 with a fault planted: the criterion that is there for it must fail, and the gate say NO-GO."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from safe.files import write_json
from safe.hearing.experiments import training_setup
from safe.hearing.experiments.sweep.plan import cells
from safe.hearing.training.sampler import MixedBatches
from tests.judging import decide, put_right_again, run, train_again, verdicts
from tests.tiny_curriculum import teacher_forced

EXPERIMENT = "10_sweep"


@pytest.fixture
def config(swept_run, monkeypatch):
    """A run whose cells are sound, to be spoiled; put right again afterwards."""
    monkeypatch.setattr(training_setup, "teacher_forced", teacher_forced)
    with put_right_again(swept_run.folder / EXPERIMENT):
        yield swept_run


def outcome(config):
    context, metrics = run(config, EXPERIMENT, config.folder / EXPERIMENT)
    decision = decide(config, EXPERIMENT, metrics, context)
    assert decision.verdict == "NO-GO"
    return verdicts(decision), {m.name: m for m in metrics}, decision.selections


def answered(config, cell, choose):
    """Rewrite a cell's items: `choose(row)` gives the new values."""
    path = config.folder / EXPERIMENT / "jobs" / cell.name / "items.parquet"
    rows = [row | choose(row) for row in pq.read_table(path).to_pylist()]
    pq.write_table(pa.Table.from_pylist(rows), path)


@pytest.mark.parametrize("seed", range(5))
def test_the_best_of_noise(config, seed):
    """No cell hears: each guesses as well as the base, and one of 27 is lucky."""
    rng = np.random.default_rng(seed)
    base = {}
    for cell in cells(config.sweep):

        def guess(row):
            if row["kind"] == "vl":
                return {}
            known = base.setdefault(row["id"], bool(rng.random() < 0.3))
            return {"base_right": known, "right": bool(rng.random() < 0.3)}

        answered(config, cell, guess)
    found, _, selections = outcome(config)
    assert found["10.selected"] == "fail"
    assert selections["selected"].selected is None


def test_a_choice_that_other_rows_do_not_bear_out(config):
    """On validation all is well; on test nothing was gained."""
    for cell in cells(config.sweep):
        answered(
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


def test_a_choice_that_forgets_pictures(config):
    for cell in cells(config.sweep):
        answered(config, cell, lambda row: {"right": False} if row["kind"] == "vl" else {})
    assert outcome(config)[0]["10.selected"] == "fail"


def test_a_neighbour_that_falls_out(config):
    """All cells are equally good but one; what was trained differs for reasons of its own."""
    middle = next(cell for cell in cells(config.sweep) if cell.place == (1, 1, 1))
    for cell in cells(config.sweep):
        right = cell != middle
        answered(config, cell, lambda row, r=right: {"right": r} if row["kind"] == "audio" else {})
    found, metrics, _ = outcome(config)
    assert found["10.consistent"] == "fail"
    assert middle.name in next(iter(metrics["consistent"].detail["widest"]))


def test_learning_rates_that_swing(config):
    """Curves that go up and down by turns; nothing diverges and no step is a spike."""
    for cell in cells(config.sweep)[:4]:
        path = config.folder / EXPERIMENT / "jobs" / cell.name / "result.json"
        result = json.loads(path.read_text())
        result["losses"] = [2 + 0.5 * np.sin(step / 5) for step in range(60)]
        write_json(path, result)
    found, _, selections = outcome(config)
    assert found["10.stable_curves"] == "fail"
    rising = next(li for li in selections["stable_curves"].limits if li.value == "rising")
    assert rising.satisfied == 27 - 4


def test_batches_without_sound(config, monkeypatch):
    """What is learned from is drawn wrongly: rows that need their sound never come."""
    real = MixedBatches.next

    def deaf(self):
        drawn = real(self)
        return [n for n in drawn if n >= 150] * 2

    monkeypatch.setattr(MixedBatches, "next", deaf)
    names = [cell.name for cell in cells(config.sweep)]
    train_again(config, EXPERIMENT, *names[:1])
    path = config.folder / EXPERIMENT / "jobs" / names[0]
    for name in names[1:]:
        answers = pq.read_table(path / "items.parquet")
        pq.write_table(answers, path.with_name(name) / "items.parquet")
    assert outcome(config)[0]["10.selected"] == "fail"
