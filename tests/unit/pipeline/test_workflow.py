"""A run is locked by one process at a time, and reports its power at the start."""

from __future__ import annotations

import importlib.util
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from safe.errors import ConfigError
from safe.hearing.config import load_run_config
from safe.hearing.experiments.retention.config import RetentionSettings
from safe.pipeline.workflow import Run
from tests.paths import ROOT
from tests.unit.gates.builders import UNDERPOWERED, assume_seed_sd

HOLDER = """
import sys, time
from pathlib import Path
from safe.hearing.config import load_run_config
from safe.pipeline.workflow import Run
config = load_run_config(Path(sys.argv[1])).model_copy(update={"results": Path(sys.argv[2])})
Run(config, Path(".")).hold()
print("held", flush=True)
time.sleep(60)
"""


def test_second_process_is_refused_until_the_first_is_dead(tmp_path: Path) -> None:
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
    run.hold().release()


def test_jobs_do_not_depend_on_the_number_of_cores() -> None:
    """Only the threads of a measurement depend on it, and they rerun nothing."""
    files = [ROOT / "Snakefile", *sorted((ROOT / "workflow" / "rules").glob("*.smk"))]
    files += sorted((ROOT / "safe" / "pipeline").glob("*.py"))
    readers = [f.name for f in files if re.search(r"workflow\.cores|cpu_count", f.read_text())]
    assert readers == ["experiments.smk", "runner.py"]  # the runner records it as environment
    run = Run(load_run_config(ROOT / "config" / "config.yaml"), ROOT)
    assert [e for e in run.experiments if run.measure_threads(e, 64) == 64] == ["06_efficiency"]


def test_more_cores_make_a_run_faster(tmp_path: Path) -> None:
    """Uses the seconds of a finished run in which every job took ten."""
    spec = importlib.util.spec_from_file_location("packing", ROOT / "benchmarks" / "packing.py")
    assert spec is not None
    assert spec.loader is not None
    packing = importlib.util.module_from_spec(spec)
    sys.modules["packing"] = packing  # its dataclass looks up its own module
    spec.loader.exec_module(packing)
    (tmp_path / "benchmarks").mkdir()
    jobs = packing.jobs_of(Run(load_run_config(ROOT / "config" / "config.yaml"), ROOT))
    assert all(need in jobs for job in jobs.values() for need in job.needs)
    for job in jobs:
        (tmp_path / "benchmarks" / f"{job}.tsv").write_text("s\th:m:s\n10.0\t0:00:10\n")
    seconds = packing.read_seconds(tmp_path, jobs)
    assert packing.makespan(jobs, seconds, 1) == pytest.approx(10 * len(jobs))
    times = [packing.makespan(jobs, seconds, cores) for cores in (1, 2, 4)]
    assert times == sorted(times, reverse=True)
    assert times[2] < times[0] * 0.8
    (tmp_path / "benchmarks" / "measure_12.tsv").unlink()
    with pytest.raises(SystemExit, match="measure_12"):
        packing.read_seconds(tmp_path, jobs)


def test_launch_requires_11_experiments_and_12_is_optional() -> None:
    run = Run(load_run_config(ROOT / "config" / "config.yaml"), ROOT)
    assert len(run.required) == 11
    assert run.optional == ["12_rl_gate"]
    assert sorted(run.required + run.optional) == run.experiments


def default_run(results: Path, **changes: object) -> Run:
    config = load_run_config(ROOT / "config" / "config.yaml")
    criteria = {"criteria": ROOT / "config" / "hearing" / "criteria", "results": results}
    return Run(config.model_copy(update=criteria | changes), ROOT)


def test_power_line_reports_what_the_run_can_decide(tmp_path: Path) -> None:
    criteria = assume_seed_sd(tmp_path / "criteria", **UNDERPOWERED)
    line = default_run(tmp_path, criteria=criteria).power_line()
    assert "\n" not in line
    assert line.startswith("power: ")
    assert "11.audio_sd passes by luck (" in line
    assert line.endswith(f"see `safe power {tmp_path}/default/config.json`")


def test_miniature_run_is_never_refused(tmp_path: Path) -> None:
    retention = RetentionSettings(vl_items=100)
    line = default_run(tmp_path, retention=retention).power_line()
    assert "09.null_space cannot be decided (n = 300 is below min_n = 500)" in line
    folder = tmp_path / "default" / "11_seeds"
    folder.mkdir(parents=True)
    (folder / "measurement.json").write_text("{")
    line = default_run(tmp_path).power_line()
    assert "\n" not in line
    assert line.startswith("power: not computed: ")
    assert "measurement.json" in line


def test_full_run_that_cannot_decide_is_refused_unless_allowed(tmp_path: Path) -> None:
    small = {"scale": "full", "retention": RetentionSettings(vl_items=100)}
    with pytest.raises(ConfigError, match=r"(?s)09\.null_space: n = 300.*allow_underpowered: true"):
        default_run(tmp_path, **small).power_line()
    allowed = default_run(tmp_path, **small, allow_underpowered=True).power_line()
    assert "09.null_space cannot be decided" in allowed
    # Unknown power is not refused.
    assert "unknown" in default_run(tmp_path, scale="full").power_line()
