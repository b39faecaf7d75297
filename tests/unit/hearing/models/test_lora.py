"""LoRA: targets, initial weights, and weights shared with the base."""

import pytest
import torch
from peft import LoraConfig as PeftLoraConfig
from peft import get_peft_model

from safe.errors import ModelError
from safe.hearing.config import LoraConfig
from safe.hearing.models.lora import adapt, share_weights
from tests.tiny_models import tiny_vlm


def test_missing_targets_are_named_with_the_existing_ones():
    with pytest.raises(ModelError, match=r"no linear layer nope, query; it has .*k_proj.*q_proj"):
        adapt(tiny_vlm().language_model, LoraConfig(targets=["nope", "query", "q_proj"]), seed=0)
    with pytest.raises(ModelError, match="q and v for T5"):
        adapt(tiny_vlm(t5=True).language_model, LoraConfig(), seed=0)


def test_new_adapter_changes_nothing_and_has_the_expected_size():
    model = tiny_vlm().language_model
    ids = torch.arange(4, 12).unsqueeze(0)
    plain = model(input_ids=ids).logits
    adapted = adapt(model, LoraConfig(rank=3), seed=0)
    assert torch.equal(adapted.base_model.model(input_ids=ids).logits, plain)
    layers, width = 2, 32
    trainable = sum(p.numel() for p in adapted.parameters() if p.requires_grad)
    assert trainable == layers * 2 * 3 * (width + width)


def test_shared_weights_give_the_logits_of_peft_on_a_copy():
    ids = torch.arange(4, 12).unsqueeze(0)
    mine = adapt(tiny_vlm().language_model, LoraConfig(rank=2), seed=0)
    theirs = get_peft_model(
        tiny_vlm().language_model,
        PeftLoraConfig(r=2, lora_alpha=16, target_modules=["q_proj", "v_proj"]),
    )
    state = dict(mine.named_parameters())
    for name, weight in theirs.named_parameters():
        if "lora" in name:
            weight.data.normal_()
            state[name].data.copy_(weight)
    assert torch.equal(mine(input_ids=ids).logits, theirs(input_ids=ids).logits)


def test_seed_determines_initial_weights_without_changing_the_global_generator():
    torch.manual_seed(4)
    expected = torch.rand(3)
    torch.manual_seed(4)
    one, two, other = (adapt(tiny_vlm().language_model, LoraConfig(), seed=s) for s in (1, 1, 2))
    assert torch.equal(torch.rand(3), expected)
    weights = [dict(m.named_parameters()) for m in (one, two, other)]
    name = next(n for n in weights[0] if "lora_A" in n)
    assert torch.equal(weights[0][name], weights[1][name])
    assert not torch.equal(weights[0][name], weights[2][name])


def test_tied_weights_stay_tied_in_the_shared_copy():
    model = tiny_vlm().language_model
    twin = share_weights(model)
    assert twin.lm_head.weight is model.model.decoder.embed_tokens.weight
    assert twin.config is not model.config
