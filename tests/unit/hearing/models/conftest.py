from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from safe.hearing.config import AdapterConfig, LoraConfig
from safe.hearing.models.prompt import build_prompt
from safe.hearing.models.safe_model import SafeModel
from tests.tiny_models import tiny_audio_encoder, tiny_processor, tiny_tone, tiny_vlm

QUESTIONS = (
    "what colour is the cat?",
    "how many are there?",
    "what sound do you hear?",
    "is there a dog in the sound?",
    "yes?",
    "what is the colour of the red dog?",
)


@pytest.fixture(scope="session")
def batch():
    """Six examples from the processor with several prompt lengths, and six tones."""
    rng = np.random.default_rng(3)
    pictures = [
        Image.fromarray(rng.integers(0, 255, (20, 18, 3), dtype=np.uint8)) for _ in QUESTIONS
    ]
    inputs = tiny_processor()(
        images=pictures,
        text=[build_prompt(q) for q in QUESTIONS],
        padding=True,
        return_tensors="pt",
    )
    tones = [tiny_tone(200 + 300 * i) for i in range(len(QUESTIONS))]
    return SimpleNamespace(inputs=dict(inputs), audio=tones, rows=len(QUESTIONS))


def make_safe(
    dtype=torch.float32, *, wide_qformer=False, t5=False, projector="mlp", trained=True, **options
):
    """A SafeModel with nonzero LoRA weights unless `trained` is False."""
    targets = ["q", "v"] if t5 else ["q_proj", "v_proj"]
    config = AdapterConfig(
        projector=projector, audio_tokens=3, hidden=16, lora=LoraConfig(rank=2, targets=targets)
    )
    model = SafeModel(
        tiny_vlm(dtype=dtype, t5=t5, wide_qformer=wide_qformer),
        tiny_audio_encoder(),
        config,
        seed=5,
        **options,
    )
    if trained:
        generator = torch.Generator().manual_seed(1)
        for name, weight in model.trainable().items():
            if "lora_B" in name:
                noise = torch.randn(weight.shape, generator=generator)
                weight.data.copy_(noise.to(weight.dtype))
    return model


@pytest.fixture(scope="session")
def build_safe():
    return make_safe
