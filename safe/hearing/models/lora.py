"""The adapted language model: PEFT LoRA on a second module tree over the same frozen weights.

PEFT puts its layers in place of the ones they adapt. SAFE therefore adapts a copy of the language
model's modules whose Parameters and buffers ARE those of the base, so that no byte is stored
twice and the base object is never touched: rows that are OFF run the modules they always ran.
"""

from __future__ import annotations

import copy
import warnings
from itertools import chain

import torch
from peft import LoraConfig as PeftLoraConfig
from peft import PeftModel, get_peft_model
from torch import nn

from safe.errors import ModelError
from safe.hearing.config import LoraConfig


def share_weights(module: nn.Module) -> nn.Module:
    """A copy of the module tree that holds the very same Parameters and buffers."""
    kept = {id(t): t for t in chain(module.parameters(), module.buffers())}
    twin: nn.Module = copy.deepcopy(module, memo=dict(kept))
    return twin


def linear_leaves(module: nn.Module) -> set[str]:
    """Last name components of all Linear layers, e.g. {"q_proj", "fc1"}."""
    return {n.rsplit(".", 1)[-1] for n, m in module.named_modules() if isinstance(m, nn.Linear)}


def check_targets(language_model: nn.Module, targets: list[str]) -> None:
    """Every target must name a linear layer of the language model.

    Raises:
        ModelError: naming the missing targets and those that exist.
    """
    known = linear_leaves(language_model)
    missing = sorted(set(targets) - known)
    if missing:
        raise ModelError(
            f"the language model ({type(language_model).__name__}) has no linear layer "
            f"{', '.join(missing)}; it has {', '.join(sorted(known))}",
            key="adapter.lora.targets",
            hint="OPT calls them q_proj and v_proj, T5 calls them q and v",
        )


def peft_config(config: LoraConfig) -> PeftLoraConfig:
    """SAFE's settings as PEFT's; B starts at zero, so a fresh adapter changes nothing."""
    return PeftLoraConfig(
        r=config.rank,
        lora_alpha=config.alpha,
        lora_dropout=config.dropout,
        target_modules=sorted(config.targets),
        bias="none",
    )


def adapt(language_model: nn.Module, config: LoraConfig, *, seed: int) -> PeftModel:
    """A PEFT model over a weight-sharing twin of `language_model`; only LoRA weights train.

    Raises:
        ModelError: a target layer does not exist.
    """
    check_targets(language_model, config.targets)
    twin = share_weights(language_model)
    with torch.random.fork_rng():  # PEFT draws from the global generator
        torch.manual_seed(seed)
        with warnings.catch_warnings():  # PEFT asks by a name that transformers is giving up
            warnings.filterwarnings("ignore", "`is_gradient_checkpointing`", FutureWarning)
            return get_peft_model(twin, peft_config(config))


def lora_dropouts(adapted: nn.Module) -> list[nn.Module]:
    """The only modules of the adapted tree that know a training mode: LoRA's own dropout."""
    return [m for n, m in adapted.named_modules() if n.endswith("lora_dropout")]
