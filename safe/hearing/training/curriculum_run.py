"""Stage A under a curriculum: the stage sets data, sounds, loss weights and learning rates.

After every epoch the held-out examples are evaluated and the state machine decides how to continue.
All steps and decisions are in a log of JSON lines. The checkpoint contains the state machine, the
position in the stage and the length of the log, so a resumed run ends with the same weights,
optimizer state and log as an uninterrupted one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from safe.digest import digest_code, digest_json
from safe.hearing.config import CurriculumConfig, RunConfig, StageAConfig
from safe.hearing.data.mixing import StageSampler
from safe.hearing.data.sample import Difficulty, Sample
from safe.hearing.training.batching import Feeder
from safe.hearing.training.curriculum import Curriculum, EpochMetrics, check_reachable
from safe.hearing.training.curriculum_log import EpochLine, Log, StepLine
from safe.hearing.training.losses import StageAObjective
from safe.hearing.training.stage_a import StageA, StageARows
from safe.hearing.training.teacher import Teacher
from safe.hearing.training.tracking import close
from safe.hearing.training.trainer import StepRecord, Trainer

DIFFICULTIES: tuple[Difficulty, ...] = ("easy", "medium", "hard")
# () -> (audio accuracy, loss of VL accuracy)
Ask = Callable[[], tuple[float, float]]
Noisy = Mapping[str, Sequence[Sample]]  # source -> its sound in noise


@dataclass(frozen=True)
class HeldOut:
    """Evaluation after every epoch.

    Attributes:
        ask: returns audio accuracy, and the loss of VL accuracy with the gate ON.
        skip_rate: share of held-out questions that the chosen gate skips.
    """

    ask: Ask
    skip_rate: float


class StageBatches:
    """Batches of the current stage; batch i of an epoch is a pure function of the seed.

    Args:
        samples: of the training examples, in their order.
    """

    def __init__(self, samples: Sequence[Sample], machine: Curriculum, seed: int) -> None:
        self.samples, self.machine, self.seed = samples, machine, seed
        self.drawn = 0  # batches drawn in this epoch
        self.last: list[int] = []  # the batch drawn last
        self._of: tuple[int, float] = (-1, -1.0)

    @property
    def sampler(self) -> StageSampler:
        """Sampler of the current stage at its current ratio."""
        machine = self.machine
        wanted = (machine.stage_index, machine.ratio)
        if wanted != self._of:
            self._of, self._sampler = wanted, self.make(machine.stage_index, machine.ratio)
        return self._sampler

    def make(self, stage_index: int, ratio: float | None = None) -> StageSampler:
        """Return the sampler of a stage.

        Raises:
            ConfigError: the stage has no training example.
        """
        config = self.machine.config
        stage = config.stages[stage_index]
        own = stage if ratio is None else stage.model_copy(update={"audio_ratio": ratio})
        size = max(1, round(config.batch_size * stage.batch_factor))
        return StageSampler(self.samples, own, batch_size=size, seed=self.seed)

    @property
    def per_epoch(self) -> int:
        """Number of batches per epoch of the current stage."""
        return len(self.sampler)

    def next(self) -> list[int]:
        """Return the example numbers of the next batch."""
        sampler = self.sampler
        index = self.machine.epoch * len(sampler) + self.drawn
        self.drawn += 1
        self.last = [int(row) for row in sampler.batch(index)]
        return self.last

    def state(self) -> dict[str, int]:
        """Return the state for a checkpoint, without the state machine."""
        return {"drawn": self.drawn}

    def resume(self, state: dict[str, int]) -> None:
        """Continue from `state`."""
        self.drawn = int(state["drawn"])


class CurriculumRun(StageA):
    """Trains a SafeModel under a curriculum.

    Args:
        settings: learning rates, clipping and all settings that stages do not have.
        noisy: sounds with added noise, for stages with noise augmentation.
        may_stop: train even if a stage cannot be passed, to rehearse the stop.

    Raises:
        ConfigError: a stage has no training example, or its criteria cannot be met.
    """

    def __init__(
        self,
        feeder: Feeder,
        rows: StageARows,
        teacher: Teacher,
        settings: StageAConfig,
        curriculum: CurriculumConfig,
        held_out: HeldOut,
        *,
        noisy: Noisy,
        log: Path,
        seed: int,
        may_stop: bool = False,
    ) -> None:
        super().__init__(feeder, rows, teacher, settings, seed)
        teacher.ensure(rows.vl_examples)  # a stage can use distillation even if stage_a does not
        self.curriculum, self.held_out, self.noisy = curriculum, held_out, noisy
        self.log = Log(log)
        self.machine = Curriculum(curriculum)
        samples = [row.sample for row in self.rows]
        self.drawing = StageBatches(samples, self.machine, seed)
        epochs = [self.drawing.make(n) for n in range(len(curriculum.stages))]
        if not may_stop:
            samples_of = [len(sampler) * sampler.batch_size for sampler in epochs]
            check_reachable(curriculum, samples_of, held_out.skip_rate)
        self.objective = StageAObjective(settings.distillation)

    # -- what follows the stage ----------------------------------------------------------------

    def heard(self, whole: Sequence[int], step: int) -> dict[int, Sample]:
        """Irrelevant sounds for VL examples; noise added to a share of the other sounds."""
        rng = np.random.default_rng([self.seed, 10, step])
        augmentation = self.machine.stage.augmentation
        first, found = len(self.data.audio_examples), {}
        for number in whole:
            if number >= first:
                found[number] = self.irrelevant(number, rng, 1 - augmentation.irrelevant)
            elif rng.random() < augmentation.noise:
                own = self.noisy.get(self.rows[number].heard.source, ())
                if own:
                    found[number] = own[int(rng.integers(len(own)))]
        return found

    def rate(self, step: int) -> float:
        """Factor of the learning rates: that of the stage, with a warm-up in its first epoch."""
        stage, drawing = self.machine.stage, self.drawing
        rising = round(self.settings.warmup * drawing.per_epoch)
        rises = self.machine.epoch == 0 and drawing.drawn < rising
        return stage.lr_factor * ((drawing.drawn + 1) / (rising + 1) if rises else 1.0)

    def _weigh(self) -> None:
        loss = self.machine.stage.loss
        own = loss.distillation
        self.objective.weight = self.settings.distillation if own is None else own
        self.objective.cross_entropy = loss.cross_entropy

    # -- checkpoint ----------------------------------------------------------------------------

    def state(self) -> dict[str, Any]:
        """Return the state machine's state and the length of its log."""
        return {"machine": self.machine.state(), "logged": self.log.size}

    def resume(self, state: dict[str, Any]) -> None:
        """Continue from `state` and truncate the log to its length."""
        restored = Curriculum.restore(self.curriculum, state["machine"])
        self.machine = self.drawing.machine = restored
        self.log.size = int(state["logged"])

    def fingerprint(self) -> str:
        """Digest of everything that the trained weights depend on."""
        return digest_json(
            [
                super().fingerprint(),
                self.curriculum.model_dump(mode="json"),
                {source: [s.id for s in sounds] for source, sounds in self.noisy.items()},
                self.held_out.skip_rate,
                digest_code("safe.hearing.training.curriculum_run"),
            ]
        )

    # -- the run -------------------------------------------------------------------------------

    def open_trainer(self, config: RunConfig, checkpoint: Path | None) -> Trainer:
        """Return the training loop."""
        return self.open_loop(
            config,
            self.drawing,
            self.objective,
            steps=0,  # the total is not known in advance
            checkpoint=checkpoint,
            schedule=self.rate,
            also={"curriculum": self},
            on_step=self._note_step,
        )

    def run(self, config: RunConfig, *, checkpoint: Path | None, name: str) -> Trainer:
        """Train until the curriculum ends, starting from the checkpoint if there is one.

        Raises:
            TrainingError: a loss or gradient is not finite.
        """
        trainer = self.open_trainer(config, checkpoint)
        try:
            trainer.begin()
            with self.log:
                while not self.machine.ended:
                    self._epoch(trainer, name)
        finally:
            close(trainer.accelerator)
        self.model.eval()
        return trainer

    def _epoch(self, trainer: Trainer, name: str) -> None:
        machine, drawing = self.machine, self.drawing
        self._weigh()
        length = drawing.per_epoch
        title = f"{name}: {machine.stage.name}, epoch {machine.epoch + 1}"
        with tqdm(total=length, initial=drawing.drawn, desc=title, unit="step") as bar:
            while drawing.drawn < length:
                trainer.advance(bar)
        self.model.eval()
        accuracy, drop = self.held_out.ask()
        self.model.train()
        stage, epoch, ratio = machine.stage.name, machine.epoch + 1, machine.ratio
        samples = length * drawing.sampler.batch_size
        metrics = EpochMetrics(accuracy, drop, samples, self.held_out.skip_rate)
        decided = machine.observe(metrics)
        drawing.drawn = 0
        self.log.write(
            EpochLine(
                stage=stage,
                epoch=epoch,
                step=len(trainer.history),
                audio_ratio=ratio,
                action=decided.action,
                reason=decided.reason,
                **asdict(metrics),
            )
        )
        trainer.save()

    def _note_step(self, record: StepRecord) -> None:
        drawn = self.drawing.last
        rows = [self.rows[n].sample for n in drawn]
        settings, first = self.settings, len(self.data.audio_examples)
        self.log.write(
            StepLine(
                stage=self.machine.stage.name,
                epoch=self.machine.epoch + 1,
                step=record.step,
                rows=len(drawn),
                audio_rows=sum(n < first for n in drawn),
                difficulties={d: sum(r.difficulty == d for r in rows) for d in DIFFICULTIES},
                loss=record.loss,
                cross_entropy=record.cross_entropy,
                divergence=record.divergence,
                gradient_norm=record.gradient_norm,
                projector_lr=settings.projector_lr * record.rate,
                lora_lr=settings.lora_lr * record.rate,
            )
        )
