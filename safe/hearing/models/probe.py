"""What a call really does: modules called, floating-point operations, hooks installed.

Measured from outside with PyTorch's own global hooks and operation counter, so that nothing has
to be installed on the model that is looked at.
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
    """One call seen from outside.

    Attributes:
        flops: floating-point operations by PyTorch's counter.
        calls: each module called, by name and class -> how often.
        tensor_ops: dispatched tensor operations by name -> how often. Catches work that is done
            outside any module.
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
    """Run `call` twice and say what one run did.

    Args:
        root: the model that is expected to work; its parts are named as within it, so that two
            copies of one architecture can be compared.
        wrapper: the dispatcher around `root`. Its own call is not counted; its other parts are
            named as within it, with a leading `+`.
        tensor_ops: without them, `call` is run once and `Trace.tensor_ops` stays empty.
    """
    named = {id(m): n for n, m in root.named_modules()}
    others = {} if wrapper is None else {id(m): f"+{n}" for n, m in wrapper.named_modules()}
    names = {**others, **named}
    calls: Counter[str] = Counter()

    def note(module: nn.Module, *_: Any) -> None:
        if module is not wrapper:
            calls[f"{names.get(id(module), '+unknown')}: {type(module).__name__}"] += 1

    handle = module_hooks.register_module_forward_pre_hook(note)
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
    """Hooks on any part of the modules, plus PyTorch's global module hooks."""
    parts = {id(p): p for m in modules for p in m.modules()}.values()
    local = sum(len(getattr(p, table, None) or ()) for p in parts for table in HOOK_TABLES)
    everywhere = sum(
        len(getattr(module_hooks, name))
        for name in ("_global_forward_hooks", "_global_forward_pre_hooks")
    )
    return local + everywhere
