"""LAION checkpoints: every key is renamed or refused, and outputs are unchanged."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import ClapAudioConfig, ClapConfig, ClapModel, ClapTextConfig

from safe.errors import ModelError
from safe.hearing.models.audio_encoder import load_audio_encoder
from safe.hearing.models.laion_clap import (
    convert_checkpoint,
    feature_extractor,
    infer_config,
    load_weights,
    read_checkpoint,
    rename_weights,
)

BACK = (
    (r"^text_model\.", "text_branch."),
    (r"^audio_model\.audio_encoder\.", "audio_branch."),
    (r"_projection\.linear1\.", "_projection.0."),
    (r"_projection\.linear2\.", "_projection.2."),
)
BACK_AUDIO = (
    (r"\.batch_norm\.", ".bn0."),
    (r"\.layernorm_before\.", ".norm1."),
    (r"\.layernorm_after\.", ".norm2."),
    (r"\.attention\.output\.dense\.", ".attn.proj."),
    (r"\.attention\.self\.", ".attn."),
    (r"\.intermediate\.dense\.", ".mlp.fc1."),
    (r"\.output\.dense\.", ".mlp.fc2."),
)


def tiny_config(fused: bool = False) -> ClapConfig:
    return ClapConfig(
        audio_config=ClapAudioConfig(
            depths=[1, 2],
            num_attention_heads=[1, 2],
            patch_embeds_hidden_size=16,
            hidden_size=32,
            enable_fusion=fused,
            fusion_type="aff_2d" if fused else None,
        ),
        text_config=ClapTextConfig(
            vocab_size=50,
            hidden_size=64,
            num_hidden_layers=2,
            num_attention_heads=1,
            intermediate_size=48,
            max_position_embeddings=40,
            layer_norm_eps=1e-5,
        ),
        projection_dim=24,
    )


def as_laion(model: ClapModel) -> dict[str, torch.Tensor]:
    """The model's weights under LAION's names, with additional entries of LAION's files."""
    weights: dict[str, torch.Tensor] = {}
    state = model.state_dict()
    for key, value in state.items():
        name = key
        for pattern, text in BACK:
            name = re.sub(pattern, text, name)
        if name.startswith("audio_branch."):
            for pattern, text in BACK_AUDIO:
                name = re.sub(pattern, text, name)
            if re.search(r"\.attn\.(key|value)\.", name):
                continue
            if ".attn.query." in name:
                parts = [state[key.replace(".query.", f".{p}.")] for p in ("query", "key", "value")]
                name, value = name.replace(".query.", ".qkv."), torch.cat(parts)
        weights[name] = value
    weights["audio_branch.tscam_conv.weight"] = torch.zeros(3)
    weights["audio_branch.layers.1.blocks.1.attn_mask"] = torch.zeros(3)
    weights["audio_branch.logmel_extractor.melW"] = torch.zeros(3)
    weights["text_transform.sequential.0.weight"] = torch.zeros(3)
    return weights


def save(path: Path, weights: dict[str, torch.Tensor]) -> Path:
    """Save as LAION's trainer does: data-parallel names, an epoch and a numpy number."""
    named = {f"module.{k}": v for k, v in weights.items()}
    torch.save({"epoch": 3, "best": np.float64(0.5), "state_dict": named}, path)
    return path


@pytest.mark.parametrize("fused", [False, True])
def test_renamed_weights_have_their_original_names(fused):
    torch.manual_seed(0)
    model = ClapModel(tiny_config(fused))
    weights = as_laion(model)
    renamed = rename_weights(weights)
    state = model.state_dict()
    assert set(renamed) == set(state)
    assert all(torch.equal(renamed[key], state[key]) for key in state)


@pytest.mark.parametrize("fused", [False, True])
def test_config_is_inferred_from_the_weights(fused):
    config = tiny_config(fused)
    found = infer_config(as_laion(ClapModel(config)))
    for part in ("audio_config", "text_config"):
        assert getattr(found, part).to_dict() == getattr(config, part).to_dict()
    assert found.projection_dim == config.projection_dim


def test_converted_checkpoint_gives_the_embeddings_of_its_source(tmp_path):
    torch.manual_seed(1)
    model = ClapModel(tiny_config()).eval()
    folder = convert_checkpoint(save(tmp_path / "clap.pt", as_laion(model)), tmp_path / "cache")
    audio_encoder = load_audio_encoder(folder)
    wave = np.sin(np.arange(48_000, dtype=np.float32) / 20)
    with torch.no_grad():
        features = audio_encoder.features([wave])
        expected = model.get_audio_features(
            input_features=features, is_longer=torch.zeros(1, 1, dtype=torch.bool)
        ).pooler_output
    torch.testing.assert_close(audio_encoder.embed([wave]), expected)
    again = convert_checkpoint(tmp_path / "clap.pt", tmp_path / "cache")
    assert again == folder


def test_unmatched_key_or_shape_is_refused():
    model = ClapModel(tiny_config())
    weights = as_laion(model)
    with pytest.raises(ModelError, match=r"audio_encoder\.surprise is unknown"):
        load_weights(model, weights | {"audio_branch.surprise": torch.zeros(1)})
    less = {k: v for k, v in weights.items() if k != "audio_branch.norm.weight"}
    with pytest.raises(ModelError, match=r"audio_encoder\.norm\.weight is missing"):
        load_weights(model, less)
    other = weights | {"audio_branch.norm.weight": torch.zeros(5)}
    with pytest.raises(ModelError, match="another shape"):
        load_weights(model, other)


def test_other_networks_and_damaged_files_are_refused(tmp_path):
    torch.save({"state_dict": {"conv.weight": torch.zeros(2)}}, tmp_path / "other.pt")
    with pytest.raises(ModelError, match="not a CLAP with HTS-AT and RoBERTa"):
        convert_checkpoint(tmp_path / "other.pt", tmp_path)
    (tmp_path / "cut.pt").write_bytes(b"PK\x03\x04 cut off")
    with pytest.raises(ModelError, match="cannot be read"):
        convert_checkpoint(tmp_path / "cut.pt", tmp_path)
    with pytest.raises(ModelError, match="no such file"):
        convert_checkpoint(tmp_path / "none.pt", tmp_path)


class Bomb:
    """Writes a file if unpickled without restrictions."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))


def test_code_in_a_checkpoint_is_not_executed(tmp_path):
    torch.save({"state_dict": {}, "bomb": Bomb(tmp_path / "boom")}, tmp_path / "bomb.pt")
    with pytest.raises(ModelError, match="weights only"):
        read_checkpoint(tmp_path / "bomb.pt")
    assert not (tmp_path / "boom").exists()


def laions_network():
    """LAION's network module; importing its package would load tokenizers from a hub."""
    import importlib
    import importlib.util
    import sys
    from types import ModuleType

    found = importlib.util.find_spec("laion_clap")
    if found is None or found.submodule_search_locations is None:
        pytest.skip("needs the extra `laion`")
    package = ModuleType("laion_network")
    package.__path__ = [str(Path(found.submodule_search_locations[0]) / "clap_module")]
    replacements = {"laion_network": package}
    for name in ("torchvision", "torchvision.ops", "torchvision.ops.misc", "h5py"):
        # Imported there for other networks and for reading data sets.
        if importlib.util.find_spec(name.partition(".")[0]) is None:
            replacements[name] = ModuleType(name)
            replacements[name].FrozenBatchNorm2d = object  # type: ignore[attr-defined]
    with pytest.MonkeyPatch.context() as patch:
        for name, module in replacements.items():
            patch.setitem(sys.modules, name, module)
        return importlib.import_module("laion_network.htsat")


def test_converted_network_agrees_with_laions_implementation():
    module = laions_network()
    from types import SimpleNamespace

    config = SimpleNamespace(
        mel_bins=64, window_size=1024, hop_size=480, sample_rate=48_000, fmin=50, fmax=14_000
    )
    torch.manual_seed(0)
    theirs = module.HTSAT_Swin_Transformer(
        embed_dim=16, depths=[1, 1, 2, 1], num_heads=[1, 2, 2, 4], num_classes=527, config=config
    ).eval()
    weights = {f"audio_branch.{k}": v for k, v in theirs.state_dict().items()}
    ours = ClapModel(
        ClapConfig(
            audio_config=ClapAudioConfig(
                depths=[1, 1, 2, 1],
                num_attention_heads=[1, 2, 2, 4],
                patch_embeds_hidden_size=16,
                hidden_size=128,
            )
        )
    ).audio_model.eval()
    prefix = "audio_model."
    renamed = {k.removeprefix(prefix): v for k, v in rename_weights(weights).items()}
    ours.load_state_dict(renamed, strict=False)
    waves = torch.randn(2, 480_000, generator=torch.Generator().manual_seed(0)) * 0.1
    with torch.no_grad():
        expected = theirs({"waveform": waves, "longer": torch.zeros(2, 1)})["embedding"]
        mel = theirs.logmel_extractor(theirs.spectrogram_extractor(waves))
        found = ours(input_features=mel, is_longer=None).pooler_output
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    extracted = feature_extractor(False, 64)(
        list(waves.numpy()), sampling_rate=48_000, return_tensors="pt"
    )["input_features"]
    torch.testing.assert_close(extracted, mel, atol=1e-2, rtol=1e-3)
