"""requirements.lock, environment.yml and pyproject.toml have the same versions."""

import re
import tomllib

import yaml

from tests.paths import ROOT


def _name(text: str) -> str:
    return re.split(r"[=<>\[ ]", text, maxsplit=1)[0].lower().replace("_", "-")


def _lock() -> dict[str, str]:
    lines = (ROOT / "requirements.lock").read_text().split()
    return {_name(line): line.split("==")[1] for line in lines}


def _conda() -> dict[str, str]:
    parts = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    pins = next(p["pip"] for p in parts if isinstance(p, dict))
    return {_name(pin): pin.split("==")[1] for pin in pins}


def test_every_line_of_the_lock_is_an_exact_pin() -> None:
    for line in (ROOT / "requirements.lock").read_text().split():
        assert re.fullmatch(r"[A-Za-z0-9_.-]+==[0-9][A-Za-z0-9.]*", line), line


def test_conda_environment_has_the_versions_of_the_lock() -> None:
    lock = _lock()
    assert _conda() == {name: lock[name] for name in _conda()}


def test_dependencies_of_the_package_are_pinned_in_both() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    needed = {_name(n) for n in project["dependencies"] + extras["dev"] + extras["tracking"]}
    assert needed <= set(_lock())
    assert needed <= set(_conda())
