"""When a curriculum stage ends: pure Python, fed with one evaluation an epoch.

A stage lasts `epochs` epochs. At its end it is passed when every criterion holds; else it is
extended by one epoch, at most `max_extensions` times, and then the run stops with what was missed.
A stage that exceeds its criteria by `early_factor` in `early_epochs` epochs running is left early.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from safe.config import CurriculumConfig, StageConfig
from safe.errors import SafeError

Action = Literal["continue", "advance", "advance_early", "extend", "stop", "finish"]


@dataclass(frozen=True, slots=True)
class EpochMetrics:
    """Of one epoch: accuracy on held-out audio rows, loss of VL accuracy, rows trained on."""

    audio_accuracy: float
    vl_drop: float
    samples: int


@dataclass(frozen=True, slots=True)
class Transition:
    """What was decided after an epoch.

    Attributes:
        stage, epoch: name of the stage, and the number of the epoch in it from 1.
        action: `continue` the stage; `advance` or `advance_early` to the next; `extend` it by
            one epoch; `finish` after the last stage; `stop`, since it cannot be passed.
        reason: one sentence.
    """

    stage: str
    epoch: int
    action: Action
    reason: str


def unmet(stage: StageConfig, metrics: EpochMetrics, seen: int, factor: float = 1.0) -> list[str]:
    """Criteria of a stage that do not hold, each with its value and bound.

    Args:
        seen: rows trained on in the stage so far.
        factor: by how much criteria must be exceeded. An accuracy beyond 1 is not asked for.
    """
    accuracy = min(stage.min_audio_accuracy * factor, 1.0)
    drop = stage.max_vl_drop / factor
    missed = []
    if metrics.audio_accuracy < accuracy:
        missed.append(f"audio accuracy {metrics.audio_accuracy:.4f} < {accuracy:.4f}")
    if metrics.vl_drop > drop:
        missed.append(f"VL drop {metrics.vl_drop:.4f} > {drop:.4f}")
    if seen < stage.min_samples:
        missed.append(f"samples {seen} < {stage.min_samples}")
    return missed


@dataclass(slots=True)
class Curriculum:
    """The state machine. `state()` and `restore()` carry it through a checkpoint."""

    config: CurriculumConfig
    stage_index: int = 0
    epoch: int = 0
    extensions: int = 0
    exceeded: int = 0
    seen: int = 0
    ended: Literal["", "finish", "stop"] = ""
    log: list[Transition] = field(default_factory=list)

    @property
    def stage(self) -> StageConfig:
        return self.config.stages[self.stage_index]

    def observe(self, metrics: EpochMetrics) -> Transition:
        """Decide what follows the epoch that gave `metrics`.

        Raises:
            SafeError: a metric is not finite, or the curriculum has already ended.
        """
        if self.ended:
            raise SafeError(
                f"the curriculum has ended ({self.ended})", mend="start a new run to train on"
            )
        if not (math.isfinite(metrics.audio_accuracy) and math.isfinite(metrics.vl_drop)):
            raise SafeError(
                f"stage {self.stage.name!r}: a metric is not finite: {metrics}",
                mend="look for divergence in the training log; no stage is passed on such a value",
            )
        stage = self.stage
        self.epoch += 1
        self.seen += metrics.samples
        missed = unmet(stage, metrics, self.seen)
        above = not unmet(stage, metrics, self.seen, self.config.early_factor)
        self.exceeded = self.exceeded + 1 if above else 0
        due = self.epoch >= stage.epochs + self.extensions
        if not due and self.exceeded >= self.config.early_epochs:
            return self._advance(
                "advance_early",
                f"criteria exceeded by {self.config.early_factor:g} in {self.exceeded} epochs",
            )
        if not due:
            return self._note("continue", f"epoch {self.epoch} of {stage.epochs + self.extensions}")
        if not missed:
            return self._advance("advance", "every criterion holds")
        if self.extensions < self.config.max_extensions:
            self.extensions += 1
            return self._note(
                "extend",
                f"extension {self.extensions} of {self.config.max_extensions}: {'; '.join(missed)}",
            )
        self.ended = "stop"
        return self._note(
            "stop", f"not passed after {self.extensions} extensions: {'; '.join(missed)}"
        )

    def _note(self, action: Action, reason: str) -> Transition:
        self.log.append(Transition(self.stage.name, self.epoch, action, reason))
        return self.log[-1]

    def _advance(self, action: Action, reason: str) -> Transition:
        last = self.stage_index == len(self.config.stages) - 1
        if last:
            self.ended = "finish"
            return self._note("finish", f"last stage: {reason}")
        noted = self._note(action, reason)
        self.stage_index += 1
        self.epoch = self.extensions = self.exceeded = self.seen = 0
        return noted

    def state(self) -> dict[str, Any]:
        """Everything but the config, as JSON values."""
        values = {
            name: getattr(self, name)
            for name in ("stage_index", "epoch", "extensions", "exceeded", "seen", "ended")
        }
        return values | {"log": [asdict(entry) for entry in self.log]}

    @classmethod
    def restore(cls, config: CurriculumConfig, state: dict[str, Any]) -> Curriculum:
        """The machine as `state()` left it."""
        log = [Transition(**entry) for entry in state["log"]]
        return cls(config, **{**state, "log": log})
