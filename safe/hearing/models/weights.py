"""Digests of weights, to verify that a model is the expected one and did not change."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import torch
from torch import Tensor, nn


def tensor_digest(name: str, tensor: Tensor) -> str:
    """Return SHA-256 over name, dtype, shape and bytes of a tensor."""
    value = tensor.detach().cpu().contiguous()
    digest = hashlib.sha256(f"{name}|{value.dtype}|{tuple(value.shape)}|".encode())
    digest.update(value.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def tensor_digests(named: Iterable[tuple[str, Tensor]]) -> dict[str, str]:
    """Return name -> digest."""
    return {name: tensor_digest(name, tensor) for name, tensor in named}


def weight_digest(module: nn.Module) -> str:
    """Return SHA-256 over all parameters and saved buffers of `module`, sorted by name."""
    parts = tensor_digests(sorted(module.state_dict().items()))
    return hashlib.sha256("\n".join(f"{n} {d}" for n, d in parts.items()).encode()).hexdigest()
