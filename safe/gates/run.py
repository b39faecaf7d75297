"""A run's folder with the criteria, waivers and scale used to judge it."""

from __future__ import annotations

import difflib
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

from safe.errors import ConfigError, EvidenceError, SafeError
from safe.files import write_json
from safe.gates.criteria import load_criteria
from safe.gates.criteria_check import check_file
from safe.gates.documents import read_json, read_measurement
from safe.gates.history import record_decision
from safe.gates.judge import judge
from safe.gates.pipeline import PLAN, PipelineFile, load_pipeline
from safe.gates.schema import Decision
from safe.gates.waivers import load_waivers


@dataclass(frozen=True, slots=True)
class GateRun:
    """results/RUN, and the criteria, waivers and scale used to judge it."""

    folder: Path
    criteria: Path
    waivers: Path
    scale: str

    def experiments(self) -> list[str]:
        """Return all experiments with a criteria file, sorted by number."""
        return [path.stem for path in sorted(self.criteria.glob("*.yaml"))]

    def pipeline(self) -> PipelineFile:
        """Load the pipeline of the criteria.

        Raises:
            ConfigError: pipeline.yaml is missing or invalid.
        """
        return load_pipeline(self.criteria)

    def find(self, name: str) -> str:
        """Return the full name of an experiment: `03`, `name` or `03_name` -> `03_name`.

        Raises:
            ConfigError: there is no such experiment; suggests the nearest one.
        """
        known = self.experiments()
        for experiment in known:
            if name in (experiment, experiment[:2], experiment[3:]):
                return experiment
        near = difflib.get_close_matches(name, known, n=1)
        raise ConfigError(
            f"no experiment {name!r}",
            where=self.criteria,
            hint=f"did you mean `{near[0]}`?" if near else f"use one of {', '.join(known)}",
        )


def open_gate_run(
    folder: Path,
    *,
    criteria: Path | None = None,
    waivers: Path | None = None,
    scale: str | None = None,
    lenient: bool = False,
) -> GateRun:
    """Open a run's folder; arguments override its `config.json`.

    Args:
        lenient: accept missing criteria, and use full scale (the plan's thresholds) if config or
            pipeline cannot be read. For the page, which is written for every run.

    Raises:
        EvidenceError: there is no config.json and an argument is missing.
        ConfigError: the scale does not exist, or the criteria folder has no criteria.
    """
    values: dict[str, Any] = {}
    if criteria is None or waivers is None or scale is None:
        try:
            values = read_config(folder)
        except SafeError:
            if not lenient:
                raise
    run = GateRun(
        folder=folder,
        criteria=criteria or Path(str(values.get("criteria", ""))),
        waivers=waivers or Path(str(values.get("waivers", "config/waivers.yaml"))),
        scale=scale or str(values.get("scale", PLAN)),
    )
    if not lenient and not run.experiments():
        raise ConfigError(
            "no criteria (*.yaml) in this folder",
            where=run.criteria,
            hint="run the command in the folder of the Snakefile, or use --criteria",
        )
    try:
        run.pipeline().check_scale(run.scale)
    except ConfigError:
        if not lenient:
            raise
        run = replace(run, scale=PLAN)
    return run


def read_config(folder: Path) -> dict[str, Any]:
    """Read config.json of a run's folder.

    Raises:
        EvidenceError: it is missing, or not a run's config.
    """
    hint = "start the run once, or give --criteria, --waivers and --scale"
    values = read_json(folder / "config.json", hint=hint)
    if not isinstance(values, dict) or "scale" not in values:
        raise EvidenceError("not a run's config", where=folder / "config.json", hint=hint)
    return values


def judge_experiment(run: GateRun, experiment: str, today: date | None = None) -> Decision:
    """Judge one experiment's measurement.json and write decision.json next to it.

    Raises:
        EvidenceError: the measurement is missing or broken.
        ConfigError: criteria or waivers are invalid.
    """
    criteria_path = run.criteria / f"{experiment}.yaml"
    criteria = load_criteria(criteria_path)
    check_file(criteria_path, criteria, run.pipeline())
    waivers = load_waivers(run.waivers)
    for waiver in waivers:
        if waiver.experiment not in run.experiments():
            raise ConfigError(
                f"a waiver by {waiver.author} names {waiver.experiment!r}, which does not exist",
                where=run.waivers,
                key="experiment",
                hint=f"use one of {', '.join(run.experiments())}",
            )
    measurement = read_measurement(run.folder / experiment / "measurement.json")
    decision = judge(measurement, criteria, waivers, run.scale, today=today)
    record_decision(run.folder, decision)
    write_json(run.folder / experiment / "decision.json", decision.model_dump(mode="json"))
    return decision


def difference(recorded: Decision, again: Decision) -> str | None:
    """Return how a recorded decision differs from judging again, or None."""
    if recorded.digests["decision"] == again.digests["decision"]:
        return None
    if recorded.digests["waivers"] != again.digests["waivers"]:
        return "its waivers changed since it was judged"
    if recorded.verdict != again.verdict:
        return f"its decision is {recorded.verdict}, but judging again gives {again.verdict}"
    old = {j.id: j for j in recorded.criteria}
    differ = [j.id for j in again.criteria if old.get(j.id) != j]
    named = f" in {', '.join(differ)}" if differ else ""
    return f"its decision differs from judging again{named}"


def measured(run: GateRun) -> list[str]:
    """Return the experiments that have a measurement."""
    return [e for e in run.experiments() if (run.folder / e / "measurement.json").is_file()]
