"""Stage A: learn the examples that need their sound, keep the base's answers to VL examples.

The outputs of the frozen models (image tokens, sounds, the teacher's states) are encoded once and
read from the cache. A step runs only the language model.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from safe.digest import digest_code, digest_json
from safe.errors import ConfigError, DataError
from safe.hearing.config import RunConfig, StageAConfig
from safe.hearing.data.manifest import load_samples
from safe.hearing.data.sample import Sample
from safe.hearing.models.safe_model import SafeModel
from safe.hearing.training.background_noise import background_noise
from safe.hearing.training.batching import Feeder
from safe.hearing.training.collate import Example, TextEncoder
from safe.hearing.training.features import Features
from safe.hearing.training.held_out import pick
from safe.hearing.training.losses import StageAObjective
from safe.hearing.training.retention import Retention
from safe.hearing.training.sampler import LengthBatches, MixedBatches, padding_share
from safe.hearing.training.teacher import Teacher
from safe.hearing.training.tracking import close, open_accelerator
from safe.hearing.training.trainer import (
    Batches,
    Stateful,
    StepRecord,
    Trainer,
    TrainingBatch,
    TrainSettings,
)
from safe.hearing.training.vl_gradients import Of, vl_gradients


class Watch(Stateful, Protocol):
    """Observes a training; its state is part of the checkpoint."""

    def __call__(self, record: StepRecord) -> None: ...


@dataclass(frozen=True)
class StageARows:
    """Training examples of Stage A.

    Attributes:
        audio_examples: examples that need their sound, paired with it.
        vl_examples: VL examples; their sounds are drawn again for every batch.
        clips: sounds that VL examples can be paired with, one per recording of the audio examples.
        background: background noise, the other sounds that VL examples can be paired with.
    """

    audio_examples: list[Example]
    vl_examples: list[Example]
    clips: list[Sample]
    background: list[Sample]

    @property
    def rows(self) -> list[Example]:
        return [*self.audio_examples, *self.vl_examples]


def select_stage_a(
    config: RunConfig, manifest: Path, features: Features, encoder: TextEncoder
) -> StageARows:
    """Select the training examples of the run and encode their media.

    Raises:
        DataError: there is no example that needs its sound, or no VL example.
    """
    settings, rng = config.stage_a, np.random.default_rng(config.seed)
    wanted = round(settings.rows * settings.audio_fraction)
    needing = [s for t in settings.tasks for s in load_samples(manifest, split="train", task=t)]
    audio_examples = pick(needing, wanted, features, rng, audible=True)
    plain = load_samples(manifest, split="train", task="vl")
    vl_examples = pick(plain, settings.rows - wanted, features, rng, audible=False)
    for found, kind in ((audio_examples, "that needs its sound"), (vl_examples, "of task `vl`")):
        if not found and (kind != "of task `vl`" or settings.audio_fraction < 1):
            raise DataError(
                f"there is no usable training example {kind}",
                where=manifest,
                hint="see 01_data_preflight for the files that do not load, or add such data",
            )
    background = background_noise(config.cache, config.seed)
    features.ensure([], background)
    clips = list({s.source: s for s in audio_examples}.values())
    rows = StageARows(
        [encoder.row(s, s) for s in audio_examples],
        [encoder.row(s, clips[0]) for s in vl_examples],
        clips,
        features.usable(background),
    )
    encoder.check_fits(rows.rows, config.adapter.audio_tokens)
    return rows


@dataclass(frozen=True, slots=True)
class StageARun:
    """Result of a training.

    Attributes:
        history: one record per step.
        seconds, samples_per_s: duration and throughput of the loop in this process.
        padding: share of positions that were padding.
        resumed_at: step at which a killed run was resumed.
    """

    history: list[StepRecord]
    seconds: float
    samples_per_s: float
    padding: float
    resumed_at: int | None


class StageA:
    """A SafeModel in Stage A.

    Args:
        settings: of the loop. With `distillation` 0 the VL examples are left out, because they
            would contribute nothing.
        seed: sets the order of examples and the sounds paired with VL examples.
    """

    def __init__(
        self, feeder: Feeder, rows: StageARows, teacher: Teacher, settings: StageAConfig, seed: int
    ) -> None:
        self.feeder, self.data, self.teacher = feeder, rows, teacher
        self.settings, self.seed = settings, seed
        self.rows = rows.rows
        self.lengths = [r.length for r in self.rows]
        guarded = settings.null_space > 0 or settings.fisher > 0
        self.retention = Retention(self.model, settings, self.gradients) if guarded else None
        if settings.distillation > 0 or guarded:
            teacher.ensure(rows.vl_examples)

    @property
    def model(self) -> SafeModel:
        return self.feeder.model

    def gradients(self, count: int, seed: int, of: Of) -> Tensor:
        """Return (n, P), the gradients of VL examples at the current weights."""
        rng = np.random.default_rng([self.seed, 6, seed])
        first, vl_examples = len(self.data.audio_examples), len(self.data.vl_examples)
        numbers = [first + int(i) for i in rng.permutation(vl_examples)[:count]]
        heard = self.heard(numbers, seed)
        rows = [dataclasses.replace(self.rows[n], heard=heard[n]) for n in numbers]
        weights = list(self.model.trainable().values())
        return vl_gradients(self.feeder, self.teacher, rows, weights, of=of)

    def batches(self) -> MixedBatches:
        """Batches with the same share of audio examples.

        Raises:
            ConfigError: a batch needs more examples of a kind than there are.
        """
        audio_examples = round(self.settings.batch_size * self.settings.audio_fraction)
        shares = {
            "audio": (self.data.audio_examples, audio_examples),
            "VL": (self.data.vl_examples, self.settings.batch_size - audio_examples),
        }
        drawn = {}
        for kind, (rows, share) in shares.items():
            if kind == "VL" and self.settings.distillation == 0:
                continue
            if share > len(rows) or (kind == "audio" and share == 0):
                raise ConfigError(
                    f"a batch needs {share} {kind} examples, and there are {len(rows)}",
                    key="stage_a.batch_size",
                    hint="change batch_size or audio_fraction, or add data",
                )
            if share:
                lengths = [row.length for row in rows]
                drawn[kind] = LengthBatches(lengths, share, self.seed, even=True)
        return MixedBatches(drawn["audio"], drawn.get("VL"))

    def heard(self, whole: Sequence[int], step: int) -> dict[int, Sample]:
        """Sounds that replace the own sound of examples; in Stage A, of every VL example.

        A pure function of seed and step, so that all processes and resumed runs agree.
        """
        rng = np.random.default_rng([self.seed, 4, step])
        first = len(self.data.audio_examples)
        return {
            number: self.irrelevant(number, rng, self.settings.background_noise_fraction)
            for number in whole
            if number >= first
        }

    def irrelevant(self, number: int, rng: np.random.Generator, faint_share: float) -> Sample:
        """A clip of another recording than example `number`, or background noise."""
        background = self.data.background and rng.random() < faint_share
        pool = self.data.background if background else self.data.clips
        place = int(rng.integers(len(pool)))
        if pool[place].source == self.rows[number].sample.source and len(pool) > 1:
            place = (place + 1) % len(pool)  # its own sound would be relevant
        return pool[place]

    def make(self, numbers: list[int], whole: list[int], step: int) -> TrainingBatch:
        """Return the micro-batch of the given examples."""
        heard = self.heard(whole, step)
        rows = [
            dataclasses.replace(self.rows[n], heard=heard[n]) if n in heard else self.rows[n]
            for n in numbers
        ]
        first = len(self.data.audio_examples)
        kept = [row for n, row in zip(numbers, rows, strict=True) if n >= first]
        return TrainingBatch(
            self.feeder.scoring(rows),
            [row.sample.id for row in rows],
            tokens=sum(len(self.rows[n].answer) for n in whole if n < first),
            audio_examples=torch.tensor([n < first for n in numbers], device=self.model.device),
            teacher=self.teacher.logits(kept) if kept else None,
            teacher_tokens=sum(len(self.rows[n].answer) for n in whole if n >= first),
        )

    def fingerprint(self) -> str:
        """Digest of everything that the trained weights depend on."""
        model = self.model
        return digest_json(
            [
                self.feeder.features.opened.digests,
                model.config.model_dump(mode="json"),
                self.settings.model_dump(mode="json"),
                [self.seed, model.seed, str(model.device), torch.get_num_threads()],
                [[r.sample.id, r.prompt, r.answer] for r in self.rows],
                [s.id for s in (*self.data.clips, *self.data.background)],
                digest_code("safe.hearing.training.stage_a"),
            ]
        )

    def trainer(
        self,
        config: RunConfig,
        *,
        checkpoint: Path | None = None,
        folder: Path | None = None,
        name: str = "stage a",
        watch: Watch | None = None,
    ) -> Trainer:
        """Return the training loop; arguments as in `train`."""
        return self.open_loop(
            config,
            self.batches(),
            StageAObjective(self.settings.distillation),
            steps=self.settings.steps,
            checkpoint=checkpoint,
            folder=folder,
            name=name,
            guard=self.retention,
            on_step=watch,
            also={"watch": watch} if watch else None,
        )

    def open_loop(
        self,
        config: RunConfig,
        batches: Batches,
        objective: StageAObjective,
        *,
        steps: int,
        checkpoint: Path | None,
        folder: Path | None = None,
        name: str = "",
        **hooks: Any,
    ) -> Trainer:
        """Return a loop with the learning rates, precision and seed of this training.

        Args:
            hooks: further arguments of `Trainer`; the others as in `train`.
        """
        settings, device = self.settings, self.model.device
        bf16 = device.type == "cuda" and config.base.dtype == "bfloat16"
        return Trainer(
            self.model,
            batches,
            self.make,
            TrainSettings(
                steps=steps,
                projector_lr=settings.projector_lr,
                lora_lr=settings.lora_lr,
                warmup=settings.warmup,
                clip_norm=settings.clip_norm,
                seed=self.seed,
                weight_decay=settings.weight_decay,
                accumulate=settings.accumulate,
                checkpoint_every=settings.checkpoint_every,
            ),
            objective=objective,
            accelerator=open_accelerator(
                device,
                mixed_precision="bf16" if bf16 else "no",
                tracking=config.tracking,
                folder=folder,
                run_name=f"{config.run}-{name}".replace("/", "-"),
                settings={**settings.model_dump(mode="json"), "seed": self.seed},
            ),
            checkpoint=checkpoint,
            fingerprint=self.fingerprint(),
            **hooks,
        )

    def train(
        self,
        config: RunConfig,
        *,
        checkpoint: Path | None,
        folder: Path | None,
        name: str,
        watch: Watch | None = None,
    ) -> StageARun:
        """Train to the last step, starting from the checkpoint if there is one.

        Args:
            folder: of the trackers' records; None disables tracking.
            name: shown by the progress bar and the trackers.
            watch: called after every step; its state is part of the checkpoint.

        Raises:
            TrainingError: a loss or gradient is not finite.
        """
        trainer = self.trainer(config, checkpoint=checkpoint, folder=folder, name=name, watch=watch)
        started = time.perf_counter()
        try:
            history = trainer.run(name)
        finally:
            close(trainer.accelerator)
        seconds = time.perf_counter() - started
        drawn = self.batches()
        epoch = [drawn.next() for _ in range(min(self.settings.steps, 200))]
        steps = len(history) - (trainer.resumed_at or 0)
        return StageARun(
            history,
            seconds,
            steps * len(epoch[0]) / seconds,
            padding_share(self.lengths, epoch),
            trainer.resumed_at,
        )
