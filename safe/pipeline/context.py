"""The context of an experiment, passed to `measure` and its jobs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from safe.errors import ConfigError
from safe.gates.criteria import load_criteria
from safe.gates.documents import read_selected
from safe.gates.schema import Candidate, Candidates, Selected, Selection
from safe.gates.selection import select
from safe.pipeline.config import RunSettings


@dataclass(slots=True)
class Context:
    """Argument of `measure(context) -> list[Metric]` of an experiment, and of its jobs.

    Attributes:
        config: the run's settings; reading a section that is not declared raises ConfigError.
        folder: results/RUN/NN_name, or jobs/JOB below it; the experiment writes plots/ and
            Parquet tables there.
        experiment: NN_name; by default the name of `folder`.
        plots, evidence: paths, relative to `folder`, of files that the experiment writes.
        candidates: table name -> candidates for the selections of the criteria; see `offer`.
        digests: digests of `data`, `weights` and other inputs, added by the experiment; `safe
            measure` adds code, config and criteria.
        upstream_selected: experiment -> selection -> candidate, as read by `upstream_selection`.
        device_seconds: seconds of accelerator time (0 on CPU), added by the experiment.
    """

    config: RunSettings
    folder: Path
    experiment: str = ""
    plots: list[str] = field(default_factory=list)
    evidence: list[str] = field(default_factory=list)
    candidates: dict[str, Candidates] = field(default_factory=dict)
    digests: dict[str, str] = field(default_factory=dict)
    extra: dict[str, Any] = field(default_factory=dict)
    upstream_selected: dict[str, dict[str, str | None]] = field(default_factory=dict)
    device_seconds: float = 0.0

    def __post_init__(self) -> None:
        self.experiment = self.experiment or self.folder.name

    def selection(self, name: str) -> Selection:
        """Return a selection of the experiment's criteria file.

        Raises:
            ConfigError: the criteria cannot be read, or have no such selection.
        """
        path = self.config.criteria / f"{self.experiment}.yaml"
        for found in load_criteria(path).selections:
            if found.name == name:
                return found
        raise ConfigError(f"no selection {name!r}", where=path, key="selections")

    def limit(self, name: str, value: str) -> float:
        """Return the threshold of a selection on `value`, at the scale of the run.

        Raises:
            ConfigError: there is no such selection, or it has no single limit on this value.
        """
        found = [limit for limit in self.selection(name).limits if limit.value == value]
        threshold = found[0].threshold_at(self.config.scale) if len(found) == 1 else None
        if not isinstance(threshold, float):
            raise ConfigError(
                f"the selection {name!r} needs one limit on {value!r}, with a number",
                where=self.config.criteria / f"{self.experiment}.yaml",
                key="selections",
            )
        return threshold

    def offer(
        self,
        table: str,
        rows: Sequence[Candidate],
        per_item: str | None = None,
        *,
        items: int | None = None,
    ) -> None:
        """Add candidates to the measurement; the judge selects one of them."""
        self.candidates[table] = Candidates(rows=list(rows), items=items, per_item=per_item)

    def select(self, name: str, candidates: Sequence[Candidate]) -> Selected:
        """Apply a selection during a measurement that continues with one candidate.

        The judge applies the selection again. Metrics measured on the candidate must name it in
        `Metric.measured_on`.
        """
        return select(self.selection(name), candidates, self.config.scale)

    def upstream_selection(self, experiment: str, name: str) -> str:
        """Return the candidate that another experiment's criteria select.

        Raises:
            EvidenceError: the experiment was not judged, or selects no candidate.
        """
        found = read_selected(self.config.folder / experiment, name)
        self.upstream_selected.setdefault(experiment, {})[name] = found
        return found
