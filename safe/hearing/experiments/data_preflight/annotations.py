"""`safe audit`: checks of a dataset that need only its annotation files."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from safe.errors import ConfigError, DataError
from safe.gates.criteria import criteria_digest, load_criteria
from safe.gates.judge import judge
from safe.gates.schema import Decision, Measurement, Metric
from safe.hearing.config import BaseConfig, CurriculumConfig, DatasetConfig, RunConfig, StageConfig
from safe.hearing.context import Context
from safe.hearing.data.audit.base import connect
from safe.hearing.data.layouts import Problem, annotation_files, public_layouts, read_dataset
from safe.hearing.data.manifest import write_manifest
from safe.hearing.experiments.data_preflight import METRICS
from safe.hearing.experiments.data_preflight.measure import audit_metrics, unavailable
from safe.reading import explain_validation

EXPERIMENT = "01_data_preflight"
_SPLIT = re.compile(
    r"(?:^|[^a-z])(train|val|dev|test|development|validation|evaluation)(?:dev|std|\d{4})?(?=[^a-z]|$)"
)
_NAMES = {"dev": "val", "development": "train", "validation": "val", "evaluation": "test"}


@dataclass(frozen=True, slots=True)
class Audit:
    """Result of an audit: counts, problems, metrics and the decision."""

    rows: int
    counts: list[dict[str, Any]]
    problems: list[Problem]
    metrics: list[Metric]
    decision: Decision

    def as_dict(self) -> dict[str, Any]:
        """Return the audit as JSON values."""
        return {
            "verdict": self.decision.verdict,
            "rows": self.rows,
            "counts": self.counts,
            "problems": [asdict(problem) for problem in self.problems],
            "criteria": [judged.model_dump(mode="json") for judged in self.decision.criteria],
            "metrics": [metric.model_dump(mode="json") for metric in self.metrics],
            "unavailable": {m.name: m.reason for m in self.metrics if m.value is None},
        }


def guess_split(path: Path) -> str:
    """Return the split that a file name contains: `avqa-val.json` -> `val`.

    Raises:
        DataError: the name contains no split, or more than one.
    """
    found = set(_SPLIT.findall(path.name.lower()))
    if len(found) != 1:
        raise DataError(
            "the file name does not name a split",
            where=path,
            hint="name the file after its split, such as train.csv or avqa-val.json",
        )
    split: str = found.pop()
    return _NAMES.get(split, split)


def _annotations(layout: str, paths: Sequence[Path], problems: list[Problem]) -> dict[str, Path]:
    """Annotation files by the key that the layout's reader expects.

    Files of a folder that the layout does not read are left out and added to `problems`.
    """
    files = annotation_files(layout)
    found: dict[str, Path] = {}
    for path in paths:
        if path.is_dir():
            inside = _in_folder(path, files, problems)
        else:
            # A file that was named is used, whatever its name.
            roles = [role for role in files if role and _matches(path, files[role])]
            inside = [(guess_split(path) + (roles[0] if roles else ""), path)]
        for key, file in inside:
            if key in found:
                raise DataError(
                    f"split {key!r} is given by two files, the other is {found[key].name}",
                    where=file,
                    hint="give one file for each split",
                )
            found[key] = file.absolute()
    if not found:
        raise DataError(
            "no annotation file found", where=paths[0], hint="name the files of each split"
        )
    return found


def _matches(path: Path, patterns: Sequence[str]) -> bool:
    return any(re.search(pattern, path.name) for pattern in patterns)


def _in_folder(
    folder: Path, files: Mapping[str, Sequence[str]], problems: list[Problem]
) -> list[tuple[str, Path]]:
    """Choose the annotation files of each split in a folder, as unzipped."""
    inside = sorted([*folder.glob("*.csv"), *folder.glob("*.json")])
    splits = {path: guess_split(path) for path in inside if _SPLIT.search(path.name.lower())}
    chosen: dict[tuple[str, str], list[Path]] = {}
    for role, patterns in files.items():
        for pattern in patterns:
            for path, split in splits.items():
                if re.search(pattern, path.name) and path not in chain(*chosen.values()):
                    taken = chosen.setdefault((split, role), [])
                    if not taken or re.search(pattern, taken[0].name):
                        taken.append(path)
    # A split is complete if every role has a file: questions alone cannot be audited.
    complete = {s for s, _ in chosen if all((s, role) in chosen for role in files)}
    used = {p: s + role for (s, role), taken in chosen.items() if s in complete for p in taken}
    if left := [path.name for path in inside if path not in used]:
        what = "files left out, which the layout does not read or need"
        problems.append(Problem(folder.name, "", what, str(folder), len(left), tuple(left[:5])))
    return [(key, path) for path, key in used.items()]


def _dataset(
    layout: str, files: dict[str, Path], split_unit: str, reason: str | None
) -> DatasetConfig:
    splits = {key: key for key in ("train", "val", "test") if key in files}
    values = {
        "name": layout,
        "layout": layout,
        "root": next(iter(files.values())).parent,
        "splits": splits,
        "annotations": files,
        "media": False,
        "split_unit": split_unit,
        "split_unit_reason": reason,
    }
    try:
        return DatasetConfig.model_validate(values)
    except ValidationError as error:
        raise ConfigError(
            explain_validation(error, DatasetConfig, "safe audit"),
            hint="correct the options named above; --split-unit question needs --reason",
        ) from None


def _config(dataset: DatasetConfig, folder: Path, criteria: Path) -> RunConfig:
    """Minimal run config; only the dataset and the defaults of 01 are used."""
    stage = StageConfig(
        name="none",
        epochs=1,
        audio_ratio=0.5,
        difficulties=["easy"],
        min_audio_accuracy=0,
        max_vl_drop=1,
    )
    return RunConfig(
        run="audit",
        pipeline="hearing",
        criteria=criteria,
        scale="full",
        seed=0,
        results=folder,
        datasets=[dataset],
        base=BaseConfig(miniature="world"),
        curriculum=CurriculumConfig(stages=[stage]),
    )


def audit_annotations(
    layout: str,
    paths: Sequence[Path],
    *,
    criteria: Path,
    split_unit: str = "media",
    reason: str | None = None,
) -> Audit:
    """Read annotation files and compare the measurable metrics with the criteria of 01.

    Args:
        layout: one of `public_layouts()`.
        paths: annotation files, or folders of them; the file names contain the split.
        criteria: folder of criteria files.
        split_unit: `question` where the publisher split by question, with the `reason` why that
            is acceptable.

    Raises:
        DataError: a file cannot be read in this layout.
    """
    if layout not in public_layouts():
        known = ", ".join(public_layouts())
        raise DataError(f"no annotation layout {layout!r}", hint=f"use one of {known}")
    problems: list[Problem] = []
    files = _annotations(layout, paths, problems)
    dataset = _dataset(layout, files, split_unit, reason)
    started = datetime.now(UTC)
    with tempfile.TemporaryDirectory(prefix="safe-audit-") as name:
        folder = Path(name)
        config = _config(dataset, folder, criteria)
        context = Context(config=config, folder=folder)
        summary = write_manifest(read_dataset(dataset, problems), context.manifest)
        with connect(context.manifest, [dataset]) as base:
            metrics = audit_metrics(base, context, with_media=False)
    done = {metric.name for metric in metrics}
    why = "needs a run config with a curriculum; only annotation files were read"
    metrics += [unavailable(name, why) for name in METRICS if name not in done]
    rules = load_criteria(criteria / f"{EXPERIMENT}.yaml")
    measurement = Measurement(
        experiment=EXPERIMENT,
        run="audit",
        metrics=metrics,
        digests={"data": summary["digest"], "criteria": criteria_digest(rules)},
        environment={},
        seeds={},
        started=started.isoformat(timespec="seconds"),
        duration_s=round((datetime.now(UTC) - started).total_seconds(), 3),
        device_s=0.0,
        peak_memory_bytes=0,
    )
    return Audit(summary["rows"], summary["counts"], problems, metrics, judge(measurement, rules))


def as_text(audit: Audit) -> str:
    """Format the audit as text."""
    lines = [f"{audit.rows:,} samples"]
    by_split: dict[str, int] = {}
    for row in audit.counts:
        by_split[row["split"]] = by_split.get(row["split"], 0) + row["rows"]
    lines += [f"  {split:<6} {rows:>8,}" for split, rows in by_split.items()]
    for problem in audit.problems:
        place = f" for {problem.split}" if problem.split else ""
        lines.append(f"note{place}: {problem.count:,} {problem.what}")
        lines += [f"    {example}" for example in problem.examples[:3]]
    metrics = {metric.name: metric for metric in audit.metrics}
    for judged in audit.decision.criteria:
        mark = {"pass": "pass", "unavailable": "----"}.get(judged.verdict, judged.verdict.upper())
        metric = metrics[judged.metric]
        value = "unavailable" if judged.value is None else f"{judged.value:,.6g} {judged.unit}"
        lines.append(f"{mark:>12}  {judged.id}: {value} (needs {judged.op} {judged.threshold:g})")
        if metric.value is None:
            lines.append(f"{'':>14}{metric.reason}")
        lines += [f"{'':>14}{line}" for line in _details(metric)]
    missing = [m.name for m in audit.metrics if m.value is None]
    wrong = [j.id for j in audit.decision.criteria if j.verdict not in ("pass", "unavailable")]
    lines.append(
        f"{audit.decision.verdict}: "
        + (f"not met: {', '.join(wrong)}" if wrong else "no problem found")
        + (f"; unavailable: {', '.join(missing)}" if missing else "")
    )
    return "\n".join(lines)


def _details(metric: Metric) -> list[str]:
    lines = []
    for finding in metric.detail.get("findings", []):
        note = f" [declared: {finding['declared']}]" if finding["declared"] else ""
        lines.append(f"{finding['count']:,} {finding['kind']} ({finding['where']}){note}")
        lines.append(f"    e.g. {'; '.join(finding['examples'])}")
    for field in metric.detail.get("fields", [])[:12]:
        counts = list(field["counts"].items())
        ends = [f"{label} {count:,}" for label, count in (counts[:2] + counts[-2:])[:4]]
        note = f" ({field['why_not']})" if field["why_not"] else ""
        lines.append(
            f"{field['ratio']:,.1f}:1  {field['field']} {field['question_type']}, "
            f"{field['rows']:,} rows, {field['classes']} classes: {' … '.join(ends)}{note}"
        )
    return lines
