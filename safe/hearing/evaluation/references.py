"""Published or recorded figures that an evaluation must reproduce within a tolerance."""

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
    """Reference figure.

    Attributes:
        id: unique in the table.
        model: `base.miniature` of a run, or the id of the model (`base.vlm`,
            `base.audio_encoder`).
        dataset: name of the dataset in the config.
        split: train, val or test.
        figure: `accuracy` by the dataset's metric, or `accuracy/TASK` for one task.
        value, tolerance: in the figure's unit; the difference may be at most the tolerance.
        source: where the value comes from and how it was computed.
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
    """Content of `config/references.yaml`."""

    references: list[Reference]

    @model_validator(mode="after")
    def _ids_are_unique(self) -> ReferenceTable:
        ids = [r.id for r in self.references]
        if len(ids) != len(set(ids)):
            raise ValueError(f"two references share an id: {sorted(ids)}")
        return self


@dataclass(frozen=True)
class Compared:
    """A reference and the measured value; `ratio` is their difference divided by the tolerance."""

    reference: Reference
    measured: float
    n: int

    @property
    def ratio(self) -> float:
        return abs(self.measured - self.reference.value) / self.reference.tolerance


def load_references(path: Path) -> list[Reference]:
    """Read the table.

    Raises:
        ConfigError: the file cannot be read or has invalid keys.
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
    """Return the references for the models of a run."""
    return [r for r in references if r.model in models]


def compare(
    references: Iterable[Reference], figures: Mapping[tuple[str, str, str], tuple[float, int]]
) -> tuple[list[Compared], list[Reference]]:
    """Compare references with figures; return comparisons, and references without a figure.

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
