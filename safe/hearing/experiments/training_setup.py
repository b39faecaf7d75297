"""Objects shared by trainings: frozen models, cached features, teacher and examples."""

from __future__ import annotations

from collections.abc import Callable, Container
from typing import Any

from safe.hearing.context import Context
from safe.hearing.models.safe_model import SafeModel
from safe.hearing.training.batching import Feeder
from safe.hearing.training.collate import TextEncoder
from safe.hearing.training.features import Features
from safe.hearing.training.frozen_models import open_base, use_threads
from safe.hearing.training.stage_a import select_stage_a
from safe.hearing.training.teacher import Teacher
from safe.hearing.training.trainer import StepRecord


class TrainingSetup:
    """Created once for all jobs that share a process.

    Args:
        rows: maximum number of Stage A examples; None uses the config's value.
    """

    def __init__(self, context: Context, *, rows: int | None = None) -> None:
        config = self.config = context.config
        self.manifest = context.manifest
        use_threads(config)
        self.opened = open_base(config)
        kind = self.opened.build(config, seed=config.seed).projector.input_kind
        self.features = Features(self.opened, config.cache, kind)
        self.encoder = TextEncoder(self.opened.vlm, self.opened.processor)
        self.teacher = Teacher(self.features, self.encoder, config.cache)
        own = config.stage_a.model_copy(update={} if rows is None else {"rows": rows})
        self.rows = select_stage_a(
            config.model_copy(update={"stage_a": own}), self.manifest, self.features, self.encoder
        )

    def feeder(self, model: SafeModel) -> Feeder:
        """Return a feeder that batches examples for `model`."""
        return Feeder(model, self.features, self.encoder)


class Looks:
    """Evaluates a model in eval mode during training; checkpoints include the results.

    Args:
        at: numbers of steps after which to evaluate.
        look: number of steps taken -> result to record.
    """

    def __init__(
        self, model: SafeModel, at: Container[int], look: Callable[[int], dict[str, Any]]
    ) -> None:
        self.model, self.at, self.look = model, at, look
        self.seen: list[dict[str, Any]] = []

    def __call__(self, record: StepRecord) -> None:
        if record.step + 1 in self.at:
            self.model.eval()
            self.seen.append(self.look(record.step + 1))
            self.model.train()

    def state(self) -> dict[str, Any]:
        """Return the state for a checkpoint."""
        return {"seen": self.seen}

    def resume(self, state: dict[str, Any]) -> None:
        """Restore `state`."""
        self.seen = [dict(row) for row in state["seen"]]
