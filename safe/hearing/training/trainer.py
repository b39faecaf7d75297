"""Training loop for projector and LoRA, with checkpoints to resume from.

A checkpoint contains adapter, optimizer, sampler and random states, and the history of steps. On
one CPU an interrupted and resumed run gives bit-identical results. Accelerate handles devices,
precision, processes and trackers.
"""

from __future__ import annotations

import os
import pickle
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from tqdm import tqdm

from safe.errors import ConfigError, TrainingError
from safe.files import atomic
from safe.hearing.models.safe_model import SafeModel
from safe.hearing.training.losses import Objective, cross_entropy
from safe.hearing.training.schedule import warmup_cosine
from safe.hearing.training.tracking import log_step, open_accelerator

RECORDED = ("loss", "cross_entropy", "divergence")


@dataclass(frozen=True, slots=True)
class TrainSettings:
    """Settings of a training run."""

    steps: int
    projector_lr: float
    lora_lr: float
    warmup: float
    clip_norm: float
    seed: int
    weight_decay: float = 0.01
    accumulate: int = 1
    checkpoint_every: int = 50


@dataclass(frozen=True, slots=True)
class TrainingBatch:
    """A micro-batch.

    Attributes:
        inputs: arguments of `SafeModel.score`.
        ids: ids of the examples.
        tokens: number of answer tokens in the whole optimizer step, the divisor of the
            cross-entropy; None for the number in this batch.
        audio_examples: (B,) bool, True for examples that need audio.
        teacher: (N, V), the base's logits at every answer token of the other examples.
        teacher_tokens: as `tokens`, for the other examples.
    """

    inputs: dict[str, Any]
    ids: Sequence[str]
    tokens: int | None = None
    audio_examples: Tensor | None = None
    teacher: Tensor | None = None
    teacher_tokens: int = 0


@dataclass(frozen=True, slots=True)
class StepRecord:
    """Losses of an optimizer step in nats per answer token, and gradient norm before clipping."""

    step: int
    loss: float
    cross_entropy: float
    divergence: float  # NaN if the objective has none
    gradient_norm: float
    rate: float  # factor of the learning rates


class Stateful(Protocol):
    """Object whose state (tensors and plain values) is saved in checkpoints."""

    def state(self) -> dict[str, Any]: ...

    def resume(self, state: dict[str, Any]) -> None: ...


class Batches(Stateful, Protocol):
    """Batch sampler, see `safe.hearing.training.sampler`."""

    @property
    def per_epoch(self) -> int: ...

    def next(self) -> list[int]: ...


class UpdateHook(Stateful, Protocol):
    """Hook that is called around every update, see `safe.hearing.training.retention`."""

    def before_step(self, step: int) -> None: ...

    def penalty(self) -> Tensor | None: ...

    def before_update(self) -> None: ...

    def after_update(self) -> None: ...


# (indices of this micro-batch, indices of the whole step, number of the step)
Make = Callable[[list[int], list[int], int], TrainingBatch]


class _Step(nn.Module):
    """Model and objective as one module, which Accelerate wraps for several processes."""

    def __init__(self, model: SafeModel, objective: Objective) -> None:
        super().__init__()
        self.model, self.objective = model, objective

    def forward(self, batch: TrainingBatch) -> dict[str, Tensor]:
        return dict(self.objective(self.model, batch))


def parameter_groups(model: SafeModel, settings: TrainSettings) -> list[dict[str, Any]]:
    """Return parameter groups for projector and LoRA with their learning rates."""
    groups: dict[str, list[Any]] = {"projector": [], "lora": []}
    for name, weight in model.trainable().items():
        groups["projector" if name.startswith("projector.") else "lora"].append(weight)
    rates = {"projector": settings.projector_lr, "lora": settings.lora_lr}
    return [{"params": groups[n], "lr": rates[n], "peak": rates[n], "name": n} for n in groups]


class Trainer:
    """A training run over `batches`.

    Args:
        model: its trainable parameters are trained.
        batches: sampler of example indices.
        make: makes the micro-batch of the given indices.
        objective: objective to minimise.
        guard: hook around every update, or None.
        schedule: step -> factor of the learning rates; by default `warmup_cosine`.
        also: name -> additional objects whose state is saved in checkpoints.
        on_step: called after every step, before the checkpoint is saved.
        accelerator: devices, precision, processes, trackers; by default the model's device only.
        checkpoint: file to save to and resume from; None disables checkpoints.
        fingerprint: digest of everything that affects the result; a checkpoint with another one is
            not used.
    """

    def __init__(
        self,
        model: SafeModel,
        batches: Batches,
        make: Make,
        settings: TrainSettings,
        *,
        objective: Objective = cross_entropy,
        guard: UpdateHook | None = None,
        schedule: Callable[[int], float] | None = None,
        also: Mapping[str, Stateful] | None = None,
        on_step: Callable[[StepRecord], None] | None = None,
        accelerator: Accelerator | None = None,
        checkpoint: Path | None = None,
        fingerprint: str = "",
    ) -> None:
        self.model, self.batches, self.make, self.settings = model, batches, make, settings
        self.checkpoint, self.fingerprint, self.guard = checkpoint, fingerprint, guard
        self.schedule = schedule or (
            lambda step: warmup_cosine(step, settings.steps, settings.warmup)
        )
        self.on_step = on_step
        self._kept: dict[str, Stateful] = {"sampler": batches, **(also or {})}
        if guard:
            self._kept["guard"] = guard
        self.accelerator = accelerator or open_accelerator(model.device)
        optimizer = torch.optim.AdamW(
            parameter_groups(model, settings),
            weight_decay=settings.weight_decay,
            fused=True,  # faster for many small weights
        )
        self._weights = list(model.trainable().values())  # cached: finding them is slow
        self._module, self.optimizer = self.accelerator.prepare(_Step(model, objective), optimizer)
        self.history: list[StepRecord] = []
        self.resumed_at: int | None = None

    def run(self, title: str = "training") -> list[StepRecord]:
        """Train to the last step, from the checkpoint if there is one.

        Raises:
            TrainingError: a loss or gradient is not finite.
        """
        self.begin()
        start, steps = len(self.history), self.settings.steps
        hidden = not self.accelerator.is_main_process
        with tqdm(total=steps, initial=start, desc=title, unit="step", disable=hidden) as bar:
            for _ in range(start, steps):
                self.advance(bar)
        self.model.eval()
        return self.history

    def begin(self) -> None:
        """Set the seed, resume from the checkpoint if there is one, and set training mode."""
        torch.manual_seed(self.settings.seed)
        self._resume()
        self.model.train()

    def advance(self, bar: tqdm) -> StepRecord:
        """Take the next step, record it, and save a checkpoint if due.

        Raises:
            TrainingError: the loss or the gradient is not finite.
        """
        record = self.step(len(self.history))
        self.history.append(record)
        bar.update()
        bar.set_postfix(loss=f"{record.loss:.3f}", rate=f"{record.rate:.2f}", refresh=False)
        self._log(record)
        if self.on_step:
            self.on_step(record)
        done = len(self.history)
        if done % self.settings.checkpoint_every == 0 or done == self.settings.steps:
            self.save()
        return record

    # -- a step --------------------------------------------------------------------------------

    def _parts(self, rows: list[int]) -> list[list[int]]:
        """This process's micro-batches of a step, interleaved so that their lengths are similar."""
        processes, micro = self.accelerator.num_processes, self.settings.accumulate
        if len(rows) < processes * micro:
            raise ConfigError(
                f"a step of {len(rows)} examples cannot be split over {processes} processes with "
                f"{micro} micro-batches each",
                key="accumulate",
                hint="raise batch_size, or lower accumulate",
            )
        first = self.accelerator.process_index
        return [rows[first + processes * m :: processes * micro] for m in range(micro)]

    def step(self, step: int) -> StepRecord:
        """Take optimizer step number `step`.

        Raises:
            TrainingError: the loss or the gradient is not finite; the weights are not updated.
        """
        rate = self.schedule(step)
        for group in self.optimizer.param_groups:
            group["lr"] = group["peak"] * rate
        if self.guard:
            self.guard.before_step(step)
        rows = self.batches.next()
        parts = self._parts(rows)
        self.optimizer.zero_grad(set_to_none=True)
        sums: dict[str, Tensor] = {}
        ids: list[str] = []
        for number, part in enumerate(parts):
            batch = self.make(part, rows, step)
            ids += batch.ids
            last = number + 1 == len(parts)
            with self._synchronised(last), self.accelerator.autocast():
                terms = self._module(batch)
                # Gradients are averaged over processes, but their sum is needed.
                self.accelerator.backward(terms["loss"] * self.accelerator.num_processes)
            for name in RECORDED:
                if name in terms:
                    sums[name] = sums.get(name, 0) + terms[name].detach()
        penalty = self.guard.penalty() if self.guard else None
        if penalty is not None:  # the same in every process, and not averaged by `backward`
            penalty.backward()
            sums["loss"] = sums["loss"] + penalty.detach() / self.accelerator.num_processes
        norm = self.accelerator.clip_grad_norm_(self._weights, self.settings.clip_norm)
        seen = torch.stack([*(sums[n].float() for n in sums), torch.as_tensor(norm).float()])
        values = self._everywhere(seen)  # the only device synchronisation of a step
        found = dict(zip([*sums, "gradient"], values, strict=True))
        for what in ("loss", "gradient"):
            if not torch.isfinite(torch.tensor(found[what])):
                self._not_finite(step, ids, what, found[what])
        if self.guard:
            self.guard.before_update()
        self.optimizer.step()
        if self.guard:
            self.guard.after_update()
        return StepRecord(
            step,
            found["loss"],
            found.get("cross_entropy", float("nan")),
            found.get("divergence", float("nan")),
            found["gradient"],
            rate,
        )

    def _synchronised(self, last: bool) -> Any:
        return torch.enable_grad() if last else self.accelerator.no_sync(self._module)

    def _everywhere(self, seen: Tensor) -> list[float]:
        """Sums over processes; the norm is the same in all of them."""
        if self.accelerator.num_processes > 1:
            total = self.accelerator.reduce(seen, reduction="sum")
            seen = torch.cat([total[:-1], seen[-1:]])
        return [float(value) for value in seen.tolist()]

    def _not_finite(self, step: int, ids: Sequence[str], what: str, value: float) -> None:
        raise TrainingError(
            f"the {what} is {value} at step {step}, in the batch of {', '.join(ids[:8])}"
            + (", ..." if len(ids) > 8 else ""),
            hint="lower the learning rates, lengthen the warm-up, or check these examples; "
            "training resumes from the last checkpoint",
        )

    def _log(self, record: StepRecord) -> None:
        values = {
            "train/loss": record.loss,
            "train/cross_entropy": record.cross_entropy,
            "train/divergence": record.divergence,
            "train/gradient_norm": record.gradient_norm,
            "train/projector_lr": self.settings.projector_lr * record.rate,
            "train/lora_lr": self.settings.lora_lr * record.rate,
        }
        kept = {name: value for name, value in values.items() if value == value}
        log_step(self.accelerator, kept, record.step)

    # -- checkpoints ---------------------------------------------------------------------------

    def save(self) -> None:
        """Write the checkpoint atomically."""
        if self.checkpoint is None or not self.accelerator.is_main_process:
            return
        fields = StepRecord.__slots__
        records = [[float(getattr(r, name)) for name in fields] for r in self.history]
        state = {
            "fingerprint": self.fingerprint,
            "adapter": {n: p.detach() for n, p in self.model.trainable().items()},
            "optimizer": self.optimizer.state_dict(),
            "kept": {name: kept.state() for name, kept in self._kept.items()},
            "random": [torch.get_rng_state(), *torch.cuda.get_rng_state_all()],
            "history": torch.tensor(records, dtype=torch.float64),
        }
        with atomic(self.checkpoint) as temporary, temporary.open("wb") as handle:
            torch.save(state, handle)
            handle.flush()
            os.fsync(handle.fileno())

    def _resume(self) -> None:
        path = self.checkpoint
        if path is None or not path.exists():
            return
        try:
            state = torch.load(path, map_location=self.model.device, weights_only=True)
            fingerprint = state["fingerprint"]
        except (OSError, RuntimeError, EOFError, KeyError, TypeError, pickle.UnpicklingError) as e:
            warnings.warn(f"{path}: not a checkpoint ({e}); training restarts", stacklevel=3)
            return
        if fingerprint != self.fingerprint:
            warnings.warn(
                f"{path}: has other data, settings or models; training restarts", stacklevel=3
            )
            return
        with torch.no_grad():
            for name, weight in self.model.trainable().items():
                weight.copy_(state["adapter"][name])
        self.optimizer.load_state_dict(state["optimizer"])
        for name, kept in self._kept.items():
            kept.resume(state["kept"][name])
        cpu, *cuda = (generator.cpu() for generator in state["random"])
        torch.set_rng_state(cpu)
        if len(cuda) == torch.cuda.device_count():
            torch.cuda.set_rng_state_all(cuda)
        self.history = [StepRecord(int(r[0]), *r[1:]) for r in state["history"].tolist()]
        self.resumed_at = len(self.history)
