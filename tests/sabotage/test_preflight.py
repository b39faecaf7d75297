"""Faults planted in small worlds and in the curriculum: the matching criterion of 01 fails."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pytest
from _pytest.mark import ParameterSet
from PIL import Image

from safe.gates.criteria import load_criteria
from safe.gates.judge import judge
from safe.gates.schema import Decision, Judged, Measurement, Metric
from safe.hearing.config import DatasetConfig, RunConfig, WorldConfig
from safe.hearing.context import Context
from safe.hearing.data.annotations.base import ReadJob
from safe.hearing.data.audit import composition, pictures
from safe.hearing.data.audit.base import connect
from safe.hearing.data.layouts import audiocaps
from safe.hearing.data.mixing import StageSampler
from safe.hearing.data.sample import Sample
from safe.hearing.experiments.data_preflight.measure import (
    _files_load,
    audit_metrics,
    curriculum_metrics,
)
from safe.hearing.prepare.data import prepare_data
from safe.hearing.training import curriculum as machine
from tests.faults import fault, note
from tests.paths import ROOT
from tests.tiny_data import run_config

RULES = ROOT / "config" / "hearing" / "criteria" / "01_data_preflight.yaml"
DATA = {
    "01.no_leakage",
    "01.all_rows_read",
    "01.files_load",
    "01.class_balance",
    "01.no_cross_split_duplicates",
    "01.no_held_out_copies",
    "01.duplicate_recall",
    "01.alignment",
    "01.mismatch",
}


def world_config(folder: Path, faults: list[str], clips: int, pictures: int) -> RunConfig:
    root = folder / "world"
    datasets = [
        {"name": "captions", "layout": "audiocaps", "root": root / "audiocaps",
         "splits": {"train": "train", "val": "val", "test": "test"},
         "options": {"events": "Annotations.txt"}},
        {"name": "vqa", "layout": "vqav2", "root": root / "vqav2",
         "splits": {"train": "train2014", "val": "val2014", "test": "test2015"}},
        {"name": "gqa", "layout": "gqa", "root": root / "gqa",
         "splits": {"train": "train", "val": "val", "test": "testdev"}},
        {"name": "music", "layout": "music_avqa", "root": root / "music_avqa",
         "splits": {"train": "train", "val": "val", "test": "test"},
         "options": {"events": str(root / "ave" / "Annotations.txt")}},
    ]  # fmt: skip
    world = WorldConfig(
        root=root, seed=3, clips=clips, images=pictures, videos=pictures, faults=faults
    )
    return run_config(
        folder, [DatasetConfig.model_validate(d) for d in datasets], world=world, threads=2
    )


def decide(metrics: list[Metric]) -> Decision:
    """Judge as the run does, but without minimum sample sizes, since these worlds are small."""
    measurement = Measurement(
        experiment="01_data_preflight", run="tiny", metrics=metrics, digests={}, environment={},
        seeds={}, started="", duration_s=0, device_s=0, peak_memory_bytes=0,
    )  # fmt: skip
    rules = load_criteria(RULES)
    few = [criterion.model_copy(update={"min_n": 1}) for criterion in rules.criteria]
    return note(judge(measurement, rules.model_copy(update={"criteria": few})))


def judged(
    tmp_path: Path,
    *faults: str,
    clips: int = 90,
    pictures: int = 45,
    change: Callable[[RunConfig], None] | None = None,
) -> dict[str, Judged]:
    """Verdicts on a small world with planted faults; `change` edits its files."""
    config = world_config(tmp_path, list(faults), clips, pictures)
    prepare_data(config)
    if change is not None:
        change(config)
        prepare_data(config)
    folder = config.folder / "01_data_preflight"
    folder.mkdir(parents=True)
    context = Context(config=config, folder=folder)
    media = context.manifest.with_name("media.parquet")
    with connect(context.manifest, config.datasets, media) as base:
        decision = decide(audit_metrics(base, context, with_media=True))
    return {criterion.id: criterion for criterion in decision.criteria}


def failed(found: dict[str, Judged]) -> set[str]:
    return {name for name, criterion in found.items() if criterion.verdict == "fail"}


def test_world_without_faults_fails_nothing(tmp_path):
    found = judged(tmp_path, pictures=90)
    assert failed(found) == set()
    passed = {name for name, criterion in found.items() if criterion.verdict == "pass"}
    # With so few files and copies, these criteria are inconclusive.
    assert passed >= DATA - {"01.files_load", "01.mismatch", "01.duplicate_recall"}


def planted(faults: list[str], imitates: str, *criteria: str) -> ParameterSet:
    return pytest.param(faults, set(criteria), marks=fault("data", imitates, *criteria))


# Faults of different criteria share a world, to keep this file quick.
@pytest.mark.parametrize(
    ("faults", "criteria"),
    [
        planted(
            ["leak"],
            "recordings that are in train and in test",
            "01.no_leakage",
            "01.no_cross_split_duplicates",
        ),
        planted(
            ["id_leak", "undecodable"],
            "ids that name the answer; files that were cut off by an aborted download",
            "01.no_leakage",
            "01.files_load",
        ),
        planted(
            ["duplicate_exact", "skew"],
            "files copied to another split; nearly only questions with the answer yes",
            "01.no_cross_split_duplicates",
            "01.class_balance",
        ),
        planted(
            ["duplicate_reencoded"],
            "test files that were encoded again and used for training",
            "01.no_cross_split_duplicates",
        ),
        planted(["shifted"], "annotations shifted in time", "01.alignment", "01.mismatch"),
        planted(["silent"], "videos without sound", "01.alignment", "01.mismatch"),
    ],
)
def test_planted_fault_fails_only_its_own_criteria(tmp_path, faults, criteria):
    assert failed(judged(tmp_path, *faults)) & DATA == criteria


@fault("data", "failed rows dropped by the reader", "01.all_rows_read")
def test_reader_that_drops_what_it_cannot_decode_fails_all_rows_read(tmp_path, monkeypatch):
    """Without the dropped sounds, every file that is left loads."""
    read = audiocaps.read

    def dropping(job: ReadJob) -> Iterator[Sample]:
        for sample in read(job):
            if sample.audio is None or sample.audio.path.stat().st_size > 1000:
                yield sample

    monkeypatch.setattr(audiocaps, "read", dropping)
    found = judged(tmp_path, "undecodable")
    assert "01.all_rows_read" in failed(found)


@fault("data", "broken sounds averaged with many intact pictures", "01.files_load")
def test_many_intact_pictures_do_not_hide_broken_sounds():
    """3 % of all files are broken, but 10 % of the sounds."""
    base = duckdb.connect()
    base.execute(
        """
        CREATE TABLE media AS
        SELECT 'clips' AS dataset, n || '.wav' AS path, 'cut off' AS reason,
               CASE WHEN n < 300 THEN 'audio' ELSE 'image' END AS kind,
               NOT (kind = 'audio' AND n % 10 = 0) AS ok
        FROM range(1000) AS numbers(n)
        """
    )
    found = _files_load(base)
    assert found.detail["worst"] == "clips, audio"
    assert found.value == pytest.approx(0.9)


@fault("data", "test pictures in train, cropped by five per cent", "01.no_cross_split_duplicates")
def test_cropped_validation_pictures_in_train_fail_no_cross_split_duplicates(tmp_path):
    def plant(config: RunConfig) -> None:
        folder = config.datasets[1].root
        for number, path in enumerate(sorted((folder / "val2014").iterdir())):
            picture = Image.open(path).convert("RGB")
            width, height = picture.size
            box = (0.05 * width, 0.05 * height, 0.95 * width, 0.95 * height)
            size = (round(0.9 * width), round(0.9 * height))
            copy = picture.resize(size, Image.Resampling.BICUBIC, box=box)
            copy.save(sorted((folder / "train2014").iterdir())[number], quality=95)

    found = judged(tmp_path, change=plant)
    assert failed(found) == {"01.no_cross_split_duplicates"}
    value = found["01.no_cross_split_duplicates"].value
    pictures = len(list((tmp_path / "world" / "vqav2" / "val2014").iterdir()))
    assert value is not None
    assert value >= 0.8 * pictures


@fault("data", "five copies of a test item under other ids", "01.no_held_out_copies")
def test_copies_within_test_fail_no_held_out_copies(tmp_path):
    def plant(config: RunConfig) -> None:
        first, *others = sorted((config.datasets[1].root / "test2015").iterdir())
        for other in others[:4]:
            shutil.copy(first, other)

    assert "01.no_held_out_copies" in failed(judged(tmp_path, change=plant))


@fault("data", "a duplicate detector that compares nothing", "01.duplicate_recall")
def test_blind_detector_fails_duplicate_recall(tmp_path, monkeypatch):
    monkeypatch.setattr(pictures, "CANDIDATE", 2.0)
    assert failed(judged(tmp_path)) == {"01.duplicate_recall"}


@fault("data", "answers readable from file names", "01.no_leakage")
def test_answers_in_file_names_fail_no_leakage(tmp_path):
    assert failed(judged(tmp_path, "answer_in_filename", clips=9, pictures=150)) == {
        "01.no_leakage"
    }


@fault("data", "sounds assigned to the wrong videos", "01.alignment", "01.mismatch")
def test_swapped_sounds_fail_alignment_and_mismatch(tmp_path):
    found = judged(tmp_path, "swapped", clips=320, pictures=9)
    assert failed(found) & DATA == {"01.alignment", "01.mismatch"}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory) -> RunConfig:
    config = world_config(tmp_path_factory.mktemp("plain"), [], 30, 15)
    stages = [
        config.curriculum.stages[0].model_copy(update={"name": "first", "difficulties": ["easy"]}),
        config.curriculum.stages[0].model_copy(update={"name": "second", "epochs": 3}),
    ]
    curriculum = config.curriculum.model_copy(update={"stages": stages, "batch_size": 20})
    config = config.model_copy(update={"curriculum": curriculum})
    prepare_data(config)
    return config


def curriculum_verdicts(config: RunConfig, folder: Path) -> dict[str, str]:
    metrics = curriculum_metrics(Context(config=config, folder=folder))
    return {c.id: c.verdict for c in decide(metrics).criteria if c.id not in DATA}


def test_unmodified_sampler_and_transitions_do_not_fail(prepared, tmp_path):
    assert "fail" not in curriculum_verdicts(prepared, tmp_path).values()


class TooMuchAudio(StageSampler):
    """Draws three more audio examples in every batch than it should."""

    def _audio_before(self, index: int) -> int:
        return super()._audio_before(index) + 3 * index


class IgnoresDifficulty(StageSampler):
    """Puts one example of another difficulty into every batch."""

    def __init__(self, samples: Any, stage: Any, **more: Any) -> None:
        super().__init__(samples, stage, **more)
        self.misplaced = next(
            i for i, s in enumerate(samples)
            if s.difficulty not in stage.difficulties or s.difficulty == "hard"
        )  # fmt: skip

    def batch(self, index: int) -> np.ndarray:
        rows = super().batch(index)
        rows[0] = self.misplaced
        return rows


@pytest.mark.parametrize(
    ("sampler", "criterion"),
    [
        pytest.param(
            TooMuchAudio,
            "01.batch_composition",
            marks=fault(
                "training", "three audio examples too many a batch", "01.batch_composition"
            ),
        ),
        pytest.param(
            IgnoresDifficulty,
            "01.difficulty_filter",
            marks=fault("training", "a filter that one code path omits", "01.difficulty_filter"),
        ),
    ],
)
def test_faulty_sampler_fails_its_criterion(prepared, tmp_path, monkeypatch, sampler, criterion):
    monkeypatch.setattr(composition, "StageSampler", sampler)
    assert curriculum_verdicts(prepared, tmp_path)[criterion] == "fail"


def _strictly_above(stage, metrics, seen, factor=1.0):
    """Thresholds must be exceeded and not only reached."""
    return ["not above"] if metrics.audio_accuracy <= stage.min_audio_accuracy else []


def _ignores_vl(stage, metrics, seen, factor=1.0):
    return [] if metrics.audio_accuracy >= stage.min_audio_accuracy * factor else ["too low"]


def _never_early(stage, metrics, seen, factor=1.0, real=machine.unmet):
    return ["never"] if factor > 1 else real(stage, metrics, seen, factor)


@pytest.mark.parametrize("unmet", [_strictly_above, _ignores_vl, _never_early])
def test_wrong_threshold_is_detected(prepared, tmp_path, monkeypatch, unmet: Callable[..., Any]):
    monkeypatch.setattr(machine, "unmet", unmet)
    assert curriculum_verdicts(prepared, tmp_path)["01.stage_transitions"] == "fail"


@fault("training", "a stage extended beyond its limit", "01.stage_transitions")
def test_one_extension_too_many_fails_stage_transitions(prepared, tmp_path, monkeypatch):
    real = machine.Curriculum.observe

    def generous(self, metrics):
        if self.extensions == self.config.max_extensions:
            self.extensions -= 1
        return real(self, metrics)

    monkeypatch.setattr(machine.Curriculum, "observe", generous)
    assert curriculum_verdicts(prepared, tmp_path)["01.stage_transitions"] == "fail"
