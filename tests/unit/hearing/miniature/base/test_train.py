"""A whole tiny training: kill and resume, reuse, and loading by from_pretrained."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
import textwrap
import time

import pytest
import torch
from PIL import Image
from transformers import Blip2ForConditionalGeneration, Blip2Processor, ClapModel, ClapProcessor

from safe.errors import ModelError
from safe.hearing.config import load_run_config
from safe.hearing.data.manifest import write_manifest
from safe.hearing.data.sample import MediaRef, Sample
from safe.hearing.miniature.base import chains
from safe.hearing.miniature.base import train as train_module
from safe.hearing.miniature.base.loop import Schedule
from safe.hearing.miniature.base.recipe import RECIPES
from safe.hearing.miniature.base.released import file_digests
from safe.hearing.miniature.base.train import publish, train_miniature, train_models
from safe.hearing.miniature.base.world import WorldMaterial
from safe.hearing.models.audio_encoder import load_audio_encoder
from safe.hearing.models.base import load_vlm
from safe.hearing.models.weights import weight_digest
from tests.paths import ROOT

TINY = dataclasses.replace(
    RECIPES["world"],
    vision=Schedule(steps=3, batch_size=8, lr=1e-3),
    qformer=Schedule(steps=3, batch_size=8, lr=1e-3),
    describing=Schedule(steps=3, batch_size=8, lr=1e-3),
    language=Schedule(steps=3, batch_size=8, lr=1e-3),
    hearing=Schedule(steps=3, batch_size=8, lr=1e-3),
    pictures=24,
    sounds=24,
)


MATERIAL = WorldMaterial(TINY.pictures, TINY.sounds, TINY.seed)


def train(folder):
    threads = torch.get_num_threads()
    try:
        return train_models(MATERIAL, TINY, folder, threads=1)
    finally:
        torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("base") / "world"
    return folder, train(folder)


def test_every_stage_reports_its_seconds(trained):
    _, seconds = trained
    assert set(seconds) == {"vision", "q-former", "describing", "language", "audio_encoder"}
    assert all({"wall", "cpu", "loss"} == set(stage) for stage in seconds.values())


def test_folders_can_be_loaded_by_from_pretrained(trained):
    folder, _ = trained
    Blip2ForConditionalGeneration.from_pretrained(folder / "vlm")
    Blip2Processor.from_pretrained(folder / "vlm")
    ClapModel.from_pretrained(folder / "audio_encoder")
    processor = ClapProcessor.from_pretrained(folder / "audio_encoder")
    assert processor.feature_extractor.sampling_rate == 16_000
    model, _ = load_vlm(folder / "vlm")
    assert model.query_tokens.std() > 0.5
    assert load_audio_encoder(folder / "audio_encoder").embedding_dim == 512


def test_finished_models_are_not_trained_again(trained, monkeypatch):
    folder, seconds = trained

    def forbidden(*arguments):
        raise AssertionError("trained again")

    monkeypatch.setattr(train_module, "train_vlm", forbidden)
    monkeypatch.setattr(train_module, "train_hearing", forbidden)
    assert train(folder) == seconds


def test_published_folder_replaces_the_old_one_and_holds_only_the_models(trained, tmp_path):
    folder, _ = trained
    out = tmp_path / "world"
    out.mkdir()
    (out / "old").touch()
    publish(folder, out)
    assert sorted(p.name for p in out.iterdir()) == ["audio_encoder", "vlm"]
    assert "vlm/stages.json" not in file_digests(out)
    before, after = (weight_digest(load_vlm(f / "vlm")[0]) for f in (folder, out))
    assert before == after


def tiny_world_config(tmp_path):
    return load_run_config(ROOT / "config" / "config.yaml").model_copy(
        update={"cache": tmp_path / "cache", "results": tmp_path / "results", "threads": 1}
    )


def test_untrained_miniature_is_not_published(tmp_path, monkeypatch):
    """Three steps per stage miss the floors: the evaluation is kept and no card is written."""
    monkeypatch.setitem(RECIPES, "world", TINY)
    samples = [
        Sample(
            id=f"d/val/{i}",
            dataset="d",
            split="val",
            task="vl",
            question="What colour is the circle?",
            question_type="colour",
            answers=("red",) * 10,
            answer="red",
            source=str(i),
            image=picture(tmp_path / f"{i}.png"),
        )
        for i in range(4)
    ]
    config = tiny_world_config(tmp_path)
    write_manifest(samples, config.folder / "data" / "manifest.parquet")
    threads = torch.get_num_threads()
    with pytest.raises(ModelError, match="does not qualify as a base") as caught:
        train_miniature(config, tmp_path / "out")
    torch.set_num_threads(threads)
    assert json.loads(caught.value.where.read_text())["vl"]["colour"]["n"] == 4
    assert not (tmp_path / "out").exists()


def picture(path):
    Image.new("RGB", (64, 64), (200, 40, 40)).save(path)
    return MediaRef(path)


def test_killed_training_resumes_in_its_stage_with_equal_weights(trained, tmp_path, monkeypatch):
    """SIGKILL during the Q-Former: vision is kept, the rest is trained, the weights are equal."""
    folder, _ = trained
    own = tmp_path / "world"
    script = tmp_path / "killed.py"
    script.write_text(
        textwrap.dedent(
            f"""
            import time
            from pathlib import Path
            from safe.hearing.miniature.base import chains
            from tests.unit.hearing.miniature.base.test_train import train

            def stuck(*arguments, **keywords):
                Path({str(tmp_path / "reached")!r}).touch()
                time.sleep(600)

            chains.train_qformer = stuck
            train(Path({str(own)!r}))
            """
        )
    )
    process = subprocess.Popen(
        [sys.executable, str(script)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        stderr=subprocess.DEVNULL,
    )
    try:
        for _ in range(1200):
            if (tmp_path / "reached").exists() or process.poll() is not None:
                break
            time.sleep(0.1)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert (tmp_path / "reached").exists()
    stages = own / "stages-vlm"
    assert [p.name for p in stages.glob("*.safetensors")] == ["vision.safetensors"]
    trained_again = []
    vision = chains.train_vision
    monkeypatch.setattr(
        chains, "train_vision", lambda *a, **k: trained_again.append("vision") or vision(*a, **k)
    )
    train(own)
    assert trained_again == []
    for name in ("vlm", "audio_encoder"):
        pair = [
            load_vlm(root / name)[0] if name == "vlm" else load_audio_encoder(root / name).model
            for root in (folder, own)
        ]
        assert weight_digest(pair[0]) == weight_digest(pair[1])
    assert not stages.exists()


def test_world_material_is_reproducible_and_depends_on_the_seed():
    one, again, other = (WorldMaterial(12, 4, seed).seen() for seed in (0, 0, 1))
    assert one.asked == again.asked
    assert [i.tobytes() for i in one.images] == [i.tobytes() for i in again.images]
    assert one.asked != other.asked
    assert one.cells.shape == (len(one.images), 4, 3)
    assert {a.task for a in one.asked} == {"vl", "audio", "av", "caption"}
    assert {a.picture for a in one.described} <= set(range(len(one.images)))


def test_every_word_of_questions_and_answers_is_known():
    from safe.hearing.miniature.base.tokenizer import build_tokenizer

    material = WorldMaterial(60, 4, 0)
    tokenizer = build_tokenizer(material.vlm_texts())
    seen = material.seen()
    for item in [*seen.asked, *seen.described]:
        ids = tokenizer(f"{item.told} {item.question} {item.answer}")["input_ids"]
        assert tokenizer.unk_token_id not in ids, item
