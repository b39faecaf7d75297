"""Adapters: round trip, loading by plain peft, and refusal of another base."""

import json

import pytest
import torch
from peft import PeftModel

from safe.errors import ModelError
from safe.hearing.models.checkpoint import load_adapter, read_record, refs_of, save_adapter
from safe.hearing.models.lora import share_weights
from tests.tiny_models import tiny_audio_encoder, tiny_vlm


@pytest.fixture(params=["mlp", "resampler"])
def saved(request, build_safe, tmp_path):
    model = build_safe(projector=request.param)
    base, audio_encoder = refs_of(
        model, base_id="tiny/vlm", audio_encoder_id="tiny/audio_encoder", base_revision="r1"
    )
    return model, save_adapter(model, tmp_path / "adapter", base=base, audio_encoder=audio_encoder)


def test_reloaded_adapter_gives_the_same_logits(saved, batch):
    model, folder = saved
    again = load_adapter(folder, tiny_vlm(), tiny_audio_encoder())
    with torch.no_grad():
        for gate in (True, False):
            one = model(**batch.inputs, gate=gate, audio=batch.audio).logits
            two = again(**batch.inputs, gate=gate, audio=batch.audio).logits
            assert torch.equal(one, two)
    assert again.config == model.config


def test_plain_peft_loads_the_lora(saved, batch):
    model, folder = saved
    plain = PeftModel.from_pretrained(share_weights(tiny_vlm().language_model), folder / "lora")
    ids = batch.inputs["input_ids"][:, 4:]
    with torch.no_grad():
        assert torch.equal(plain(input_ids=ids).logits, model.language_model(input_ids=ids).logits)


def test_saving_twice_leaves_one_complete_adapter(saved):
    model, folder = saved
    record = read_record(folder)
    save_adapter(model, folder, base=record.base, audio_encoder=record.audio_encoder)
    assert read_record(folder) == record
    assert [p.name for p in folder.parent.iterdir()] == ["adapter"]


def test_another_base_or_audio_encoder_is_refused_with_both_digests(saved):
    _, folder = saved
    record = read_record(folder)
    with pytest.raises(
        ModelError, match=f"(?s){record.base.digest}.*load 'tiny/vlm' at revision"
    ) as e:
        load_adapter(folder, tiny_vlm(seed=9), tiny_audio_encoder())
    assert "but this one has" in str(e.value)
    with pytest.raises(ModelError, match=record.audio_encoder.digest):
        load_adapter(folder, tiny_vlm(), tiny_audio_encoder(seed=9))


def test_one_changed_weight_is_another_base(saved):
    _, folder = saved
    base = tiny_vlm()
    base.language_model.model.decoder.layers[0].fc1.weight.data[0, 0] += 1e-3
    with pytest.raises(ModelError, match="weight digest"):
        load_adapter(folder, base, tiny_audio_encoder())


def test_damaged_files_are_refused(saved):
    _, folder = saved
    file = folder / "projector.safetensors"
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    with pytest.raises(ModelError, match=r"projector\.safetensors.*digest differs"):
        load_adapter(folder, tiny_vlm(), tiny_audio_encoder())
    file.unlink()
    with pytest.raises(ModelError, match="cannot be read"):
        load_adapter(folder, tiny_vlm(), tiny_audio_encoder())
    record = json.loads((folder / "safe.json").read_text())
    (folder / "safe.json").write_text(json.dumps({**record, "unknown": 1}))
    with pytest.raises(ModelError, match="record cannot be read"):
        load_adapter(folder, tiny_vlm(), tiny_audio_encoder())
    with pytest.raises(ModelError, match="there is no adapter"):
        load_adapter(folder.parent, tiny_vlm(), tiny_audio_encoder())
