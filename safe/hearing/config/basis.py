"""What every section of the config is made of."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated

from pydantic import AfterValidator, Field

from safe.pipeline.config import Settings as Strict

__all__ = ["Fraction", "Grid", "Positive", "Strict", "check_rising"]

Fraction = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[int, Field(gt=0)]


def check_rising(values: list[float]) -> list[float]:
    """Refuse values that are not strictly ascending."""
    if any(low >= high for low, high in pairwise(values)):
        raise ValueError("values must be strictly ascending")
    return values


# A single value has no neighbour to compare with.
Grid = Annotated[
    list[Annotated[float, Field(gt=0)]], Field(min_length=2), AfterValidator(check_rising)
]
