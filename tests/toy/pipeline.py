"""Declaration of the toy pipeline."""

from __future__ import annotations

from safe.pipeline.definition import Pipeline
from tests.toy.config import ToyConfig

PIPELINE = Pipeline(config=ToyConfig)
