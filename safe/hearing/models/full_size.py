"""SafeModel at full size on the meta device, which stores shapes and no weights.

The sizes are those of Salesforce/blip2-opt-2.7b and laion/clap-htsat-unfused. They are defined here
so that no network access is needed.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import (
    Blip2Config,
    Blip2ForConditionalGeneration,
    Blip2QFormerConfig,
    Blip2VisionConfig,
    ClapAudioConfig,
    ClapConfig,
    ClapFeatureExtractor,
    ClapModel,
    OPTConfig,
)

from safe.hearing.config import AdapterConfig, LoraConfig
from safe.hearing.models.audio_encoder import AudioEncoder
from safe.hearing.models.safe_model import SafeModel

PLAN_ADAPTER = AdapterConfig(
    projector="mlp",
    audio_tokens=8,
    hidden=640,
    lora=LoraConfig(rank=8, alpha=16, targets=["q_proj", "v_proj"]),
)


def blip2_opt_2_7b_config() -> Blip2Config:
    """EVA-CLIP g/14 with 39 layers, a Q-Former with 12, OPT-2.7B with 32."""
    return Blip2Config(
        vision_config=Blip2VisionConfig(
            hidden_size=1408,
            intermediate_size=6144,
            num_hidden_layers=39,
            num_attention_heads=16,
            image_size=224,
            patch_size=14,
            qkv_bias=True,
        ),
        qformer_config=Blip2QFormerConfig(
            vocab_size=30522,
            hidden_size=768,
            num_hidden_layers=12,
            num_attention_heads=12,
            intermediate_size=3072,
            cross_attention_frequency=2,
            encoder_hidden_size=1408,
        ),
        text_config=OPTConfig(
            vocab_size=50304,
            hidden_size=2560,
            word_embed_proj_dim=2560,
            ffn_dim=10240,
            num_hidden_layers=32,
            num_attention_heads=32,
            max_position_embeddings=2048,
        ),
        num_query_tokens=32,
        image_token_index=50265,
    )


def clap_htsat_config() -> ClapConfig:
    """HTSAT-tiny as published by LAION, with projection dimension 512."""
    return ClapConfig(
        audio_config=ClapAudioConfig(
            patch_embeds_hidden_size=96,
            hidden_size=768,
            depths=[2, 2, 6, 2],
            num_attention_heads=[4, 8, 16, 32],
            num_mel_bins=64,
            spec_size=256,
            window_size=8,
            projection_dim=512,
        ),
        projection_dim=512,
    )


def build_full_size(adapter: AdapterConfig = PLAN_ADAPTER) -> SafeModel:
    """Build SafeModel of BLIP-2 OPT-2.7B and CLAP HTSAT on the meta device, to count operations."""
    with torch.device("meta"):
        base = Blip2ForConditionalGeneration(blip2_opt_2_7b_config())
        audio_encoder = AudioEncoder(ClapModel(clap_htsat_config()), ClapFeatureExtractor(), "meta")
        return SafeModel(base, audio_encoder, adapter)


PROMPT, IMAGE, FRAMES = 16, 224, 1001  # tokens of a question, pixels, mel frames of ten seconds


@torch.no_grad()
def count_answer(model: SafeModel) -> dict[str, int]:
    """Count floating-point operations of the first answer token at full size, by component.

    PyTorch's counter runs on the meta device for one question. Keys: `vision` (tower and Q-Former),
    `language` (the base), `audio_encoder`, `projector`, and `language_on` (with k audio tokens and
    LoRA).
    """
    base, config = model.base, model.base.config
    width = config.text_config.hidden_size

    def count(call: Any) -> int:
        with FlopCounterMode(display=False) as counter:
            call()
        return int(counter.get_total_flops())

    def run_vision() -> None:  # as fusion.image_tokens, without masks (unsupported on meta)
        patches = base.vision_model(pixel_values=pixels, return_dict=True).last_hidden_state
        queries = base.qformer(
            query_embeds=base.query_tokens, encoder_hidden_states=patches, return_dict=True
        ).last_hidden_state
        base.language_projection(queries)

    def language(module: Any, positions: int) -> Any:
        embeds = torch.empty(1, positions, width, device="meta")
        return module(inputs_embeds=embeds, logits_to_keep=1)

    pixels = torch.empty(1, 3, IMAGE, IMAGE, device="meta")
    bins = model.audio_encoder_model.config.audio_config.num_mel_bins
    mels = torch.empty(1, 1, FRAMES, bins, device="meta")
    embedding = torch.empty(1, model.audio_encoder.embedding_dim, device="meta")
    positions = config.num_query_tokens + PROMPT
    return {
        "vision": count(run_vision),
        "language": count(lambda: language(base.language_model, positions)),
        "audio_encoder": count(lambda: model.audio_encoder_model.audio_model(mels)),
        "projector": count(lambda: model.projector(embedding)),
        "language_on": count(
            lambda: language(model.language_model, positions + model.config.audio_tokens)
        ),
    }
