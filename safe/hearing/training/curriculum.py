"""State machine of the curriculum, driven by one evaluation per epoch; pure Python.

A stage lasts `epochs` epochs. If all criteria are met at its end, the next stage begins. Otherwise
the stage is extended by one epoch, at most `max_extensions` times; then the run stops and reports
the criteria that were missed. A stage that exceeds its criteria by `early_factor` in `early_epochs`
consecutive epochs ends early. If `ratio_step` is set, an extension changes the share of audio
examples in favour of the missed criterion.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from safe.errors import ConfigError, SafeError
from safe.hearing.config import CurriculumConfig, StageConfig

LEAST_RATIO = 0.1  # minimum share of audio and of VL examples in an adapted batch
Action = Literal["continue", "advance", "advance_early", "extend", "stop", "finish"]


@dataclass(frozen=True, slots=True)
class EpochMetrics:
    """Metrics of one epoch.

    Attributes:
        audio_accuracy: on held-out examples that need their sound.
        vl_drop: loss of accuracy on held-out VL examples with the gate ON and irrelevant sounds.
        samples: number of training examples.
        skip_rate: share of held-out examples that the gate skips.
    """

    audio_accuracy: float
    vl_drop: float
    samples: int
    skip_rate: float = 1.0


@dataclass(frozen=True, slots=True)
class Transition:
    """Decision after an epoch.

    Attributes:
        stage, epoch: name of the stage, and number of the epoch in it, from 1.
        action: `continue` the stage; `advance` or `advance_early` to the next; `extend` it by
            one epoch; `finish` after the last stage; `stop` if the criteria are not met.
        reason: one sentence.
    """

    stage: str
    epoch: int
    action: Action
    reason: str


def unmet(stage: StageConfig, metrics: EpochMetrics, seen: int, factor: float = 1.0) -> list[str]:
    """Return the criteria of a stage that are not met, each with its value and bound.

    Args:
        seen: number of training examples in the stage so far.
        factor: by which the criteria must be exceeded; a required accuracy is at most 1.
    """
    accuracy = min(stage.min_audio_accuracy * factor, 1.0)
    skips = min(stage.min_skip_rate * factor, 1.0)
    drop = stage.max_vl_drop / factor
    missed = []
    if metrics.audio_accuracy < accuracy:
        missed.append(f"audio accuracy {metrics.audio_accuracy:.4f} < {accuracy:.4f}")
    if metrics.vl_drop > drop:
        missed.append(f"VL drop {metrics.vl_drop:.4f} > {drop:.4f}")
    if seen < stage.min_samples:
        missed.append(f"samples {seen} < {stage.min_samples}")
    if metrics.skip_rate < skips:
        missed.append(f"skip rate {metrics.skip_rate:.4f} < {skips:.4f}")
    return missed


def check_reachable(
    config: CurriculumConfig, samples: Sequence[int], skip_rate: float = 1.0
) -> None:
    """Check before training that the criteria can be met.

    Args:
        samples: number of examples per epoch, for each stage.
        skip_rate: of the gate; training does not change it.

    Raises:
        ConfigError: a criterion cannot be met; names the stage and the reachable value.
    """
    for number, (stage, rows) in enumerate(zip(config.stages, samples, strict=True)):
        key = f"curriculum.stages.{number}"
        most = rows * (stage.epochs + config.max_extensions)
        if stage.min_samples > most:
            raise ConfigError(
                f"stage {stage.name!r} asks for {stage.min_samples} samples; its "
                f"{stage.epochs} epochs and {config.max_extensions} extensions have {most}",
                key=f"{key}.min_samples",
                hint="lower it, or give the stage more epochs or rows",
            )
        if stage.min_skip_rate > skip_rate:
            raise ConfigError(
                f"stage {stage.name!r} asks for a skip rate of {stage.min_skip_rate:g}; the gate "
                f"skips {skip_rate:.4f} of the held-out questions, and training does not change it",
                key=f"{key}.min_skip_rate",
                hint="lower it, or choose a gate that skips more in experiment 05",
            )


@dataclass(slots=True)
class Curriculum:
    """The state machine; `state()` and `restore()` save and load it."""

    config: CurriculumConfig
    stage_index: int = 0
    epoch: int = 0
    extensions: int = 0
    exceeded: int = 0
    seen: int = 0
    ratio: float = -1.0  # share of audio examples in the stage's batches
    ended: Literal["", "finish", "stop"] = ""
    log: list[Transition] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.ratio < 0:
            self.ratio = self.stage.audio_ratio

    @property
    def stage(self) -> StageConfig:
        return self.config.stages[self.stage_index]

    def observe(self, metrics: EpochMetrics) -> Transition:
        """Decide how to continue after the epoch with `metrics`.

        Raises:
            SafeError: a metric is not finite, or the curriculum has already ended.
        """
        if self.ended:
            raise SafeError(
                f"the curriculum has ended ({self.ended})",
                hint="start a new run to continue training",
            )
        if not (math.isfinite(metrics.audio_accuracy) and math.isfinite(metrics.vl_drop)):
            raise SafeError(
                f"stage {self.stage.name!r}: a metric is not finite: {metrics}",
                hint="look for divergence in the training log",
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
            return self._advance("advance", "all criteria are met")
        if self.extensions < self.config.max_extensions:
            self.extensions += 1
            self._adapt(stage, metrics)
            return self._note(
                "extend",
                f"extension {self.extensions} of {self.config.max_extensions}: {'; '.join(missed)}",
            )
        self.ended = "stop"
        return self._note(
            "stop", f"not met after {self.extensions} extensions: {'; '.join(missed)}"
        )

    def _adapt(self, stage: StageConfig, metrics: EpochMetrics) -> None:
        """Raise the audio share if audio accuracy was missed, lower it if the VL drop was."""
        deaf = metrics.audio_accuracy < stage.min_audio_accuracy
        forgets = metrics.vl_drop > stage.max_vl_drop
        moved = self.ratio + self.config.ratio_step * (int(deaf) - int(forgets))
        low, high = min(LEAST_RATIO, stage.audio_ratio), max(1 - LEAST_RATIO, stage.audio_ratio)
        self.ratio = min(max(moved, low), high)

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
        self.ratio = self.stage.audio_ratio
        return noted

    def state(self) -> dict[str, Any]:
        """Return the state without the config, as JSON values."""
        values = {
            name: getattr(self, name)
            for name in ("stage_index", "epoch", "extensions", "exceeded", "seen", "ratio", "ended")
        }
        return values | {"log": [asdict(entry) for entry in self.log]}

    @classmethod
    def restore(cls, config: CurriculumConfig, state: dict[str, Any]) -> Curriculum:
        """Load a state from `state()`."""
        log = [Transition(**entry) for entry in state["log"]]
        return cls(config, **{**state, "log": log})
