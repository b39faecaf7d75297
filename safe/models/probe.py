"""What a call really does: modules called, floating-point operations, hooks installed.

Measured from outside with PyTorch's own global hooks and operation counter, so that nothing has
to be installed on the model that is looked at.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
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
        calls: id of each module called -> how often.
        names: id -> class name, for messages.
        tensor_ops: dispatched tensor operations by name -> how often. Catches work that is done
            outside any module.
    """

    flops: int
    calls: Counter[int]
    names: dict[int, str]
    tensor_ops: Counter[str]


class _OpCounter(torch.utils._python_dispatch.TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.ops: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.ops[str(func)] += 1
        return func(*args, **(kwargs or {}))


def trace(call: Callable[[], Any], *, ignore: Iterable[nn.Module] = ()) -> Trace:
    """Run `call` once and say what it did.

    Args:
        ignore: modules whose own call is not counted (those inside them are), such as the
            dispatcher that is compared with what it dispatches to.
    """
    skipped = {id(m) for m in ignore}
    calls: Counter[int] = Counter()
    names: dict[int, str] = {}

    def note(module: nn.Module, *_: Any) -> None:
        if id(module) not in skipped:
            calls[id(module)] += 1
            names[id(module)] = type(module).__name__

    handle = module_hooks.register_module_forward_pre_hook(note)
    counter = FlopCounterMode(display=False)
    try:
        with counter:
            call()
    finally:
        handle.remove()
    with _OpCounter() as ops:
        call()
    return Trace(int(counter.get_total_flops()), calls, names, ops.ops)


def difference(one: Counter[Any], other: Counter[Any]) -> int:
    """How many entries stand in only one of two multisets."""
    return sum((one - other).values()) + sum((other - one).values())


def installed_hooks(*modules: nn.Module) -> int:
    """Hooks on any part of the modules, plus PyTorch's global module hooks."""
    parts = {id(p): p for m in modules for p in m.modules()}.values()
    local = sum(len(getattr(p, table, None) or ()) for p in parts for table in HOOK_TABLES)
    everywhere = sum(
        len(getattr(module_hooks, name))
        for name in ("_global_forward_hooks", "_global_forward_pre_hooks")
    )
    return local + everywhere
