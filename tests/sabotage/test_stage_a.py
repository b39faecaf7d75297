"""04 with planted faults: the criterion for each fault fails and the gate is NO-GO."""

import dataclasses
import functools
import time

import pytest
import torch

from safe.hearing.config import parse_run_config
from safe.hearing.experiments.stage_a_pilot import evaluator as stage_a_bench
from safe.hearing.experiments.stage_a_pilot import measure as stage_a_pilot
from safe.hearing.experiments.stage_a_pilot.evaluator import MODES
from safe.hearing.models.safe_model import SafeModel
from safe.hearing.training import collate, trainer
from safe.hearing.training.features import Features
from safe.pipeline.runner import run_jobs
from tests.faults import fault
from tests.judging import decide, run, verdicts, with_limits
from tests.tiny_run import make_pilot_run

EXPERIMENT = "04_stage_a_pilot"
JOBS = ("distilled", "undistilled", "k3_r16")


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    return make_pilot_run(tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="module")
def trained(config):
    run_jobs(config, EXPERIMENT, JOBS)
    return config


def changed(config, tmp_path, **changes):
    """The same prepared run with other settings and its own folder for 04."""
    values = config.model_dump(mode="json")
    for section, keys in changes.items():
        values[section] |= keys
    values["run"] = f"tiny-{tmp_path.name}"[:60]
    other = parse_run_config(values, "t")
    other.folder.mkdir(exist_ok=True)
    for name in ("base.json", "data"):
        if not (other.folder / name).exists():
            (other.folder / name).symlink_to(config.folder / name)
    return other


def outcome(config, train=JOBS):
    run_jobs(config, EXPERIMENT, train)
    context, metrics = run(config, EXPERIMENT, config.folder / EXPERIMENT)
    decision = decide(config, EXPERIMENT, metrics, context)
    assert decision.verdict == "NO-GO"
    return verdicts(decision)


@fault("training", "a learning rate in the wrong unit", "04.audio_gain")
def test_learning_rate_a_thousand_times_too_high_does_not_pass_audio_gain(config, tmp_path):
    rates = {"projector_lr": 5.0, "lora_lr": 5.0, "warmup": 0.0}
    found = outcome(changed(config, tmp_path, stage_a=rates))
    assert found["04.audio_gain"] != "pass"


@fault("training", "a schedule that restarts in the middle", "04.stable")
def test_learning_rate_jump_fails_stable(config, tmp_path, monkeypatch):
    """Three steps in the middle, as after a restart with another schedule."""
    real = trainer.warmup_cosine

    def jumping(step, steps, warmup):
        return real(step, steps, warmup) * (1000 if steps // 2 <= step < steps // 2 + 3 else 1)

    monkeypatch.setattr(trainer, "warmup_cosine", jumping)
    assert outcome(changed(config, tmp_path))["04.stable"] == "fail"


@fault(
    "training",
    "a training that diverged and was evaluated all the same",
    "04.stable",
    "04.audio_gain",
)
def test_diverged_training_fails_stable_and_makes_audio_gain_unavailable(config, tmp_path):
    """Not finite: nothing is made up for the numbers that were not measured."""
    rates = {"projector_lr": 1e30, "lora_lr": 1e30, "warmup": 0.0}
    found = outcome(changed(config, tmp_path, stage_a=rates))
    assert found["04.stable"] == "fail"
    assert found["04.audio_gain"] == "unavailable"


@fault("data", "sounds shuffled against their questions", "04.audio_needed")
def test_shuffled_sounds_fail_audio_needed(config, tmp_path, monkeypatch):
    """Each question gets another question's sound, so audio is uninformative."""
    real, generator = Features.audio, torch.Generator().manual_seed(0)

    def audio(self, samples):
        found = real(self, samples)
        return found[torch.randperm(len(found), generator=generator)]

    monkeypatch.setattr(Features, "audio", audio)
    found = outcome(changed(config, tmp_path))
    assert found["04.audio_needed"] == "fail"  # by chance a constant can beat the majority


@fault("evaluation", "answers that leak into the prompts", "04.audio_needed")
def test_answers_in_the_prompt_fail_audio_needed(config, tmp_path, monkeypatch):
    """A model that ignores audio and reads the answers may gain as much as one that uses audio."""
    real, hear = collate.TextEncoder.row, SafeModel.hear

    def leaking(self, sample, heard):
        if sample.task == "vl":
            return real(self, sample, heard)
        question = f"{sample.question} {sample.answer}"
        return real(self, dataclasses.replace(sample, question=question), heard)

    monkeypatch.setattr(collate.TextEncoder, "row", leaking)
    monkeypatch.setattr(SafeModel, "hear", lambda self, audio, rows: hear(self, audio, rows) * 0)
    found = outcome(changed(config, tmp_path, stage_a={"steps": 400}))
    assert found["04.audio_gain"] == "pass"
    assert found["04.audio_needed"] == "fail"


@fault("training", "a training that forgets the pictures", "04.vl_drop_on")
def test_adapter_that_forgot_vl_fails_vl_drop_on(trained, monkeypatch):
    """The base answers every VL question; with the gate ON the model does not."""
    real = stage_a_bench.PilotEvaluator.off_table

    def correct_off(self, model):
        return [{**row, "base_correct": True, "safe_correct": True} for row in real(self, model)]

    monkeypatch.setattr(stage_a_bench.PilotEvaluator, "off_table", correct_off)
    assert outcome(trained, train=())["04.vl_drop_on"] == "fail"


@fault("model", "a gate that is ignored when audio is present", "04.vl_drop")
def test_adapter_active_when_off_does_not_pass_vl_drop(trained, monkeypatch):
    real = SafeModel.generate

    def generate(self, *args, gate, audio=None, **kwargs):
        if audio is not None and gate is False:
            gate = True
        return real(self, *args, gate=gate, audio=audio, **kwargs)

    monkeypatch.setattr(SafeModel, "generate", generate)
    assert outcome(trained, train=())["04.vl_drop"] != "pass"


@fault("model", "an audio encoder that runs on the wrong device", "04.latency")
def test_slow_audio_encoder_fails_latency(trained, monkeypatch):
    real = SafeModel.hear

    def slow(self, audio, rows):
        time.sleep(0.1)
        return real(self, audio, rows)

    monkeypatch.setattr(SafeModel, "hear", slow)
    found = outcome(trained, train=())
    assert found["04.latency"] == "fail"


@fault("evaluation", "cached answers timed as if they were computed", "04.timed_work")
def test_answers_remembered_while_timed_fail_timed_work(trained, monkeypatch):
    real = stage_a_bench.PilotEvaluator._ways

    def remembering(self, model, row):
        return [functools.cache(call) for call in real(self, model, row)]

    monkeypatch.setattr(stage_a_bench.PilotEvaluator, "_ways", remembering)
    found = outcome(trained, train=())
    assert found["04.timed_work"] == "fail"


@fault("evaluation", "the path without audio timed twice", "04.timed_work")
def test_answer_without_the_sound_timed_as_with_it_fails_timed_work(trained, monkeypatch):
    real = stage_a_bench.PilotEvaluator._ways
    monkeypatch.setattr(
        stage_a_bench.PilotEvaluator, "_ways", lambda *given: [real(*given)[0]] * len(MODES)
    )
    assert outcome(trained, train=())["04.timed_work"] == "fail"


@fault("evaluation", "a clock that covers only part of the work", "04.latency_plausible")
def test_sound_that_makes_answers_faster_fails_latency_plausible(trained, monkeypatch):
    real = stage_a_bench.PilotEvaluator.times

    def faster(self, model, pairs):
        found = []
        for n, row in enumerate(real(self, model, pairs)):
            on = row["off"] * (0.5 + 1e-3 * (n % 3))  # repeated timings are never exactly equal
            found.append(row | {"cached": on, "uncached": on})
        return found

    monkeypatch.setattr(stage_a_bench.PilotEvaluator, "times", faster)
    assert outcome(trained, train=())["04.latency_plausible"] == "fail"


@fault("training", "a model that learned the most common answers", "04.audio_over_majority")
def test_model_that_gives_the_most_common_answers_fails_audio_over_majority(trained, monkeypatch):
    """The gain over a base that never says them is real, but no sound is needed for it."""
    real, common = stage_a_bench.Job.items, stage_a_bench.PilotEvaluator.majority
    known: dict[str, str] = {}

    def majority(self):
        known.update(common(self))
        return known

    def items(self, kind):
        return [
            row | {"correct": known.get(row.get("question_type")) == row.get("answer")}
            for row in real(self, kind)
        ]

    monkeypatch.setattr(stage_a_bench.PilotEvaluator, "majority", majority)
    monkeypatch.setattr(stage_a_bench.Job, "items", items)
    assert outcome(trained, train=())["04.audio_over_majority"] == "fail"


@fault("training", "sizes compared before any of them has learned", "04.smallest_config")
def test_no_size_that_gains_anything_fails_smallest_config(trained):
    strict = with_limits(trained, smallest_config={"gain_low": 1.0})
    assert outcome(strict, train=())["04.smallest_config"] != "pass"  # one size is too few to fail


@fault("model", "a selected size that is too slow for its gain", "04.latency_acceptable")
def test_slow_selected_size_fails_latency_acceptable(trained, monkeypatch):
    real = SafeModel.hear

    def slow(self, audio, rows):
        time.sleep(0.1)
        return real(self, audio, rows)

    monkeypatch.setattr(SafeModel, "hear", slow)
    free = with_limits(trained, smallest_config={"gain_low": -1.0, "behind_best_high": 1.0})
    assert outcome(free, train=())["04.latency_acceptable"] == "fail"


@pytest.mark.parametrize(
    ("added", "verdict"),
    [
        (0.05, "pass"),
        pytest.param(
            0.2,
            "fail",
            marks=fault(
                "model",
                "a larger audio encoder than planned",
                "04.latency",
                "04.latency_full",
            ),
        ),
    ],
)
def test_latency_fails_at_20_percent_and_passes_at_5_percent(trained, monkeypatch, added, verdict):
    """At full scale, whose bound is the plan's, in time and in operations."""
    real, count = stage_a_bench.PilotEvaluator.times, stage_a_pilot.count_answer

    def slower(self, model, pairs):
        found = []
        for n, row in enumerate(real(self, model, pairs)):
            on = (1 + added) * row["off"]
            off = row["off"] * (1 + 1e-3 * (n % 3))  # repeated timings are never exactly equal
            found.append(row | {"off": off, "cached": on, "uncached": on})
        return found

    def costlier(model):
        work = count(model)
        alone = work["vision"] + work["language"]
        heard = alone * added - (work["language_on"] - work["language"]) - work["projector"]
        return work | {"audio_encoder": round(heard)}

    monkeypatch.setattr(stage_a_bench.PilotEvaluator, "times", slower)
    monkeypatch.setattr(stage_a_pilot, "count_answer", costlier)
    metrics = run(trained, EXPERIMENT, trained.folder / EXPERIMENT)[1]
    found = verdicts(decide(trained.model_copy(update={"scale": "full"}), EXPERIMENT, metrics))
    assert found["04.latency"] == found["04.latency_full"] == verdict


def test_occasional_stalls_do_not_fail_latency(trained, monkeypatch):
    """Every fifth question takes a second longer."""

    def with_stalls(self, model, pairs):
        found = []
        for n in range(pairs):
            off, on = 0.02, 0.021 + 1e-4 * (n % 3)
            heard = {"cached": on, "uncached": on + (n % 5 == 0)}
            found.append({"id": f"q{n % 9}", "off": off, **heard, "idle": False})
        return found

    monkeypatch.setattr(stage_a_bench.PilotEvaluator, "times", with_stalls)
    assert outcome(trained, train=())["04.latency"] == "pass"


@fault("model", "a configuration larger than the device", "04.memory_fits")
def test_too_little_device_memory_fails_memory_fits(trained, tmp_path, monkeypatch):
    monkeypatch.setattr(stage_a_bench.PilotEvaluator, "memory", lambda self: 2**20)
    free = with_limits(trained, smallest_config={"gain_low": -1.0, "behind_best_high": 1.0})
    assert outcome(free, train=())["04.memory_fits"] == "fail"
