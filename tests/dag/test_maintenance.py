"""An edit that changes no result reruns nothing; one that may, reruns what depends on it.

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
import json, re
from pathlib import Path
import safe
from safe.config import load_run_config
from safe.pipeline.workflow import open_run

PARAM = r"RUN[.]((?:code|settings)(?:_of)?)[(].([a-z0-9_.]+).[)]"
root = Path.cwd()
assert Path(safe.__file__).is_relative_to(root), safe.__file__
values = load_run_config(root / "config" / "config.yaml").model_dump(mode="json")
RUN = open_run(values, root, "config/config.yaml")
found = {}
for rules in sorted((root / "workflow" / "rules").glob("*.smk")):
    for name, argument in re.findall(PARAM, rules.read_text()):
        found[f"{rules.name} {name} {argument}"] = getattr(RUN, name)(argument)
print(json.dumps(found))
"""
Params = dict[str, str]


def _params(root: Path) -> Params:
    """What `snakemake` compares with the last run, by rule file."""
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
    """Comments and line breaks go, others come."""
    for path in (tree / "safe").rglob("*.py"):
        text = ast.unparse(ast.parse(path.read_text(encoding="utf-8")))
        path.write_text(f"# A comment.\n\n{text}\n\n# The end.\n", encoding="utf-8")


def _add_a_section(tree: Path) -> None:
    config = tree / "safe" / "config"
    _edit(
        config / "models.py",
        "class AdapterConfig",
        "class UnreadConfig(Strict):\n    bits: Positive = 8\n\n\nclass AdapterConfig",
    )
    run = config / "run.py"
    _edit(run, "AdapterConfig, BaseConfig", "AdapterConfig, BaseConfig, UnreadConfig")
    _edit(run, "    @property", "    unread: UnreadConfig = UnreadConfig()\n\n    @property")


def _add_an_experiment(tree: Path) -> None:
    experiments, rules = tree / "safe" / "hearing" / "experiments", tree / "workflow" / "rules"
    shutil.copy(experiments / "sweep.py", experiments / "resweep.py")
    text = (rules / "10_sweep.smk").read_text()
    text = text.replace("10_sweep", "13_resweep").replace("measure_10", "measure_13")
    (rules / "13_resweep.smk").write_text(text)
    criteria = tree / "config" / "hearing" / "criteria"
    text = (criteria / "10_sweep.yaml").read_text().replace("10_sweep", "13_resweep")
    (criteria / "13_resweep.yaml").write_text(text.replace("id: 10.", "id: 13."))


@pytest.mark.parametrize("edit", [_edit_docstrings, _reformat, _add_a_section, _add_an_experiment])
def test_maintenance_changes_no_params(
    tree: Path, before: Params, edit: Callable[[Path], None]
) -> None:
    edit(tree)
    after = _params(tree)
    assert {key: after.get(key) for key in before} == before


def test_a_number_in_the_code_changes_what_depends_on_it(tree: Path, before: Params) -> None:
    _edit(tree / "safe" / "hearing" / "experiments" / "sweep_parts.py", "rung > 1", "rung > 2")
    after = _params(tree)
    changed = {key for key in before if after[key] != before[key]}
    assert changed == {"10_sweep.smk code_of safe.hearing.experiments.sweep_parts"}


def test_a_default_changes_the_rules_that_read_its_section(tree: Path, before: Params) -> None:
    _edit(
        tree / "safe" / "config" / "experiments.py",
        "count: int = Field(default=3",
        "count: int = Field(default=4",
    )
    after = _params(tree)
    changed = {key.split(" ")[0] for key in before if after[key] != before[key]}
    assert changed == {"11_seeds.smk"}
