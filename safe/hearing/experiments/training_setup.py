"""Objects shared by trainings: frozen models, cached features, teacher and examples."""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping, Sequence
from typing import Any

from safe.hearing.context import Context
from safe.hearing.models.safe_model import SafeModel
from safe.hearing.training.batching import Feeder
from safe.hearing.training.collate import Example, TextEncoder
from safe.hearing.training.features import Features
from safe.hearing.training.frozen_models import open_base, use_threads
from safe.hearing.training.held_out import SPLITS, audio_rows, subsample_evenly, vl_rows
from safe.hearing.training.stage_a import select_stage_a
from safe.hearing.training.teacher import Teacher
from safe.hearing.training.teacher_forcing import teacher_forced
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

    def held_out_audio(self, split: str, limit: int) -> list[Example]:
        """At most `limit` held-out examples of a split that need their sound."""
        found = audio_rows(self.config, self.manifest, split, self.features, self.encoder)
        return subsample_evenly(found, limit)

    def held_out_vl(self, limit: int, splits: Container[str] = SPLITS) -> list[Example]:
        """At most `limit` held-out VL examples of `splits`, paired with unrelated sounds."""
        found = vl_rows(self.config, self.manifest, self.features, self.encoder)
        chosen = subsample_evenly([r for r in found if r.sample.split in splits], limit)
        self.teacher.ensure(chosen)
        return chosen

    def evaluate(
        self, feeder: Feeder, kinds: Mapping[str, Sequence[Example]], *, with_base: Container[str]
    ) -> list[dict[str, Any]]:
        """Evaluate held-out examples by teacher forcing with the gate ON, one row per example.

        Args:
            kinds: name of a kind -> its examples.
            with_base: kinds that are compared with the base; the teacher must have been given
                their examples. For the others, `base_right` and `drift` are None.
        """
        table = []
        for kind, rows in kinds.items():
            teacher = self.teacher if kind in with_base else None
            for row, answer in zip(rows, teacher_forced(feeder, rows, teacher), strict=True):
                table.append(
                    {
                        "kind": kind,
                        "split": row.sample.split,
                        "id": row.sample.id,
                        "source": row.sample.image_source or row.sample.source,
                        "right": answer.right,
                        "base_right": answer.base_right,
                        "drift": answer.drift if teacher else None,
                    }
                )
        return table


class PeriodicEvaluation:
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
