"""Loading a BLIP-2: frozen and complete, or refused with a hint."""

from __future__ import annotations

import json

import pytest
import torch
from PIL import Image
from transformers import Blip2ForConditionalGeneration, Blip2Processor

from safe.errors import ModelError
from safe.hearing.models.base import load_vlm, resolve_device
from tests.tiny_models import save_tiny


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    return save_tiny(tmp_path_factory.mktemp("models"))


@pytest.fixture
def folder(saved, tmp_path):
    """A copy that a test may damage."""
    copy = tmp_path / "vlm"
    copy.mkdir()
    for file in saved[0].iterdir():
        (copy / file.name).write_bytes(file.read_bytes())
    return copy


def test_loaded_model_is_frozen_and_equal_to_from_pretrained(saved):
    model, processor = load_vlm(saved[0])
    plain = Blip2ForConditionalGeneration.from_pretrained(saved[0])
    assert not model.training
    assert not any(p.requires_grad for p in model.parameters())
    weights = plain.state_dict()
    assert all(torch.equal(value, weights[key]) for key, value in model.state_dict().items())
    assert isinstance(processor, Blip2Processor)
    assert processor.tokenizer.padding_side == "left"


def test_batch_generates_the_same_as_its_rows_alone(saved):
    model, processor = load_vlm(saved[0])
    images = [Image.new("RGB", (16, 16), colour) for colour in ("red", "blue")]
    texts = ["Question: what colour is the cat? Answer:", "how many?"]

    def answers(rows):
        batch = processor(
            images=[images[r] for r in rows],
            text=[texts[r] for r in rows],
            padding=True,
            return_tensors="pt",
        )
        out = model.generate(**batch, max_new_tokens=3, do_sample=False)
        return [row[-3:].tolist() for row in out]

    assert answers([0, 1]) == answers([0]) + answers([1])


def test_half_precision_dtypes_are_those_of_transformers(saved):
    for name, rest, qformer in (
        ("bfloat16", torch.bfloat16, torch.bfloat16),
        ("float16", torch.float16, torch.float32),
    ):
        model, _ = load_vlm(saved[0], dtype=name)
        assert model.language_model.dtype == rest
        assert model.qformer.layernorm.weight.dtype == qformer


def test_missing_folder_is_named_with_a_hint(tmp_path):
    with pytest.raises(ModelError, match=r"nowhere.*base\.vlm") as caught:
        load_vlm(tmp_path / "nowhere")
    assert "base.miniature" in str(caught.value)


def test_another_architecture_is_refused(saved):
    with pytest.raises(ModelError, match=r"'clap' model, not a BLIP-2"):
        load_vlm(saved[1])


def test_truncated_weights_are_refused(folder):
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(ModelError):
        load_vlm(folder)


def test_missing_weights_are_refused_and_not_initialised(folder):
    from safetensors.torch import load_file, save_file

    weights = load_file(folder / "model.safetensors")
    dropped = next(k for k in weights if k.endswith("fc1.weight"))
    del weights[dropped]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match="1 weights are missing"):
        load_vlm(folder)


def test_processor_of_another_model_is_refused(folder):
    path = folder / "processor_config.json"
    settings = json.loads(path.read_text())
    settings["num_query_tokens"] = 7
    path.write_text(json.dumps(settings))
    with pytest.raises(ModelError, match="7 placeholders for 4 queries"):
        load_vlm(folder)


def test_devices_are_resolved_and_unknown_ones_refused():
    assert resolve_device("cpu") == torch.device("cpu")
    assert resolve_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
    with pytest.raises(ModelError, match="no device 'cuda:63'"):
        resolve_device("cuda:63")
