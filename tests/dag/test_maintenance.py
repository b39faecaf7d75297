"""Edits that change no result rerun nothing; others rerun only what depends on them.

Each case edits a copy of the package and of the rules, and computes in a fresh process the params
that make a rule run again.
"""

from __future__ import annotations

import ast
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.paths import ROOT

PARAMS = """
import json
from pathlib import Path
import safe
from safe.pipeline.definition import load_run_config
from safe.pipeline.workflow import open_run

root = Path.cwd()
assert Path(safe.__file__).is_relative_to(root), safe.__file__
values = load_run_config(root / "config" / "config.yaml").model_dump(mode="json")
RUN = open_run(values, root, "config/config.yaml")
found = {}
for name, declared in RUN.declared.items():
    found[f"{name} measure settings"] = RUN.settings(declared.reads)
    found[f"{name} measure code"] = RUN.code(name, "measure")
    if declared.jobs is not None:
        found[f"{name} jobs settings"] = RUN.settings(declared.job_reads)
        found[f"{name} jobs code"] = RUN.code(name, "jobs")
print(json.dumps(found))
"""
Params = dict[str, str]


def _params(root: Path) -> Params:
    """Params by rule, which Snakemake compares with those of the last run."""
    done = subprocess.run(
        [sys.executable, "-c", PARAMS],
        cwd=root,
        env=os.environ | {"PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found: Params = json.loads(done.stdout)
    return found


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in ("safe", "config", "workflow"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, tmp_path / name, ignore=ignored)
    return tmp_path


@pytest.fixture(scope="module")
def before() -> Params:
    return _params(ROOT)


def _edit(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text, (path, old)
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


def _edit_docstrings(tree: Path) -> None:
    for path in (tree / "safe").rglob("*.py"):
        if path.read_text(encoding="utf-8").startswith('"""'):
            _edit(path, '"""', '"""Another first sentence. ')


def _reformat(tree: Path) -> None:
    """Remove all comments and formatting, and add other comments."""
    for path in (tree / "safe").rglob("*.py"):
        text = ast.unparse(ast.parse(path.read_text(encoding="utf-8")))
        path.write_text(f"# A comment.\n\n{text}\n\n# The end.\n", encoding="utf-8")


def _add_section(tree: Path) -> None:
    config = tree / "safe" / "hearing" / "config"
    _edit(
        config / "models.py",
        "class AdapterConfig",
        "class UnreadConfig(Strict):\n    bits: Positive = 8\n\n\nclass AdapterConfig",
    )
    run = config / "run.py"
    _edit(run, "AdapterConfig, BaseConfig", "AdapterConfig, BaseConfig, UnreadConfig")
    section = "    unread: UnreadConfig = UnreadConfig()\n"
    _edit(run, "    held_out: HeldOutConfig", f"{section}    held_out: HeldOutConfig")


def _add_experiment(tree: Path) -> None:
    experiments = tree / "safe" / "hearing" / "experiments"
    shutil.copytree(experiments / "tiny_overfit", experiments / "refit")
    _edit(experiments / "refit" / "config.py", '"tiny_overfit"', '"refit"')
    _edit(experiments / "refit" / "__init__.py", "tiny_overfit.config", "refit.config")
    criteria = tree / "config" / "hearing" / "criteria"
    text = (criteria / "03_tiny_overfit.yaml").read_text().replace("03_tiny_overfit", "13_refit")
    (criteria / "13_refit.yaml").write_text(text.replace("id: 03.", "id: 13."))


@pytest.mark.parametrize("edit", [_edit_docstrings, _reformat, _add_section, _add_experiment])
def test_maintenance_edit_changes_no_params(
    tree: Path, before: Params, edit: Callable[[Path], None]
) -> None:
    edit(tree)
    after = _params(tree)
    assert {key: after.get(key) for key in before} == before


def test_changed_constant_changes_only_dependent_params(tree: Path, before: Params) -> None:
    jobs = tree / "safe" / "hearing" / "experiments" / "sweep" / "jobs.py"
    _edit(jobs, "rung > 1", "rung > 2")
    after = _params(tree)
    changed = {key for key in before if after[key] != before[key]}
    assert changed == {"10_sweep jobs code"}


def test_changed_default_changes_only_rules_that_read_it(tree: Path, before: Params) -> None:
    _edit(
        tree / "safe" / "hearing" / "experiments" / "seeds" / "config.py",
        "count: int = Field(default=3",
        "count: int = Field(default=4",
    )
    after = _params(tree)
    changed = {key for key in before if after[key] != before[key]}
    assert changed == {"11_seeds measure settings", "11_seeds jobs settings"}
