"""Each job has half of the items."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from safe.pipeline.context import Context
from tests.toy.experiments.made_up.config import MadeUpSettings


def prepare(context: Context, wanted: Sequence[str]) -> int:
    """Return the number of items of a job."""
    return MadeUpSettings.of(context.config).items // 2


def run(context: Context, job: str, items: int) -> dict[str, Any]:
    """Return the content of result.json."""
    share = MadeUpSettings.of(context.config).share
    return {"job": job, "items": items, "right": round(items * share)}
