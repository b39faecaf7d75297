"""Distance of every required criterion from its bound, in standard deviations over several runs.

    python benchmarks/distances.py results/a results/b ... [--json FILE]

Each folder is one finished run of the same config with another world seed, run seed or numerics
(threads, matrix kernels). The distance is the mean margin of the deciding value divided by its
standard deviation. For the criteria in `SPREADS`, which are standard deviations over a few seeds
and thus have a skewed distribution, the standard deviation pooled over runs is compared with the
bound: the probability of exceeding it follows from the chi-squared distribution and must be below
0.1 %. Measured times (`TIMES`) vary by factors, so their distance is computed on a log scale.
"""

from __future__ import annotations

import argparse
import json
import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from scipy.stats import chi2, norm

NEEDED = 4.0  # minimum distance in standard deviations
MAY_FAIL = 0.001  # maximum probability, for `SPREADS`
SPREADS = ("11.audio_sd", "11.vl_sd")
TIMES = ("04.latency", "04.latency_acceptable", "06.audio_latency", "06.throughput")


@dataclass(frozen=True)
class Distance:
    """One required criterion over all runs.

    Attributes:
        bound: `op threshold`.
        mean, sd: of the deciding value (the value, or a bound of its interval).
        distance: standard deviations between mean and bound; infinite without variation.
        fails: probability that a run misses the bound.
        worst: the deciding value with the smallest margin.
        missing: number of runs without a measured value.
    """

    criterion: str
    bound: str
    runs: int
    mean: float
    sd: float
    distance: float
    fails: float
    worst: float
    missing: int

    @property
    def roomy(self) -> bool:
        enough = self.fails < MAY_FAIL if self.criterion in SPREADS else self.distance >= NEEDED
        return enough and not self.missing


def read_judged(folders: Sequence[Path]) -> dict[str, list[dict[str, Any]]]:
    """Return criterion -> its judgements in all runs, for required criteria only."""
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for folder in folders:
        for path in sorted(folder.glob("[0-9][0-9]_*/decision.json")):
            for judged in json.loads(path.read_text())["criteria"]:
                if judged["severity"] == "required":
                    found[judged["id"]].append(judged)
    return found


def deciding_value(judged: dict[str, Any]) -> float | None:
    """Return the number that is compared with the bound."""
    if judged["decide_on"].startswith("ci_"):
        return None if judged["ci"] is None else judged["ci"][judged["decide_on"][3:]]
    return judged["value"]


def distance_of(criterion: str, rows: Sequence[dict[str, Any]]) -> Distance:
    """Compute the distance of one criterion."""
    usable = [r for r in rows if deciding_value(r) is not None and r["margin"] is not None]
    values, margins = [deciding_value(r) for r in usable], [r["margin"] for r in usable]
    spread = stdev(values) if len(values) > 1 else 0.0
    if not usable:
        distance, fails = -math.inf, 1.0
    elif criterion in SPREADS:
        threshold, freedom = usable[0]["threshold"], usable[0]["n"] - 1
        pooled = math.sqrt(mean(value**2 for value in values))
        fails = float(chi2.sf(freedom * (threshold / pooled) ** 2, freedom)) if pooled else 0.0
        distance = float(norm.isf(fails)) if fails else math.inf
    else:
        room, scatter = mean(margins), spread
        if criterion in TIMES:
            logs = [math.log(value) for value in values]
            beyond = abs(mean(logs) - math.log(usable[0]["threshold"]))
            room, scatter = math.copysign(beyond, room), stdev(logs) if len(logs) > 1 else 0.0
        distance = room / scatter if scatter else math.copysign(math.inf, room or 1.0)
        fails = float(norm.sf(distance))
    worst = min(range(len(usable)), key=margins.__getitem__, default=None)
    return Distance(
        criterion,
        f"{rows[0]['op']} {rows[0]['threshold']}",
        len(rows),
        mean(values) if usable else math.nan,
        spread,
        distance,
        fails,
        math.nan if worst is None else values[worst],
        len(rows) - len(usable),
    )


def as_table(found: Sequence[Distance]) -> str:
    """Format as a Markdown table."""
    lines = [
        "| criterion | bound | mean | sd | distance in sd | probability to fail | worst |",
        "|---|---|---|---|---|---|---|",
    ]
    for d in found:
        far = "no spread" if math.isinf(d.distance) else f"{d.distance:.1f}"
        note = f" ({d.missing} not measured)" if d.missing else ""
        lines.append(
            f"| {d.criterion} | {d.bound} | {d.mean:.4g} | {d.sd:.2g} | {far}{note} | "
            f"{d.fails:.2g} | {d.worst:.4g} |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    judged = read_judged(arguments.runs)
    found = sorted((distance_of(c, rows) for c, rows in judged.items()), key=lambda d: d.distance)
    print(as_table(found))
    close = [d.criterion for d in found if not d.roomy]
    print(f"\n{len(arguments.runs)} runs; too close: {', '.join(close) or 'none'}")
    survives = math.prod(1 - d.fails for d in found)
    print(f"probability that a run fails by chance, all criteria independent: {1 - survives:.2g}")
    if arguments.json:
        arguments.json.write_text(json.dumps([asdict(d) for d in found], indent=2) + "\n")


if __name__ == "__main__":
    main()
