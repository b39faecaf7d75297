"""The adapted language model: PEFT LoRA on a second module tree that shares the frozen weights.

PEFT replaces the modules that it adapts. SAFE therefore adapts a copy of the language model's
modules that shares all Parameters and buffers with the base. No weight is stored twice, the base
object is never modified, and examples with the gate OFF run the original modules.
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
    """Copy the module tree; the copy shares all Parameters and buffers."""
    kept = {id(t): t for t in chain(module.parameters(), module.buffers())}
    shared: nn.Module = copy.deepcopy(module, memo=dict(kept))
    return shared


def linear_leaves(module: nn.Module) -> set[str]:
    """Return the last name components of all Linear layers, e.g. {"q_proj", "fc1"}."""
    return {n.rsplit(".", 1)[-1] for n, m in module.named_modules() if isinstance(m, nn.Linear)}


def check_targets(language_model: nn.Module, targets: list[str]) -> None:
    """Check that every target is the name of a linear layer of the language model.

    Raises:
        ModelError: a target does not exist; the message lists the existing layers.
    """
    known = linear_leaves(language_model)
    missing = sorted(set(targets) - known)
    if missing:
        raise ModelError(
            f"the language model ({type(language_model).__name__}) has no linear layer "
            f"{', '.join(missing)}; it has {', '.join(sorted(known))}",
            key="adapter.lora.targets",
            hint="use q_proj and v_proj for OPT, q and v for T5",
        )


def peft_config(config: LoraConfig) -> PeftLoraConfig:
    """Convert SAFE's settings to PEFT's. LoRA B starts at zero, so a new adapter has no effect."""
    return PeftLoraConfig(
        r=config.rank,
        lora_alpha=config.alpha,
        lora_dropout=config.dropout,
        target_modules=sorted(config.targets),
        bias="none",
    )


def adapt(language_model: nn.Module, config: LoraConfig, *, seed: int) -> PeftModel:
    """Build a PEFT model on a weight-sharing copy of `language_model`; only LoRA is trainable.

    Raises:
        ModelError: a target layer does not exist.
    """
    check_targets(language_model, config.targets)
    shared = share_weights(language_model)
    with torch.random.fork_rng():  # PEFT draws from the global generator
        torch.manual_seed(seed)
        with warnings.catch_warnings():  # PEFT reads an attribute that transformers deprecates
            warnings.filterwarnings("ignore", "`is_gradient_checkpointing`", FutureWarning)
            return get_peft_model(shared, peft_config(config))


def lora_dropouts(adapted: nn.Module) -> list[nn.Module]:
    """Return LoRA's dropout modules, the only ones that are switched to training mode."""
    return [m for n, m in adapted.named_modules() if n.endswith("lora_dropout")]
