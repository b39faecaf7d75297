"""11 with planted faults: the criterion for each fault fails and the gate is NO-GO."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from safe.files import write_json
from safe.hearing.experiments import training_setup
from safe.hearing.experiments.seeds import jobs as seeds_jobs
from safe.hearing.experiments.seeds.plan import names
from safe.hearing.training.stage_a import StageA
from tests.faults import fault
from tests.judging import decide, restore_afterwards, retrain, run, verdicts
from tests.tiny_curriculum import teacher_forced

EXPERIMENT = "11_seeds"


@pytest.fixture
def config(trained_seeds_run, monkeypatch):
    """Trained seeds that a test may modify; restored afterwards."""
    monkeypatch.setattr(training_setup, "teacher_forced", teacher_forced)
    with restore_afterwards(trained_seeds_run.folder / EXPERIMENT):
        yield trained_seeds_run


def outcome(config):
    metrics = run(config, EXPERIMENT, config.folder / EXPERIMENT)[1]
    decision = decide(config, EXPERIMENT, metrics)
    assert decision.verdict == "NO-GO"
    return verdicts(decision), {m.name: m.reason for m in metrics}


@fault("statistics", "the same seed run three times", "11.audio_sd", "11.vl_sd")
def test_identical_seeds_make_the_deviations_unavailable(config, monkeypatch):
    """Weights and order do not depend on the seed, so the variance is zero and meaningless."""
    real = StageA.__init__

    def zero(self, feeder, rows, teacher, settings, seed):
        fresh = feeder.features.opened.build(config, seed=0)
        with torch.no_grad():
            for name, weight in feeder.model.trainable().items():
                weight.copy_(fresh.trainable()[name])
        real(self, feeder, rows, teacher, settings, 0)

    monkeypatch.setattr(StageA, "__init__", zero)
    retrain(config, EXPERIMENT, *names(config))
    found, reasons = outcome(config)
    assert found["11.audio_sd"] == found["11.vl_sd"] == "unavailable"
    assert "the seed has no effect" in reasons["audio_sd"]


@fault("statistics", "a seed that changes only part of the randomness", "11.audio_sd")
def test_order_independent_of_the_seed_makes_audio_sd_unavailable(config):
    folder = config.folder / EXPERIMENT / "jobs"
    first = json.loads((folder / "seed_0" / "result.json").read_text())
    path = folder / "seed_1" / "result.json"
    write_json(path, json.loads(path.read_text()) | {"order": first["order"]})
    found, reasons = outcome(config)
    assert found["11.audio_sd"] == "unavailable"
    assert "in the same order" in reasons["audio_sd"]


@fault("model", "frozen weights that differ between seeds", "11.frozen_checksums")
def test_changed_frozen_weights_fail_frozen_checksums(config, monkeypatch):
    """Training with one seed modifies the base."""
    real = seeds_jobs.SeedsTraining.frozen

    def moved(self, model):
        with torch.no_grad():
            weight = next(model.base.vision_model.parameters())
            weight.mul_(1.01)
        return real(self, model)

    monkeypatch.setattr(seeds_jobs.SeedsTraining, "frozen", moved)
    retrain(config, EXPERIMENT, "seed_1")
    assert outcome(config)[0]["11.frozen_checksums"] == "fail"


@pytest.mark.parametrize(("kind", "criterion"), [("audio", "11.audio_sd"), ("vl", "11.vl_sd")])
@fault("statistics", "an unlucky seed left out of the report", "11.audio_sd")
def test_outlier_seed_fails_its_standard_deviation(config, kind, criterion):
    path = config.folder / EXPERIMENT / "jobs" / "seed_2" / "items.parquet"
    rows = pq.read_table(path).to_pylist()
    mine = [row for row in rows if row["kind"] == kind]
    for row in mine[: len(mine) // 3]:
        row["right"] = False
    pq.write_table(pa.Table.from_pylist(rows), path)
    assert outcome(config)[0][criterion] == "fail"


@fault("statistics", "a diverged seed replaced by another", "11.audio_sd")
def test_diverged_seed_makes_all_unavailable(config):
    path = config.folder / EXPERIMENT / "jobs" / "seed_2" / "result.json"
    write_json(path, json.loads(path.read_text()) | {"diverged": "the loss is nan at step 3"})
    found, reasons = outcome(config)
    assert set(found.values()) == {"unavailable"}
    assert "nan at step 3" in reasons["audio_sd"]
