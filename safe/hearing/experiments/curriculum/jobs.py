"""The jobs of experiment 08.

`normal` runs every stage for one epoch. `extension` has a stage that must be extended once and a
stage that never meets its criteria, where the run must stop. `resumed` starts `killed`, a copy of
`normal` in a separate process, kills it at random moments and restarts it until it finishes. Each
job writes to 08_curriculum/jobs/NAME: result.json, log.jsonl.

Only the training code (`rehearsal.py`) imports torch: the process that kills a run does not need
it.
"""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import sys
import time
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from safe.errors import ConfigError
from safe.hearing.context import Context
from safe.hearing.experiments.curriculum.plan import JOBS
from safe.hearing.experiments.curriculum.script import LOG, PLAN

CHILD = """
import sys
from pathlib import Path
from safe.hearing.config import load_run_config
from safe.pipeline.runner import run_job
run_job(load_run_config(Path(sys.argv[1])), "08_curriculum", "killed")
"""
LOOK_EVERY_S = 0.005  # polling interval of the log of the run to be killed


def prepare(context: Context, wanted: Sequence[str]) -> None:
    """Check the job names. Jobs share nothing, so that each starts like a new process.

    Raises:
        ConfigError: there is no such job.
    """
    for job in wanted:
        if job not in (*JOBS, "killed"):
            raise ConfigError(f"no job {job!r}", hint=f"name one of {', '.join(JOBS)}")


def run(context: Context, job: str, setup: None = None) -> dict[str, Any]:
    """Run one job. Returns the content of result.json."""
    if job == "resumed":
        return _killed_and_resumed(context)
    from safe.hearing.experiments.curriculum.rehearsal import rehearse

    try:
        return rehearse(context, job)
    except ConfigError:
        raise  # nothing was trained; the settings must be fixed
    except Exception as error:  # any crash is a finding of this experiment
        text = traceback.format_exc()
        (context.folder / "crash.txt").write_text(text, encoding="utf-8")
        return {"job": job, "crashed": f"{type(error).__name__}: {error}"}


def _killed_and_resumed(context: Context) -> dict[str, Any]:
    """Run `killed`, kill and restart it the configured number of times, then let it finish."""
    config = context.config
    folder = context.folder.parent / "killed"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    rng = random.Random(config.seed)
    # Not `safe run-job`: it was already checked that this experiment may run.
    command = [sys.executable, "-P", "-c", CHILD, str(config.folder / "config.json")]
    kills: list[int] = []
    while True:
        child = subprocess.Popen(command)
        try:
            if len(kills) < config.curriculum.rehearsal.kills:
                at = _wait_for(folder, kills, rng, child)
                if at is not None:
                    child.kill()
                    child.wait()
                    kills.append(at)
                    continue
            status = child.wait()
        finally:
            child.kill()
        break
    for left in folder.glob(".*.tmp"):  # a write that a kill interrupted
        left.unlink()
    path = folder / "result.json"
    if status or not path.exists():
        return {
            "job": "resumed",
            "crashed": f"`killed` ended with status {status}",
            "kills": kills,
        }
    ended = json.loads(path.read_text(encoding="utf-8"))
    return {**ended, "job": "resumed", "kills": kills}


def _wait_for(
    folder: Path, kills: Sequence[int], rng: random.Random, child: subprocess.Popen[bytes]
) -> int | None:
    """Wait for a random later log line. Returns the line count, or None if the run has ended."""
    plan, log, target = folder / PLAN, folder / LOG, None
    while child.poll() is None:
        if target is None and plan.exists():
            total = sum(json.loads(plan.read_text(encoding="utf-8")))
            start = (kills[-1] if kills else 0) + 1
            target = rng.randint(start, max(start, total - 3))
        if target is not None and _lines(log) >= target:
            return _lines(log)
        time.sleep(LOOK_EVERY_S)
    return None


def _lines(log: Path) -> int:
    try:
        return log.read_bytes().count(b"\n")
    except FileNotFoundError:
        return 0
