"""One run is held by one process at a time, and by none that is dead."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from safe.config import load_run_config
from safe.errors import ConfigError
from safe.workflow import Run

ROOT = Path(__file__).parents[1]

HOLDER = """
import sys, time
from pathlib import Path
from safe.config import load_run_config
from safe.workflow import Run
config = load_run_config(Path(sys.argv[1])).model_copy(update={"results": Path(sys.argv[2])})
Run(config, Path(".")).hold()
print("held", flush=True)
time.sleep(60)
"""


def test_a_second_process_is_refused_until_the_first_is_dead(tmp_path: Path) -> None:
    path = ROOT / "config" / "config.yaml"
    run = Run(load_run_config(path).model_copy(update={"results": tmp_path}), ROOT)
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path), str(tmp_path)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(ConfigError, match=f"in process {holder.pid}"):
            run.hold()
    finally:
        holder.send_signal(signal.SIGKILL)
        holder.wait()
        holder.stdout.close()  # type: ignore[union-attr]
    os.close(run.hold())


def test_a_miniatures_parts_share_two_jobs_and_others_have_their_own(tmp_path):
    names = ["a", "b", "c", "d", "e"]
    config = load_run_config(ROOT / "config" / "config.yaml")
    assert Run(config, ROOT).jobs(names) == [["a", "d", "e"], ["b", "c"]]
    assert Run(config, ROOT).jobs(["a"]) == [["a"]]
    full = config.model_copy(update={"scale": "full"})
    assert Run(full, ROOT).jobs(names) == [["a"], ["b"], ["c"], ["d"], ["e"]]


def test_launch_waits_for_the_required_and_shows_the_optional() -> None:
    run = Run(load_run_config(ROOT / "config" / "config.yaml"), ROOT)
    assert len(run.required) == 11
    assert run.optional == ["12_rl_gate"]
    assert sorted(run.required + run.optional) == run.experiments
