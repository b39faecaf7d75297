"""The gating evaluation set: every question has a sound, and other splits can be excluded."""

import dataclasses
from types import SimpleNamespace

import pytest

from safe.errors import DataError
from safe.hearing.data.manifest import load_samples, write_manifest
from safe.hearing.training.collate import TextEncoder
from safe.hearing.training.features import Features
from safe.hearing.training.frozen_models import open_base
from safe.hearing.training.gating_eval_set import gating_eval_set, sources_of, split_sources
from tests.tiny_run import make_run


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    config = make_run(tmp_path_factory.mktemp("run"), vl=30, audio=4, held_out=20)
    opened = open_base(config)
    return SimpleNamespace(
        config=config,
        manifest=config.folder / "data" / "manifest.parquet",
        features=Features(opened, config.cache),
        encoder=TextEncoder(opened.vlm, opened.processor),
    )


def open_set(made, split="test", **options):
    arguments = {"config": made.config, "manifest": made.manifest, "items": None} | options
    config, manifest = arguments.pop("config"), arguments.pop("manifest")
    return gating_eval_set(config, manifest, split, made.features, made.encoder, **arguments)


def test_every_question_occurs_once_with_a_sound(made):
    rows = open_set(made).rows
    expected = {s.id for s in load_samples(made.manifest, split="test")}
    assert len(rows) == len(expected) == 50
    assert {r.sample.id for r in rows} == expected
    assert all(r.heard.audio is not None and r.heard.split == "test" for r in rows)
    for row in rows:
        assert (row.heard == row.sample) == (row.sample.task != "vl")


def test_same_seed_gives_the_same_set_and_batches_are_mixed(made):
    one, other = open_set(made).rows, open_set(made).rows
    assert [(r.sample.id, r.heard.id) for r in one] == [(r.sample.id, r.heard.id) for r in other]
    assert len({r.sample.task for r in one[:16]}) == 3


def test_shared_sources_are_left_out_and_counted(made):
    apart = {f"picture:test:{i}" for i in range(7)} | {"tone:30"}
    found = open_set(made, apart_from=apart)
    assert found.shared == 7 + ("tone:30" in split_sources(made.manifest, "test"))
    for row in found.rows:
        assert (sources_of(row.sample) | sources_of(row.heard)).isdisjoint(apart)


def test_picture_of_another_recording_is_a_source_too(made):
    sample = load_samples(made.manifest, split="test", task="av")[0]
    assert sources_of(sample) == {sample.source}
    assert sources_of(dataclasses.replace(sample, image_source="digit:3")) == {
        sample.source,
        "digit:3",
    }


def test_items_setting_limits_each_task(made):
    rows = open_set(made, items=5).rows
    assert sorted(r.sample.task for r in rows) == ["audio"] * 5 + ["av"] * 5 + ["vl"] * 5


def test_unusable_sound_is_left_out_and_counted(made, tmp_path):
    samples = load_samples(made.manifest, split="test")
    broken = tmp_path / "broken.wav"
    broken.write_bytes(b"RIFF")
    at = next(i for i, s in enumerate(samples) if s.task == "audio")
    ref = dataclasses.replace(samples[at].audio, path=broken)
    samples[at] = dataclasses.replace(samples[at], id="tiny/test/broken", audio=ref)
    write_manifest(samples, tmp_path / "manifest.parquet")
    found = open_set(made, manifest=tmp_path / "manifest.parquet")
    assert found.unusable == 1
    assert "tiny/test/broken" not in {r.sample.id for r in found.rows}


def test_split_without_vl_or_without_audio_questions_is_named(made):
    with pytest.raises(DataError, match=r"'val'.*about a picture alone"):
        open_set(made, "val")
    everything = split_sources(made.manifest, "test")
    with pytest.raises(DataError, match=r"needs its sound.*50 share a source"):
        open_set(made, apart_from=everything)
