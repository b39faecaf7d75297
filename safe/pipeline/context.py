"""What an experiment is given, and how its numbers become `measurement.json`."""

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
    """Given to `measure(context) -> list[Metric]` of an experiment, and to its jobs.

    Attributes:
        config: the run's settings; sections that the experiment does not declare are refused.
        folder: results/RUN/NN_name, or jobs/JOB below it; the experiment writes plots/ and
            Parquet tables there.
        experiment: NN_name; by default the name of `folder`.
        plots, evidence: paths relative to `folder` that the experiment adds as it writes them.
        candidates: table name -> what the criteria file selects from; see `offer`.
        digests: the experiment adds `data`, `weights` or others it read; code, config and
            criteria are filled in by `safe measure`.
        upstream_selected: experiment -> selection -> candidate, of what `upstream_selection` read.
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
        """A selection of the experiment's criteria file.

        Raises:
            ConfigError: the criteria cannot be read or have no such selection.
        """
        path = self.config.criteria / f"{self.experiment}.yaml"
        for found in load_criteria(path).selections:
            if found.name == name:
                return found
        raise ConfigError(f"no selection {name!r}", where=path, key="selections")

    def limit(self, name: str, value: str) -> float:
        """The threshold of a selection for `value`, at the scale of the run.

        Raises:
            ConfigError: there is no such selection, or it has no single limit on this value.
        """
        found = [limit for limit in self.selection(name).limits if limit.value == value]
        threshold = found[0].threshold_at(self.config.scale) if len(found) == 1 else None
        if not isinstance(threshold, float):
            raise ConfigError(
                f"the selection {name!r} needs one limit on {value!r}, a number",
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
        """Record candidates in the measurement, for the judge to select from."""
        self.candidates[table] = Candidates(rows=list(rows), items=items, per_item=per_item)

    def select(self, name: str, candidates: Sequence[Candidate]) -> Selected:
        """What the criteria select now, for a measurement that continues with one candidate.

        The judge applies the rule again; a metric that was measured on the candidate says so in
        `Metric.measured_on`.
        """
        return select(self.selection(name), candidates, self.config.scale)

    def upstream_selection(self, experiment: str, name: str) -> str:
        """The candidate that another experiment's criteria select.

        Raises:
            EvidenceError: it was not judged, or selects none.
        """
        found = read_selected(self.config.folder / experiment, name)
        self.upstream_selected.setdefault(experiment, {})[name] = found
        return found
