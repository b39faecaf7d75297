"""Random-weight BLIP-2 and CLAP with a few thousand parameters."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import (
    Blip2Config,
    Blip2ForConditionalGeneration,
    Blip2Processor,
    Blip2QFormerConfig,
    Blip2VisionConfig,
    BlipImageProcessorPil,
    ClapConfig,
    ClapFeatureExtractor,
    ClapModel,
    OPTConfig,
    PreTrainedTokenizerFast,
    T5Config,
)

from safe.hearing.models.audio_encoder import AudioEncoder

TEXT = (
    "question answer what colour is the sound do you hear how many are there a an of in "
    "red green blue yellow one two three four yes no bell drum siren rain flute dog cat ? : ."
)
WORDS = TEXT.split()
IMAGE_SIZE, RATE = 16, 8000


def tiny_tokenizer() -> PreTrainedTokenizerFast:
    vocabulary = {t: i for i, t in enumerate(["<s>", "<pad>", "</s>", "<unk>", *WORDS])}
    raw = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    raw.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Whitespace(), pre_tokenizers.Punctuation()]
    )
    raw.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
    return PreTrainedTokenizerFast(
        tokenizer_object=raw,
        bos_token="<s>",
        pad_token="<pad>",
        eos_token="</s>",
        unk_token="<unk>",
        padding_side="left",
    )


def tiny_processor(queries: int = 4) -> Blip2Processor:
    image = BlipImageProcessorPil(size={"height": IMAGE_SIZE, "width": IMAGE_SIZE})
    return Blip2Processor(image, tiny_tokenizer(), num_query_tokens=queries)


def tiny_vlm(
    seed: int = 0,
    *,
    dtype: torch.dtype = torch.float32,
    wide_qformer: bool = False,
    t5: bool = False,
    queries: int = 4,
) -> Blip2ForConditionalGeneration:
    vocabulary = len(WORDS) + 5
    vision = Blip2VisionConfig(
        hidden_size=24,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        image_size=IMAGE_SIZE,
        patch_size=8,
        initializer_range=0.05,  # the default of 1e-10 would make every picture the same
    )
    qformer = Blip2QFormerConfig(
        vocab_size=vocabulary,
        hidden_size=24,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        encoder_hidden_size=24,
        cross_attention_frequency=1,
    )
    if t5:
        text: OPTConfig | T5Config = T5Config(
            vocab_size=vocabulary,
            d_model=32,
            d_kv=16,
            d_ff=48,
            num_layers=2,
            num_heads=2,
            pad_token_id=1,
            eos_token_id=2,
            decoder_start_token_id=1,
        )
    else:
        text = OPTConfig(
            vocab_size=vocabulary,
            hidden_size=32,
            word_embed_proj_dim=32,
            ffn_dim=48,
            num_hidden_layers=2,
            num_attention_heads=2,
            max_position_embeddings=64,
            bos_token_id=0,
            pad_token_id=1,
            eos_token_id=2,
        )
    config = Blip2Config(
        vision_config=vision,
        qformer_config=qformer,
        text_config=text,
        num_query_tokens=queries,
        image_token_index=vocabulary - 1,
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = Blip2ForConditionalGeneration(config)
        model.query_tokens.data.normal_()
        for name, weight in model.named_parameters():  # large enough that answers differ
            if weight.dim() > 1 and "query" not in name:
                weight.data.mul_(4)
        # Tied to the output: at the default scale no answer would have low entropy.
        model.get_input_embeddings().weight.data.mul_(6)
        if not t5:  # scaled up to match the embeddings
            for layer in model.language_model.model.decoder.layers.parameters():
                layer.data.mul_(3)
        model.language_projection.weight.data.mul_(3)
    model.to(dtype)
    if wide_qformer:  # as from_pretrained does for some dtypes, depending on the version
        model.qformer.float()
        model.query_tokens.data = model.query_tokens.data.float()
    return model.eval().requires_grad_(False)


def tiny_audio_encoder(seed: int = 0) -> AudioEncoder:
    config = ClapConfig(
        projection_dim=24,
        audio_config={
            "spec_size": 32,
            "num_mel_bins": 16,
            "depths": [1, 1],
            "num_hidden_layers": 2,
            "num_attention_heads": [2, 2],
            "patch_embeds_hidden_size": 16,
            "hidden_size": 32,
            "patch_size": 4,
            "patch_stride": [4, 4],
            "window_size": 4,
            "projection_dim": 24,
        },
        text_config={
            "vocab_size": len(WORDS) + 4,
            "hidden_size": 16,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "intermediate_size": 16,
            "projection_dim": 24,
        },
    )
    extractor = ClapFeatureExtractor(
        feature_size=16,
        sampling_rate=RATE,
        hop_length=160,
        max_length_s=1,
        fft_window_size=512,
        frequency_min=50,
        frequency_max=4000,
        truncation="rand_trunc",
        padding="repeatpad",
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = ClapModel(config)
    return AudioEncoder(model, extractor, "tiny")


def tiny_tone(hertz: float, seconds: float = 0.5) -> np.ndarray:
    return (0.3 * np.sin(2 * np.pi * hertz * np.arange(int(RATE * seconds)) / RATE)).astype(
        np.float32
    )


def save_tiny(folder: Path, seed: int = 0) -> tuple[Path, Path]:
    """Save both as ordinary Hugging Face folders; return (vlm, audio_encoder)."""
    vlm, audio_encoder = folder / "vlm", folder / "audio_encoder"
    tiny_vlm(seed).save_pretrained(vlm)
    tiny_processor().save_pretrained(vlm)
    encoder = tiny_audio_encoder(seed)
    encoder.model.save_pretrained(audio_encoder)
    encoder.feature_extractor.save_pretrained(audio_encoder)
    tiny_tokenizer().save_pretrained(audio_encoder)
    return vlm, audio_encoder
