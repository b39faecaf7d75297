"""Released weights: loaded when they match their card, otherwise refused."""

from __future__ import annotations

import json
import shutil

import pytest

from safe.errors import ModelError
from safe.hearing.config import RunConfig
from safe.hearing.miniature.base import CARD, WEIGHTS
from safe.hearing.miniature.base.evaluate import faults
from safe.hearing.miniature.base.recipe import RECIPES
from safe.hearing.miniature.base.released import (
    file_digests,
    open_released,
    read_card,
    recipe_digest,
)
from safe.hearing.models.audio_encoder import load_audio_encoder
from safe.hearing.models.base import load_vlm

NAMES = ("world", "digits")


def make_config(name: str, **options) -> RunConfig:
    layout = {"world": "vqav2", "digits": "digits"}[name]
    return RunConfig.model_validate(
        {
            "run": "tiny",
            "pipeline": "hearing",
            "scale": "miniature",
            "seed": 0,
            "datasets": [
                {
                    "name": "d",
                    "layout": layout,
                    "root": ".",
                    "splits": {"val": "val"},
                    "options": options,
                }
            ],
            "base": {"miniature": name},
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


@pytest.fixture
def weights(tmp_path):
    """A copy of the released weights that a test may damage."""
    shutil.copytree(WEIGHTS / "digits", tmp_path / "digits")
    return tmp_path


@pytest.mark.parametrize("name", NAMES)
def test_released_weights_match_card_and_recipe(name):
    folder, card = open_released(make_config(name))
    assert folder == WEIGHTS / name
    assert card.files == file_digests(folder)
    assert card.recipe == json.loads(json.dumps(RECIPES[name].settings()))
    assert card.recipe_digest == recipe_digest(RECIPES[name], card.material)
    assert {"vlm/model.safetensors", "audio_encoder/model.safetensors"} <= card.files.keys()


@pytest.mark.parametrize("name", NAMES)
def test_card_states_an_evaluation_that_meets_the_floors(name):
    card = read_card(WEIGHTS / name)
    assert faults(card.evaluation) == []
    assert all(row["n"] > 0 for row in card.evaluation["vl"].values())


@pytest.mark.parametrize("name", NAMES)
def test_released_models_open_like_downloaded_ones(name):
    model, processor = load_vlm(WEIGHTS / name / "vlm")
    assert processor.tokenizer.padding_side == "left"
    assert not any(p.requires_grad for p in model.parameters())
    assert load_audio_encoder(WEIGHTS / name / "audio_encoder").embedding_dim == 512


def flip_a_byte(path):
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (flip_a_byte, "was changed"),
        (lambda p: p.write_bytes(p.read_bytes()[:-100]), "was changed"),
        (lambda p: p.unlink(), "is missing"),
        (lambda p: shutil.copy(p, p.with_name("more.safetensors")), "not on the card"),
    ],
)
def test_damaged_weights_are_refused(weights, damage, message):
    damage(weights / "digits" / "vlm" / "model.safetensors")
    with pytest.raises(ModelError, match=message) as caught:
        open_released(make_config("digits"), weights)
    assert caught.value.key == "base.miniature"
    assert "make miniature" in caught.value.hint


def edit_card(weights, **changes):
    path = weights / "digits" / CARD
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_weights_of_another_recipe_are_refused(weights):
    edit_card(weights, recipe_digest="0" * 64)
    with pytest.raises(ModelError) as caught:
        open_released(make_config("digits"), weights)
    assert caught.value.key == "recipe_digest"


def test_weights_under_another_name_are_refused(weights):
    (weights / "digits").rename(weights / "world")
    with pytest.raises(ModelError) as caught:
        open_released(make_config("world"), weights)
    assert caught.value.key == "recipe_digest"


@pytest.mark.parametrize("text", ["", "{", "[]", '{"name": "digits"}'])
def test_unreadable_card_is_refused_with_its_path(weights, text):
    path = weights / "digits" / CARD
    path.write_text(text)
    with pytest.raises(ModelError) as caught:
        open_released(make_config("digits"), weights)
    assert caught.value.where == path


def test_missing_card_is_refused_with_its_path(tmp_path):
    with pytest.raises(ModelError) as caught:
        open_released(make_config("digits"), tmp_path)
    assert caught.value.where == tmp_path / "digits" / CARD


def test_split_that_holds_out_training_pictures_is_refused():
    with pytest.raises(ModelError) as caught:
        open_released(make_config("digits", seed=3))
    assert caught.value.key == "material"


def test_digits_miniature_without_digits_is_refused():
    world = make_config("world")
    config = world.model_copy(
        update={"base": world.base.model_copy(update={"miniature": "digits"})}
    )
    with pytest.raises(ModelError) as caught:
        open_released(config)
    assert caught.value.key == "base.miniature"
