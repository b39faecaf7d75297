"""Stage A: sounds of VL rows, the teacher, and resumed runs."""

import os
import signal
import subprocess
import sys

import pytest
import torch

from safe.errors import ConfigError, DataError
from safe.files import write_json
from safe.hearing.config import parse_run_config
from safe.hearing.training.batching import Feeder
from safe.hearing.training.collate import TextEncoder
from safe.hearing.training.features import Features
from safe.hearing.training.frozen_models import open_base
from safe.hearing.training.losses import StageAObjective
from safe.hearing.training.stage_a import StageA, select_stage_a
from safe.hearing.training.teacher import Teacher
from tests.paths import ROOT
from tests.tiny_run import make_run

SETTINGS = {
    "rows": 60,
    "steps": 12,
    "batch_size": 8,
    "checkpoint_every": 4,
    "distillation": 1.0,
    "background_noise_fraction": 0.3,
}


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("run"), vl=30, audio=24, stage_a=SETTINGS)


def open_stage(config, **changes):
    torch.set_num_threads(1)
    settings = config.stage_a.model_copy(update=changes)
    opened = open_base(config)
    model = opened.build(config, seed=config.seed)
    features = Features(opened, config.cache)
    encoder = TextEncoder(opened.vlm, opened.processor)
    manifest = config.folder / "data" / "manifest.parquet"
    rows = select_stage_a(config, manifest, features, encoder)
    teacher = Teacher(features, encoder, config.cache)
    return StageA(Feeder(model, features, encoder), rows, teacher, settings, config.seed)


def train(stage, config, checkpoint=None):
    return stage.train(config, checkpoint=checkpoint, folder=None, name="test")


def weights(stage):
    return {n: p.detach().clone() for n, p in stage.model.trainable().items()}


def difference(one, other):
    return max(float((one[n] - other[n]).abs().max()) for n in one)


def test_teacher_logits_are_those_of_the_base(config):
    stage = open_stage(config)
    rows = stage.data.vl_examples[:7]
    teacher = stage.teacher.logits(rows)
    inputs = stage.feeder.plain(rows) | stage.feeder.encoder.answers(rows)
    plain = stage.model.answer_logits(**inputs, gate=False)
    base = plain[inputs["answer_mask"].bool()]
    assert torch.allclose(teacher, base, atol=1e-5)


def test_teacher_logits_are_cached(config):
    open_stage(config)
    assert open_stage(config).teacher.computed == 0


def test_vl_row_never_gets_a_sound_of_its_own_source(config):
    stage = open_stage(config)
    audio_examples = len(stage.data.audio_examples)
    background = {s.id for s in stage.data.background}
    background_count = 0
    for step in range(40):
        whole = list(range(audio_examples, len(stage.rows)))
        found = stage.heard(whole, step)
        assert found == stage.heard(whole, step)
        assert set(found) == set(whole)
        for number, sample in found.items():
            assert sample.source != stage.rows[number].sample.source
            background_count += sample.id in background
    assert 0.2 < background_count / (40 * len(stage.data.vl_examples)) < 0.4


def test_every_batch_has_its_share_of_audio_examples(config):
    stage = open_stage(config)
    batches = stage.batches()
    for _ in range(20):
        drawn = batches.next()
        assert sum(n < len(stage.data.audio_examples) for n in drawn) == 4
        assert len(drawn) == 8


def test_without_distillation_vl_rows_are_left_out(config):
    stage = open_stage(config, distillation=0.0)
    drawn = stage.batches().next()
    assert len(drawn) == 4
    assert stage.make(drawn, drawn, 0).teacher is None


def test_distillation_keeps_the_model_near_the_base(config):
    drift = {}
    for weight in (0.0, 5.0):
        stage = open_stage(config, distillation=weight, steps=60, projector_lr=1e-2, lora_lr=1e-2)
        train(stage, config)
        copy = open_stage(config)
        copy.model.load_state_dict(stage.model.state_dict())
        whole = list(range(len(copy.data.audio_examples), len(copy.rows)))
        with torch.no_grad():
            batch = copy.make(whole, whole, 0)
            drift[weight] = float(StageAObjective(1.0)(copy.model, batch)["divergence"])
    assert drift[5.0] < 0.5 * drift[0.0]


def test_accumulation_changes_only_rounding(config):
    one, four = (train(open_stage(config, accumulate=n), config).history for n in (1, 4))
    assert one[0].loss == pytest.approx(four[0].loss, abs=1e-5)
    assert one[0].gradient_norm == pytest.approx(four[0].gradient_norm, rel=1e-4)
    assert one[1].loss == pytest.approx(four[1].loss, rel=1e-4)  # later AdamW amplifies rounding


KILLED = """
import os, signal, sys
from pathlib import Path
from safe.hearing.config import load_run_config
from safe.hearing.training.trainer import Trainer
from tests.unit.hearing.training.test_stage_a import open_stage, train
config = load_run_config(Path(sys.argv[1]))
real = Trainer.step
def dying(self, step):
    if step == 9:
        os.kill(os.getpid(), signal.SIGKILL)
    return real(self, step)
Trainer.step = dying
train(open_stage(config), config, Path(sys.argv[2]))
"""


def test_killed_run_resumes_bit_for_bit(config, tmp_path):
    write_json(tmp_path / "config.json", config.model_dump(mode="json"))
    path = tmp_path / "c.pt"
    died = subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path / "config.json"), str(path)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": "."},
        capture_output=True,
        check=False,
    )
    assert died.returncode == -signal.SIGKILL, died.stderr.decode()[-2000:]
    whole, resumed = open_stage(config), open_stage(config)
    history = train(whole, config).history
    again = train(resumed, config, path)
    assert again.resumed_at == 8
    assert again.history == history
    assert difference(weights(whole), weights(resumed)) == 0


@pytest.mark.parametrize(
    ("settings", "error", "words"),
    [
        ({"batch_size": 400}, ConfigError, "stage_a.batch_size"),
        ({"batch_size": 2, "accumulate": 4}, ConfigError, "accumulate"),
        ({"tasks": ["caption"]}, DataError, "needs its sound"),
    ],
)
def test_settings_that_cannot_be_trained_are_refused(config, settings, error, words):
    values = config.model_dump(mode="json")
    values["stage_a"] |= settings
    own = parse_run_config(values, "t")
    with pytest.raises(error, match=words):
        train(open_stage(own), own)
