"""Training under a curriculum: settings per stage, the log, and killed runs."""

import dataclasses
import json
import os
import random
import subprocess
import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from safe.errors import ConfigError, TrainingError
from safe.files import write_json
from safe.hearing.config import CurriculumConfig
from safe.hearing.data.sample import Sample
from safe.hearing.experiments.curriculum.rehearsal import content
from safe.hearing.experiments.curriculum.script import misdrawn, missing_lines
from safe.hearing.training.curriculum import Curriculum, EpochMetrics
from safe.hearing.training.curriculum_log import read_log
from safe.hearing.training.curriculum_run import DIFFICULTIES, CurriculumRun, HeldOut, StageBatches
from safe.hearing.training.noisy_sounds import noisy_sounds
from safe.hearing.training.teacher_forcing import teacher_forced
from tests.paths import ROOT
from tests.tiny_run import make_run
from tests.unit.hearing.training.test_stage_a import open_stage

EASY = {"min_audio_accuracy": 0.0, "max_vl_drop": 1.0}
STAGES = [
    {"name": "one", "epochs": 1, "audio_ratio": 0.4, "difficulties": ["easy"], **EASY},
    {
        "name": "two",
        "epochs": 2,
        "audio_ratio": 0.55,
        "difficulties": ["easy", "medium"],
        "loss": {"cross_entropy": 0.5, "distillation": 3.0},
        "augmentation": {"noise": 0.7, "noise_snr_db": [0.0, 5.0], "irrelevant": 0.2},
        "lr_factor": 0.5,
        "batch_factor": 1.5,
        **EASY,
    },
    {"name": "three", "epochs": 1, "audio_ratio": 0.5, "difficulties": ["hard"], **EASY},
]
SETTINGS = {"rows": 60, "checkpoint_every": 3, "distillation": 1.0, "warmup": 0.5}


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    return make_run(
        tmp_path_factory.mktemp("run"),
        vl=30,
        audio=24,
        stage_a=SETTINGS,
        adapter={
            "audio_tokens": 3,
            "hidden": 32,
            "lora": {"rank": 4, "alpha": 8, "dropout": 0.2},
        },
        curriculum={"batch_size": 10, "stages": STAGES},
    )


def open_run(config, log, curriculum=None, answers=None, skip_rate=0.5):
    """Open the run; `answers` replace the results on held-out examples, in order."""
    stage = open_stage(config)
    for n, row in enumerate(stage.rows):  # a third of each difficulty
        difficulty = ("easy", "medium", "hard")[n % 3]
        rows = (
            stage.data.audio_examples
            if n < len(stage.data.audio_examples)
            else stage.data.vl_examples
        )
        index = n if n < len(stage.data.audio_examples) else n - len(stage.data.audio_examples)
        sample = dataclasses.replace(row.sample, difficulty=difficulty)
        rows[index] = dataclasses.replace(row, sample=sample)
    clips = stage.data.clips
    rate = stage.feeder.features.opened.audio_encoder.sampling_rate
    noisy = noisy_sounds(clips, config.cache, snr_db=(0.0, 5.0), rate=rate, seed=0)
    stage.feeder.features.ensure([], [s for sounds in noisy.values() for s in sounds])
    given = iter(answers) if answers is not None else None

    def ask():
        if given is not None:
            return next(given)
        found = teacher_forced(stage.feeder, stage.data.vl_examples, stage.teacher)
        return sum(a.right for a in found) / len(found), min(1.0, sum(a.drift for a in found))

    return CurriculumRun(
        stage.feeder,
        stage.data,
        stage.teacher,
        config.stage_a,
        curriculum or config.curriculum,
        HeldOut(ask, skip_rate),
        noisy=noisy,
        log=log,
        seed=config.seed,
    )


def lines_of(path):
    found = [line for _, line in read_log(path)]
    assert all(isinstance(line, dict) for line in found), found
    return found


@pytest.fixture(scope="module")
def whole(config, tmp_path_factory):
    log = tmp_path_factory.mktemp("whole") / "log.jsonl"
    run = open_run(config, log)
    trainer = run.run(config, checkpoint=None, name="whole")
    return run, content(trainer), log


def test_log_contains_every_step_with_the_settings_of_its_stage(config, whole):
    run, _, log = whole
    lines = lines_of(log)
    lengths = [len(run.drawing.make(n)) for n in range(3)]
    assert missing_lines(config.curriculum, lines, lengths) == []
    assert misdrawn(config.curriculum, lines) == []
    actions = [line["action"] for line in lines if line["kind"] == "epoch"]
    assert actions == ["advance", "continue", "advance", "finish"]
    steps = [line for line in lines if line["kind"] == "step"]
    assert {line["rows"] for line in steps if line["stage"] == "two"} == {15}
    one, two = ([s for s in steps if s["stage"] == name] for name in ("one", "two"))
    assert one[0]["lora_lr"] < one[-1]["lora_lr"] == config.stage_a.lora_lr  # warm-up
    assert two[-1]["lora_lr"] == 0.5 * config.stage_a.lora_lr
    weighed = two[-1]["loss"] - 0.5 * two[-1]["cross_entropy"] - 3.0 * two[-1]["divergence"]
    assert weighed == pytest.approx(0, abs=1e-5)


def test_noise_and_background_fractions_follow_the_stage(config, tmp_path):
    run = open_run(config, tmp_path / "log.jsonl")
    first, background = len(run.data.audio_examples), {s.id for s in run.data.background}
    whole = list(range(len(run.rows)))
    assert set(run.heard(whole, 0)) == set(whole[first:])  # no noise in the first stage
    run.machine.stage_index = 1
    noisy = quiet = 0
    for step in range(60):
        found = run.heard(whole, step)
        assert found == run.heard(whole, step)
        noisy += sum("noisy" in s.id for n, s in found.items() if n < first)
        quiet += sum(s.id in background for n, s in found.items() if n >= first)
        for n, sample in found.items():
            assert (sample.source == run.rows[n].sample.source) == (n < first)
    assert 0.6 < noisy / (60 * first) < 0.8
    assert 0.7 < quiet / (60 * (len(whole) - first)) < 0.9


KILLED = """
import os, signal, sys
from pathlib import Path
import torch
from safe.hearing.config import load_run_config
from safe.hearing.training.trainer import Trainer
from tests.unit.hearing.training.test_curriculum_run import open_run
torch.set_num_threads(1)
config = load_run_config(Path(sys.argv[1]))
folder = Path(sys.argv[2])
real = Trainer.step
for last in map(int, sys.argv[3:]):
    child = os.fork()
    if child == 0:
        def dying(self, step):
            if step == last:
                os.kill(os.getpid(), signal.SIGKILL)
            return real(self, step)
        Trainer.step = dying
        run = open_run(config, folder / "log.jsonl")
        run.run(config, checkpoint=folder / "c.pt", name="killed")
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
"""


def killed_and_resumed(config, folder, steps):
    """Get killed at each step in turn, then run to the end; return (run, digests, log)."""
    folder.mkdir(parents=True)
    write_json(folder / "config.json", config.model_dump(mode="json"))
    arguments = [str(folder / "config.json"), str(folder), *map(str, steps)]
    died = subprocess.run(
        [sys.executable, "-c", KILLED, *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": "."},
        capture_output=True,
        check=False,
    )
    assert died.returncode == 0, died.stderr.decode()[-2000:]
    run = open_run(config, folder / "log.jsonl")
    trainer = run.run(config, checkpoint=folder / "c.pt", name="resumed")
    assert trainer.resumed_at is not None
    return run, content(trainer), folder / "log.jsonl"


def test_five_kills_at_random_moments_change_nothing(config, whole, tmp_path):
    total = sum(line["kind"] == "step" for line in lines_of(whole[2]))
    moments = sorted(random.Random(0).sample(range(4, total), 5))
    _, digests, log = killed_and_resumed(config, tmp_path / "killed", moments)
    assert digests == whole[1]
    assert log.read_bytes() == whole[2].read_bytes()


def test_extension_shifts_the_ratio_towards_the_missed_threshold(config, tmp_path):
    curriculum = config.curriculum.model_copy(
        update={
            "stages": [
                config.curriculum.stages[0].model_copy(
                    update={"min_audio_accuracy": 0.5, "max_vl_drop": 0.1}
                )
            ],
            "ratio_step": 0.2,
        }
    )
    answers = [(0.4, 0.0), (0.6, 0.2), (0.6, 0.0)]
    run = open_run(config, tmp_path / "log.jsonl", curriculum, answers)
    run.run(config, checkpoint=None, name="extension")
    epochs = [line for line in lines_of(tmp_path / "log.jsonl") if line["kind"] == "epoch"]
    assert [line["action"] for line in epochs] == ["extend", "extend", "finish"]
    assert [line["audio_ratio"] for line in epochs] == pytest.approx([0.4, 0.6, 0.4])
    assert misdrawn(curriculum, lines_of(tmp_path / "log.jsonl")) == []


@given(
    ratio=st.floats(0.05, 0.95),
    size=st.integers(4, 40),
    kinds=st.lists(st.sampled_from(["easy", "medium", "hard"]), min_size=1, unique=True),
    epochs=st.integers(0, 3),
)
@settings(max_examples=60, deadline=None)
def test_every_batch_follows_the_stage(ratio, size, kinds, epochs):
    samples = [
        Sample(
            id=str(n),
            dataset="made",
            split="train",
            task="vl" if n % 2 else "audio",
            question="?",
            question_type="",
            answers=(),
            answer="",
            source=str(n),
            difficulty=DIFFICULTIES[n % 3],
        )
        for n in range(60)
    ]
    stage = {**STAGES[0], "audio_ratio": ratio, "difficulties": kinds}
    curriculum = CurriculumConfig.model_validate({"batch_size": size, "stages": [stage]})
    machine = Curriculum(curriculum, epoch=epochs)
    drawing = StageBatches(samples, machine, seed=3)
    total = 0
    for _ in range(200):
        drawn = [samples[n] for n in drawing.next()]
        assert len(drawn) == size
        assert {s.difficulty for s in drawn} <= set(kinds)
        heard = sum(s.task != "vl" for s in drawn)
        assert abs(heard - ratio * size) < 1
        total += heard
    assert abs(total / (200 * size) - ratio) < 0.02


@pytest.mark.parametrize(
    ("changes", "skip_rate", "words"),
    [
        ({"min_samples": 10_000}, 0.5, "asks for 10000 samples"),
        ({"min_skip_rate": 0.6}, 0.5, "skips 0.5000 of the held-out questions"),
    ],
)
def test_unreachable_thresholds_are_refused_before_training(
    config, tmp_path, changes, skip_rate, words
):
    stages = [config.curriculum.stages[0].model_copy(update=changes)]
    curriculum = config.curriculum.model_copy(update={"stages": stages})
    with pytest.raises(ConfigError, match=words):
        open_run(config, tmp_path / "log.jsonl", curriculum, skip_rate=skip_rate)
    assert not (tmp_path / "log.jsonl").exists()


def test_missing_log_is_refused(config, tmp_path):
    run = open_run(config, tmp_path / "log.jsonl")
    run.log.size = 100
    with pytest.raises(TrainingError, match="ends at byte 0"), run.log:
        pass


def test_checkpoint_of_another_curriculum_is_not_used(config, whole, tmp_path):
    _, _, log = killed_and_resumed(config, tmp_path / "killed", [7])
    other = config.curriculum.model_copy(update={"early_factor": 1.5})
    changed = open_run(config, log, other)
    assert changed.fingerprint() != whole[0].fingerprint()
    with pytest.warns(UserWarning, match=r"c\.pt: has other data, settings or models"):
        trainer = changed.run(config, checkpoint=tmp_path / "killed" / "c.pt", name="changed")
    assert trainer.resumed_at is None
    assert log.read_bytes() == whole[2].read_bytes()  # restarted without early progress


def test_lost_random_state_changes_the_result(config, whole, tmp_path, monkeypatch):
    """The sabotage of 08.resume_identical: LoRA's dropout draws other masks after a resume."""
    monkeypatch.setattr(torch, "set_rng_state", lambda state: None)
    _, digests, log = killed_and_resumed(config, tmp_path / "killed", [7])
    assert digests["weights"] != whole[1]["weights"]
    assert log.read_bytes() != whole[2].read_bytes()
    assert json.loads(log.read_bytes().splitlines()[-1])["action"] == "finish"


def test_restored_state_machine_equals_the_original():
    curriculum = CurriculumConfig.model_validate({"stages": STAGES})
    machine = Curriculum(curriculum)
    assert machine.observe(EpochMetrics(1.0, 0.0, 10, 0.0)).action == "advance"
    again = Curriculum.restore(curriculum, machine.state())
    assert again.state() == machine.state()
    assert again.ratio == 0.55
