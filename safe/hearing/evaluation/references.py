"""Figures that were published or recorded, which an evaluation must reproduce.

Each names its source and how far off a measurement may be; a harness that misses one measures
something else.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import Field, ValidationError, model_validator

from safe.errors import ConfigError
from safe.hearing.config import Strict
from safe.reading import explain_validation, read_yaml

Text = Annotated[str, Field(min_length=1)]


class Reference(Strict):
    """One figure.

    Attributes:
        id: unique in the table.
        model: `base.miniature` of a run, or the id of the model measured (`base.vlm`,
            `base.audio_encoder`).
        dataset: name of the dataset in the config.
        split: train, val or test.
        figure: `accuracy` by the dataset's own rule, or `accuracy/TASK`, of one task's questions.
        value, tolerance: in the figure's own unit; the difference may be as large as the tolerance.
        source: where the value comes from, and how it was made.
    """

    id: Text
    model: Text
    dataset: Text
    split: Text
    figure: Text
    value: float
    tolerance: float = Field(gt=0)
    source: str = Field(min_length=20)


class ReferenceTable(Strict):
    """`config/references.yaml`."""

    references: list[Reference]

    @model_validator(mode="after")
    def _ids_are_unique(self) -> ReferenceTable:
        ids = [r.id for r in self.references]
        if len(ids) != len(set(ids)):
            raise ValueError(f"two references share an id: {sorted(ids)}")
        return self


@dataclass(frozen=True)
class Compared:
    """A reference beside what was measured; `ratio` is the difference over the tolerance."""

    reference: Reference
    measured: float
    n: int

    @property
    def ratio(self) -> float:
        return abs(self.measured - self.reference.value) / self.reference.tolerance


def load_references(path: Path) -> list[Reference]:
    """Read the table.

    Raises:
        ConfigError: naming file, key and the fix.
    """
    values = read_yaml(path)
    try:
        return ReferenceTable.model_validate(values).references
    except ValidationError as error:
        raise ConfigError(
            explain_validation(error, ReferenceTable, path),
            hint="correct the keys named above; each reference needs id, model, dataset, split, "
            "figure, value, tolerance and source",
        ) from None


def applicable(references: Iterable[Reference], models: Sequence[str | None]) -> list[Reference]:
    """Those for the models of a run."""
    return [r for r in references if r.model in models]


def compare(
    references: Iterable[Reference], figures: Mapping[tuple[str, str, str], tuple[float, int]]
) -> tuple[list[Compared], list[Reference]]:
    """Each reference beside its figure, and those whose figure was not measured.

    Args:
        figures: (dataset, split, figure) -> value and number of items.
    """
    found, missing = [], []
    for reference in references:
        key = (reference.dataset, reference.split, reference.figure)
        if key in figures:
            found.append(Compared(reference, *figures[key]))
        else:
            missing.append(reference)
    return found, missing
