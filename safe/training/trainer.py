"""The Stage-A loop: projector and LoRA learn, all else is frozen; a killed run goes on.

A checkpoint holds adapter, optimizer, place in the schedule and the sampler, random state and
history. On one CPU a run that was killed and resumed ends bit for bit as one that was not.
"""

from __future__ import annotations

import os
import pickle
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from safe.errors import TrainingError
from safe.files import atomic
from safe.models.safe_model import SafeModel
from safe.training.losses import answer_cross_entropy
from safe.training.sampler import LengthBatches
from safe.training.schedule import warmup_cosine


@dataclass(frozen=True, slots=True)
class TrainSettings:
    """How one run of the loop goes."""

    steps: int
    projector_lr: float
    lora_lr: float
    warmup: float
    clip_norm: float
    seed: int
    weight_decay: float = 0.01
    checkpoint_every: int = 50


@dataclass(frozen=True, slots=True)
class TrainingBatch:
    """Arguments of `SafeModel.score`, and who is in the batch."""

    inputs: dict[str, Any]
    ids: Sequence[str]


@dataclass(frozen=True, slots=True)
class StepRecord:
    """What one optimizer step saw. Loss in nats per answer token; norm before clipping."""

    step: int
    loss: float
    gradient_norm: float
    rate: float  # of the learning rates


def parameter_groups(model: SafeModel, settings: TrainSettings) -> list[dict[str, Any]]:
    """Two groups, projector and LoRA, each with its own learning rate."""
    groups: dict[str, list[Any]] = {"projector": [], "lora": []}
    for name, weight in model.trainable().items():
        groups["projector" if name.startswith("projector.") else "lora"].append(weight)
    rates = {"projector": settings.projector_lr, "lora": settings.lora_lr}
    return [{"params": groups[n], "lr": rates[n], "peak": rates[n], "name": n} for n in groups]


class Trainer:
    """One run of the loop over `batches`.

    Args:
        model: its trainable parameters are trained.
        batches: which rows come next.
        make: the batch of the given row numbers.
        checkpoint: file to save to and resume from; None keeps nothing.
        fingerprint: digest of all that decides the outcome; a checkpoint of another is not used.
    """

    def __init__(
        self,
        model: SafeModel,
        batches: LengthBatches,
        make: Callable[[list[int]], TrainingBatch],
        settings: TrainSettings,
        *,
        checkpoint: Path | None = None,
        fingerprint: str = "",
    ) -> None:
        self.model, self.batches, self.make, self.settings = model, batches, make, settings
        self.checkpoint, self.fingerprint = checkpoint, fingerprint
        self.optimizer = torch.optim.AdamW(
            parameter_groups(model, settings), weight_decay=settings.weight_decay
        )
        self.history: list[StepRecord] = []
        self.resumed_at: int | None = None

    def run(self, title: str = "training") -> list[StepRecord]:
        """Train to the last step, from the checkpoint where there is one.

        Raises:
            TrainingError: a loss or gradient is not finite; names step, rows and mend.
        """
        torch.manual_seed(self.settings.seed)
        self._resume()
        self.model.train()
        start, steps = len(self.history), self.settings.steps
        with tqdm(total=steps, initial=start, desc=title, unit="step", disable=None) as bar:
            for step in range(start, steps):
                record = self._step(step)
                self.history.append(record)
                bar.update()
                bar.set_postfix(loss=f"{record.loss:.3f}", refresh=False)
                if (step + 1) % self.settings.checkpoint_every == 0 or step + 1 == steps:
                    self.save()
        self.model.eval()
        return self.history

    def _step(self, step: int) -> StepRecord:
        rate = warmup_cosine(step, self.settings.steps, self.settings.warmup)
        for group in self.optimizer.param_groups:
            group["lr"] = group["peak"] * rate
        batch = self.make(self.batches.next())
        scores = self.model.score(**batch.inputs)
        loss = answer_cross_entropy(scores, batch.inputs["answer_mask"])
        self._check(step, batch, "loss", loss)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(
            self.model.trainable().values(), self.settings.clip_norm
        )
        self._check(step, batch, "gradient", norm)
        self.optimizer.step()
        return StepRecord(step, loss.item(), float(norm), rate)

    def _check(self, step: int, batch: TrainingBatch, what: str, value: Tensor) -> None:
        if not bool(torch.isfinite(value)):
            raise TrainingError(
                f"the {what} is {float(value.detach())} at step {step}, in the batch of "
                f"{', '.join(batch.ids[:8])}" + (", ..." if len(batch.ids) > 8 else ""),
                mend="lower the learning rates, lengthen the warm-up, or look at these rows; "
                "training goes on from the last checkpoint",
            )

    # -- checkpoints ---------------------------------------------------------------------------

    def save(self) -> None:
        """Write the checkpoint, whole or not at all."""
        if self.checkpoint is None:
            return
        records = [[r.step, r.loss, r.gradient_norm, r.rate] for r in self.history]
        state = {
            "fingerprint": self.fingerprint,
            "adapter": {n: p.detach() for n, p in self.model.trainable().items()},
            "optimizer": self.optimizer.state_dict(),
            "sampler": self.batches.state(),
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
            warnings.warn(f"{path}: not a checkpoint ({e}); training starts anew", stacklevel=3)
            return
        if fingerprint != self.fingerprint:
            return  # of other data, settings or models
        with torch.no_grad():
            for name, weight in self.model.trainable().items():
                weight.copy_(state["adapter"][name])
        self.optimizer.load_state_dict(state["optimizer"])
        self.batches.resume(state["sampler"])
        cpu, *cuda = (generator.cpu() for generator in state["random"])
        torch.set_rng_state(cpu)
        if len(cuda) == torch.cuda.device_count():
            torch.cuda.set_rng_state_all(cuda)
        self.history = [
            StepRecord(int(step), loss, norm, rate)
            for step, loss, norm, rate in state["history"].tolist()
        ]
        self.resumed_at = len(self.history)
