"""Import time of each rule's modules, compared with torch, transformers and peft alone.

    python benchmarks/imports.py [--repeats 5] [--no-bytecode]

Each import runs in a new Python process. Reports the minimum CPU seconds over the repeats,
including interpreter start, because background load affects CPU time less than wall-clock time.
Bytecode is cached in a temporary folder; with `--no-bytecode` each process compiles all sources, as
in a fresh installation with PYTHONDONTWRITEBYTECODE=1.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile

PLAIN = "torch, transformers, peft"
# Rule or command -> the modules it imports; one entry for rules with equal imports.
STARTS = {
    "plain torch, transformers, peft": PLAIN,
    "plain torch": "torch",
    "judge, gate": "safe.gates.run, safe.gates.token",
    "report": "safe.report.page",
    "Snakefile": "safe.pipeline.workflow",
    "prepare_data": "safe.hearing.prepare.data",
    "prepare_base": "safe.hearing.prepare.base",
    "prepare_features": "safe.hearing.prepare.features",
    "measure_01": "safe.hearing.experiments.data_preflight.measure",
    "measure_02": "safe.hearing.experiments.base_parity.measure",
    "measure_03": "safe.hearing.experiments.tiny_overfit.measure",
    "jobs of 04": "safe.hearing.experiments.stage_a_pilot.jobs",
    "measure_04": "safe.hearing.experiments.stage_a_pilot.measure",
    "measure_05": "safe.hearing.experiments.gating.measure",
    "measure_06": "safe.hearing.experiments.efficiency.measure",
    "measure_07": "safe.hearing.experiments.evaluation_harness.measure",
    "jobs of 08": "safe.hearing.experiments.curriculum.jobs",
    "measure_08": "safe.hearing.experiments.curriculum.measure",
    "jobs of 09": "safe.hearing.experiments.retention.jobs",
    "measure_09": "safe.hearing.experiments.retention.measure",
    "jobs of 10": "safe.hearing.experiments.sweep.jobs",
    "measure_10": "safe.hearing.experiments.sweep.measure",
    "jobs of 11": "safe.hearing.experiments.seeds.jobs",
    "measure_11": "safe.hearing.experiments.seeds.measure",
    "jobs of 12": "safe.hearing.experiments.rl_gate.jobs",
    "measure_12": "safe.hearing.experiments.rl_gate.measure",
}
CODE = "import time, sys\n{}\nprint(time.process_time(), len(sys.modules), 'torch' in sys.modules)"


def measure(modules: str, repeats: int, environment: dict[str, str]) -> tuple[float, int, bool]:
    """Return minimum CPU seconds, number of loaded modules, and whether torch is loaded."""
    seconds, loaded, torch = [], 0, False
    for _ in range(repeats):
        done = subprocess.run(
            [sys.executable, "-c", CODE.format(f"import {modules}")],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        spent, count, has_torch = done.stdout.split()
        seconds.append(float(spent))
        loaded, torch = int(count), has_torch == "True"
    return min(seconds), loaded, torch


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--no-bytecode", action="store_true")
    parser.add_argument("--only", nargs="*", choices=list(STARTS), help="rows to measure")
    given = parser.parse_args()
    starts = {k: v for k, v in STARTS.items() if not given.only or k in given.only} | {
        "plain torch, transformers, peft": PLAIN
    }
    with tempfile.TemporaryDirectory() as folder:
        environment = os.environ | {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": folder}
        if given.no_bytecode:
            environment["PYTHONDONTWRITEBYTECODE"] = "1"
        else:
            for modules in starts.values():  # fill the bytecode cache
                measure(modules, 1, environment)
        plain = measure(PLAIN, given.repeats, environment)[0]
        print("| rule or command | CPU seconds | ratio to plain | modules | torch |")
        print("|---|---|---|---|---|")
        for name, modules in starts.items():
            seconds, count, torch = measure(modules, given.repeats, environment)
            print(
                f"| {name} | {seconds:.2f} | {seconds / plain:.2f} | {count} "
                f"| {'yes' if torch else 'no'} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
