"""Trace a call: modules called, floating-point operations, installed hooks.

Uses PyTorch's global hooks and operation counter, so that nothing is installed on the model.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn.modules import module as module_hooks
from torch.utils.flop_counter import FlopCounterMode

HOOK_TABLES = (
    "_forward_hooks",
    "_forward_pre_hooks",
    "_backward_hooks",
    "_backward_pre_hooks",
)


@dataclass(frozen=True, slots=True)
class Trace:
    """Operations of one call.

    Attributes:
        flops: floating-point operations by PyTorch's counter.
        calls: module name and class -> number of calls.
        tensor_ops: name of a dispatched tensor operation -> number of calls. Includes work outside
            of modules.
    """

    flops: int
    calls: Counter[str]
    tensor_ops: Counter[str]


class _OpCounter(torch.utils._python_dispatch.TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.ops: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.ops[str(func)] += 1
        return func(*args, **(kwargs or {}))


def trace(
    call: Callable[[], Any],
    root: nn.Module,
    *,
    wrapper: nn.Module | None = None,
    tensor_ops: bool = True,
) -> Trace:
    """Run `call` twice and return the operations of one run.

    Args:
        root: its modules are named relative to it, so that two copies of one architecture can be
            compared.
        wrapper: module around `root`. Its own call is not counted; names of its other modules are
            relative to it and start with `+`.
        tensor_ops: if False, run `call` once and leave `Trace.tensor_ops` empty.
    """
    named = {id(m): n for n, m in root.named_modules()}
    others = {} if wrapper is None else {id(m): f"+{n}" for n, m in wrapper.named_modules()}
    names = {**others, **named}
    calls: Counter[str] = Counter()

    def count_call(module: nn.Module, *_: Any) -> None:
        if module is not wrapper:
            calls[f"{names.get(id(module), '+unknown')}: {type(module).__name__}"] += 1

    handle = module_hooks.register_module_forward_pre_hook(count_call)
    counter = FlopCounterMode(display=False)
    try:
        with counter:
            call()
    finally:
        handle.remove()
    ops = _OpCounter()
    if tensor_ops:
        with ops:
            call()
    return Trace(int(counter.get_total_flops()), calls, ops.ops)


def installed_hooks(*modules: nn.Module) -> int:
    """Count hooks on the modules and their submodules, plus PyTorch's global forward hooks."""
    parts = {id(p): p for m in modules for p in m.modules()}.values()
    local = sum(len(getattr(p, table, None) or ()) for p in parts for table in HOOK_TABLES)
    everywhere = sum(
        len(getattr(module_hooks, name))
        for name in ("_global_forward_hooks", "_global_forward_pre_hooks")
    )
    return local + everywhere
