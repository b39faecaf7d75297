"""A whole tiny training: killed and resumed, found again, opened by from_pretrained."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
import textwrap
import time

import pytest
import torch
from transformers import Blip2ForConditionalGeneration, Blip2Processor, ClapModel, ClapProcessor

from safe.config import RunConfig
from safe.models.base import load_vlm
from safe.models.ear import load_ear
from safe.models.weights import weight_digest
from safe.training.base import chains
from safe.training.base import train as train_module
from safe.training.base.loop import Schedule
from safe.training.base.recipe import RECIPES
from safe.training.base.train import base_folder, material_for, train_base
from safe.training.base.world import WorldMaterial

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


def make_config(cache, **base) -> RunConfig:
    return RunConfig.model_validate(
        {
            "run": "tiny",
            "scale": "miniature",
            "seed": 0,
            "cache": str(cache),
            "threads": 1,
            "datasets": [{"name": "d", "layout": "vqav2", "root": ".", "splits": {"val": "val"}}],
            "base": {"train": "world", **base},
            "curriculum": {
                "stages": [
                    {
                        "name": "one",
                        "epochs": 1,
                        "audio_ratio": 0.5,
                        "difficulties": ["easy"],
                        "min_audio_accuracy": 0.5,
                        "max_vl_drop": 0.01,
                    }
                ]
            },
        }
    )


@pytest.fixture(autouse=True)
def _tiny_recipe(monkeypatch):
    monkeypatch.setitem(RECIPES, "world", TINY)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(RECIPES, "world", TINY)
        config = make_config(tmp_path_factory.mktemp("cache"))
        threads = torch.get_num_threads()
        folder, seconds = train_base(config)
        torch.set_num_threads(threads)
    return config, folder, seconds


def test_every_stage_reports_its_seconds(trained):
    _, _, seconds = trained
    assert set(seconds) == {"vision", "q-former", "describing", "language", "ear"}
    assert all({"wall", "cpu", "loss"} == set(stage) for stage in seconds.values())


def test_the_folders_are_ordinary_hugging_face_folders(trained):
    _, folder, _ = trained
    Blip2ForConditionalGeneration.from_pretrained(folder / "vlm")
    Blip2Processor.from_pretrained(folder / "vlm")
    ClapModel.from_pretrained(folder / "ear")
    processor = ClapProcessor.from_pretrained(folder / "ear")
    assert processor.feature_extractor.sampling_rate == 16_000
    model, _ = load_vlm(folder / "vlm")
    assert model.query_tokens.std() > 0.5
    assert load_ear(folder / "ear").embedding_dim == 512


def test_a_second_run_finds_the_base(trained, monkeypatch):
    config, folder, seconds = trained

    def forbidden(*arguments):
        raise AssertionError("trained again")

    monkeypatch.setattr(train_module, "train_vlm", forbidden)
    monkeypatch.setattr(train_module, "train_hearing", forbidden)
    assert train_base(config) == (folder, seconds)


def test_another_seed_or_recipe_is_another_base(trained, tmp_path):
    config, folder, _ = trained
    material = material_for(config)
    assert base_folder(config, material, TINY) == folder
    other = make_config(config.cache, seed=1)
    assert base_folder(other, material_for(other), TINY) != folder
    longer = dataclasses.replace(TINY, vision=Schedule(steps=4, batch_size=8, lr=1e-3))
    assert base_folder(config, material, longer) != folder


def test_killed_in_mid_stage_it_resumes_there_and_ends_the_same(trained, tmp_path, monkeypatch):
    """SIGKILL during the Q-Former: vision is kept, the rest is trained, the weights are equal."""
    _, folder, _ = trained
    cache = tmp_path / "cache"
    script = tmp_path / "killed.py"
    script.write_text(
        textwrap.dedent(
            f"""
            import time
            from pathlib import Path
            from safe.training.base import chains
            from tests.training.base.test_train import TINY, make_config
            from safe.training.base.recipe import RECIPES
            from safe.training.base.train import train_base

            def stuck(*arguments, **keywords):
                Path({str(tmp_path / "reached")!r}).touch()
                time.sleep(600)

            RECIPES["world"] = TINY
            chains.train_qformer = stuck
            train_base(make_config({str(cache)!r}))
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
    stages = cache / "bases" / folder.name / "stages-vlm"
    assert [p.name for p in stages.glob("*.safetensors")] == ["vision.safetensors"]
    trained_again = []
    vision = chains.train_vision
    monkeypatch.setattr(
        chains, "train_vision", lambda *a, **k: trained_again.append("vision") or vision(*a, **k)
    )
    threads = torch.get_num_threads()
    resumed, _ = train_base(make_config(cache))
    torch.set_num_threads(threads)
    assert trained_again == []
    for name in ("vlm", "ear"):
        pair = [
            load_vlm(root / name)[0] if name == "vlm" else load_ear(root / name).model
            for root in (folder, resumed)
        ]
        assert weight_digest(pair[0]) == weight_digest(pair[1])
    assert not stages.exists()


def test_the_world_is_drawn_anew_for_each_seed_and_alike_for_one():
    one, again, other = (WorldMaterial(12, 4, seed).seen() for seed in (0, 0, 1))
    assert one.asked == again.asked
    assert [i.tobytes() for i in one.images] == [i.tobytes() for i in again.images]
    assert one.asked != other.asked
    assert one.cells.shape == (len(one.images), 4, 3)
    assert {a.task for a in one.asked} == {"vl", "audio", "av", "caption"}
    assert {a.picture for a in one.described} <= set(range(len(one.images)))


def test_every_word_that_is_asked_or_answered_is_known():
    from safe.training.base.tokenizer import build_tokenizer

    material = WorldMaterial(60, 4, 0)
    tokenizer = build_tokenizer(material.vlm_texts())
    seen = material.seen()
    for item in [*seen.asked, *seen.described]:
        ids = tokenizer(f"{item.told} {item.question} {item.answer}")["input_ids"]
        assert tokenizer.unk_token_id not in ids, item
