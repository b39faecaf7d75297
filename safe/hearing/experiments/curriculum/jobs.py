"""The runs of experiment 08, each as a process of its own does it.

`normal` goes through the stages an epoch each; `extension` meets a stage that must be extended
once and one that no extension helps, where it must stop; `resumed` has `killed`, which is `normal`
once more in a process of its own, killed at random moments and started again until it ends. Each
leaves below 08_curriculum/jobs/NAME: result.json, log.jsonl.

Torch is imported where a run is trained (`curriculum_rehearsal`): whoever kills one needs none.
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
LOOK_EVERY_S = 0.005  # at the log of the run that is to be killed


def prepare(context: Context, wanted: Sequence[str]) -> None:
    """Nothing is shared: each job is to begin as a process of its own does.

    Raises:
        ConfigError: there is no such job.
    """
    for job in wanted:
        if job not in (*JOBS, "killed"):
            raise ConfigError(f"no job {job!r}", hint=f"name one of {', '.join(JOBS)}")


def run(context: Context, job: str, bench: None = None) -> dict[str, Any]:
    """Go through one job. Returns what result.json holds."""
    if job == "resumed":
        return _killed_and_resumed(context)
    from safe.hearing.experiments.curriculum.rehearsal import rehearse

    try:
        return rehearse(context, job)
    except ConfigError:
        raise  # nothing was trained: the settings are to be mended
    except Exception as error:  # whatever it is, it is what this experiment looks for
        text = traceback.format_exc()
        (context.folder / "crash.txt").write_text(text, encoding="utf-8")
        return {"job": job, "crashed": f"{type(error).__name__}: {error}"}


def _killed_and_resumed(context: Context) -> dict[str, Any]:
    """Have `killed` run, kill it, start it again; it ends when it is no longer killed."""
    config = context.config
    folder = context.folder.parent / "killed"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    rng = random.Random(config.seed)
    # Not `safe run-job`: whether this experiment may run has been asked.
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
    """Lines of the log when a random moment of what is left has come; None: it ended before."""
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
