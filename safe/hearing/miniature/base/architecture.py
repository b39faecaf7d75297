"""The miniatures' architectures: BLIP-2 (OPT) and CLAP, a few hundred thousand parameters each."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from transformers import (
    Blip2Config,
    Blip2ForConditionalGeneration,
    Blip2Processor,
    Blip2QFormerConfig,
    Blip2VisionConfig,
    BlipImageProcessorPil,
    ClapAudioConfig,
    ClapConfig,
    ClapFeatureExtractor,
    ClapModel,
    ClapProcessor,
    ClapTextConfig,
    OPTConfig,
    PreTrainedTokenizerFast,
)

from safe.hearing.miniature.base.tokenizer import IMAGE
from safe.hearing.models.base import quiet

INIT_STD = 0.02
# transformers initialises the relative position biases of CLAP's windows to zero. The tower then
# has no order information, and accuracy on "which sound comes first" stayed at its prior in all
# attempts. With random biases of this size it is learned within 700 steps.
POSITION_STD = 3.0


@dataclass(frozen=True)
class VlmShape:
    """Sizes of the miniature BLIP-2."""

    image_size: int
    patch_size: int
    queries: int = 4
    width: int = 96
    heads: int = 4
    feedforward: int = 192
    vision_layers: int = 3
    qformer_layers: int = 2
    language_layers: int = 3
    language_std: float = INIT_STD
    positions: int = 96  # image, audio, prompt and answer tokens together


@dataclass(frozen=True)
class AudioEncoderShape:
    """Sizes of the miniature CLAP. Up to 128 frames of 32 mels are folded into a 64 x 64 image."""

    sampling_rate: int
    seconds: int
    window: int
    hop: int
    lowest_hz: float = 50.0
    mels: int = 32
    spectrogram: int = 64
    projection: int = 512  # as in the published CLAP models
    text_width: int = 64
    text_layers: int = 2


def build_vlm(
    shape: VlmShape, tokenizer: PreTrainedTokenizerFast, seed: int
) -> tuple[Blip2ForConditionalGeneration, Blip2Processor]:
    """Build an untrained BLIP-2 and its processor; adds the image placeholder to `tokenizer`."""
    with quiet():
        images = BlipImageProcessorPil(size={"height": shape.image_size, "width": shape.image_size})
        processor = Blip2Processor(images, tokenizer, num_query_tokens=shape.queries)
    tokens = {
        "pad_token_id": tokenizer.pad_token_id,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
    }
    config = Blip2Config(
        vision_config=Blip2VisionConfig(
            hidden_size=shape.width,
            intermediate_size=shape.feedforward,
            num_hidden_layers=shape.vision_layers,
            num_attention_heads=shape.heads,
            image_size=shape.image_size,
            patch_size=shape.patch_size,
            initializer_range=INIT_STD,
        ),
        qformer_config=Blip2QFormerConfig(
            vocab_size=len(tokenizer),
            hidden_size=shape.width,
            num_hidden_layers=shape.qformer_layers,
            num_attention_heads=shape.heads,
            intermediate_size=shape.feedforward,
            cross_attention_frequency=1,
            max_position_embeddings=shape.positions,
            hidden_dropout_prob=0.0,
            attention_probs_dropout_prob=0.0,
        ),
        text_config=OPTConfig(
            vocab_size=len(tokenizer),
            hidden_size=shape.width,
            word_embed_proj_dim=shape.width,
            ffn_dim=shape.feedforward,
            num_hidden_layers=shape.language_layers,
            num_attention_heads=shape.heads,
            max_position_embeddings=shape.positions,
            dropout=0.0,
            init_std=shape.language_std,
            **tokens,
        ),
        num_query_tokens=shape.queries,
        image_token_index=tokenizer.convert_tokens_to_ids(IMAGE),
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = Blip2ForConditionalGeneration(config)
        # transformers initialises all queries to zero, and equal queries would stay equal.
        with torch.no_grad():
            model.query_tokens.normal_(0.0, 1.0)
    return model, processor


def build_audio_encoder(
    shape: AudioEncoderShape, tokenizer: PreTrainedTokenizerFast, seed: int
) -> tuple[ClapModel, ClapProcessor]:
    """Build an untrained CLAP and its processor."""
    extractor = ClapFeatureExtractor(
        feature_size=shape.mels,
        sampling_rate=shape.sampling_rate,
        hop_length=shape.hop,
        fft_window_size=shape.window,
        max_length_s=shape.seconds,
        frequency_min=shape.lowest_hz,
        frequency_max=shape.sampling_rate / 2,
        truncation="rand_trunc",
        padding="pad",  # "repeat" would change how often a sound occurs
    )
    config = ClapConfig(
        text_config=ClapTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=shape.text_width,
            num_hidden_layers=shape.text_layers,
            num_attention_heads=4,
            intermediate_size=2 * shape.text_width,
            max_position_embeddings=66,
            hidden_dropout_prob=0.0,
            attention_probs_dropout_prob=0.0,
            pad_token_id=tokenizer.pad_token_id,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
        ),
        audio_config=ClapAudioConfig(
            spec_size=shape.spectrogram,
            num_mel_bins=shape.mels,
            depths=[1, 1, 2],
            num_attention_heads=[2, 4, 4],
            patch_embeds_hidden_size=32,
            hidden_size=128,
            patch_size=4,
            patch_stride=[4, 4],
            window_size=4,
            hidden_act="relu",
            hidden_dropout_prob=0.0,
        ),
        projection_dim=shape.projection,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = ClapModel(config)
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if name.endswith("relative_position_bias_table"):
                    parameter.normal_(0.0, POSITION_STD)
    return model, ClapProcessor(extractor, tokenizer)
