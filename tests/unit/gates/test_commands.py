"""`safe judge`, `gate` and `explain` as users and rules call them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from safe.cli import app
from safe.errors import ConfigError, EvidenceError
from safe.gates.schema import Metric
from tests.unit.gates.builders import CRITERIA, NAMES, ROOT, make_run

BAD_LOSS = Metric(name="loss", value=0.21, unit="nats", n=512, provenance="measured")
HEAVY = [
    "torch",
    "transformers",
    "scipy",
    "statsmodels",
    "numpy",
    "pandas",
    "pyarrow",
    "matplotlib",
    "duckdb",
    "jinja2",
]


def safe(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(a) for a in arguments])


def test_judge_then_gate_prints_go_and_writes_the_token(run: Path) -> None:
    for path in run.rglob("decision.json"):
        path.unlink()
    assert safe("judge", run, "01").output == "GO 01_data_preflight\n"
    done = safe("judge", run, "--all", "--json")
    assert json.loads(done.output) == dict.fromkeys(NAMES, "GO")
    assert safe("gate", run, "03_tiny_overfit").output == "GO 03_tiny_overfit\n"
    assert (run / "03_tiny_overfit" / "GO").is_file()


def test_no_go_exits_0_from_judge_and_1_from_gate(tmp_path: Path) -> None:
    run = make_run(tmp_path / "a run", replace={"03.loss": BAD_LOSS})
    judged = safe("judge", run, "03")
    assert (judged.exit_code, judged.output) == (0, "NO-GO 03_tiny_overfit\n")
    closed = safe("gate", run, "03")
    assert closed.exit_code == 1
    assert closed.stderr == "NO-GO 03_tiny_overfit: 03.loss = 0.21 nats, needs <= 0.05\n"


def test_scale_option_overrides_the_runs_scale(run: Path) -> None:
    assert safe("judge", run, "02", "--scale", "full").output == "NO-GO 02_base_parity\n"
    assert safe("judge", run, "02").output == "GO 02_base_parity\n"


def test_judge_all_judges_the_rest_and_fails_for_a_broken_measurement(run: Path) -> None:
    (run / NAMES[0] / "measurement.json").write_text("{")
    done = safe("judge", run, "--all")
    assert done.exit_code == 2
    assert "GO 02_base_parity\nGO 03_tiny_overfit\n" in done.stdout
    assert "broken JSON" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (("judge", "{run}", "03_tiny_overfits"), ConfigError, "did you mean `03_tiny_overfit`"),
        (("judge", "{run}", "../../etc"), ConfigError, "no experiment"),
        (("gate", "{run}", "../../etc"), ConfigError, "no experiment"),
        (("judge", "{run}", "04"), SystemExit, "no such file"),
        (("gate", "{run}", "04"), EvidenceError, "safe judge"),
        (("judge", "{run}/none", "01"), EvidenceError, "--scale"),
        (("judge", "{run}", "01", "--scale", "tiny"), ConfigError, "full or miniature"),
        (("judge", "{run}", "01", "--waivers", "none.yaml"), SystemExit, "none.yaml"),
    ],
)
def test_invalid_argument_is_named(
    run: Path, arguments: tuple[str, ...], error: type[BaseException], message: str
) -> None:
    done = safe(*[a.format(run=run) for a in arguments])
    assert done.exit_code != 0
    assert isinstance(done.exception, error)
    assert message in f"{done.exception} {done.stderr}"


def test_judge_requires_either_an_experiment_or_all(run: Path) -> None:
    assert safe("judge", run).exit_code == 2
    assert safe("judge", run, "01", "--all").exit_code == 2


def test_explain_shows_value_distance_and_unblocked_experiments(tmp_path: Path) -> None:
    run = make_run(tmp_path / "r", replace={"03.loss": BAD_LOSS})
    text = safe("explain", "03", "--run", run).output
    assert "03.loss = 0.21 nats, needs <= 0.05" in text
    assert "0.16 from its bound" in text
    assert "would unblock: 04_stage_a_pilot, 05_gating" in text
    [entry] = json.loads(safe("explain", "03", "--run", run, "--json").output)
    assert entry["status"] == "no-go"
    assert entry["criteria"][0]["margin"] == pytest.approx(-0.16)
    assert len(entry["unblocks"]) == 9
    short = safe("explain", "--run", run).output
    assert "01_data_preflight: go" in short
    assert "01.files_load" not in short


def test_explain_shows_the_summary_of_a_metrics_detail(tmp_path: Path) -> None:
    loss = BAD_LOSS.model_copy(update={"detail": {"summary": "Half of it is padding."}})
    run = make_run(tmp_path / "r", replace={"03.loss": loss})
    assert "      Half of it is padding.\n" in safe("explain", "03", "--run", run).output
    assert "padding" not in safe("explain", "--run", run).output
    [entry] = json.loads(safe("explain", "03", "--run", run, "--json").output)
    assert [c["summary"] for c in entry["criteria"][:2]] == ["Half of it is padding.", None]


def test_entry_point_prints_a_known_error_without_traceback(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "safe", "judge", str(tmp_path), "01"],
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("safe: ")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("command", ["judge", "gate", "explain", "report"])
def test_commands_start_without_heavy_imports(run: Path, command: str) -> None:
    arguments = {"explain": ["explain", "03", "--run", str(run)], "report": ["report", str(run)]}
    words = arguments.get(command, [command, str(run), "03"])
    heavy = [m for m in HEAVY if m != "jinja2" or command != "report"]
    code = (
        f"import sys; sys.argv = ['safe', *{words!r}]\n"
        "from safe.cli import main\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert not end.code, end.code\n"
        f"loaded = sorted(set({heavy!r}) & set(sys.modules))\n"
        "sys.exit(f'imported: {loaded}' if loaded else 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_criteria_are_found_from_the_runs_config(run: Path) -> None:
    assert json.loads((run / "config.json").read_text())["criteria"] == str(CRITERIA)
