"""Sections of the config: declared once, taken by the rule and by `safe measure` alike."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from safe.config import RunConfig, load_run_config
from safe.digest import PACKAGE
from safe.errors import ConfigError
from safe.pipeline.names import module_name
from safe.pipeline.reads import experiment_digest, reads, settings_digest
from tests.paths import ROOT

RULES = sorted((ROOT / "workflow" / "rules").glob("[0-9][0-9]_*.smk"))
# A change to these reaches an experiment through the manifest or base.json; the others say where
# and how fast a run is computed, not what comes out.
NOT_DECLARED = {"datasets", "base", "cache", "threads", "run", "results", "criteria"}


@pytest.fixture(scope="module")
def config() -> RunConfig:
    return load_run_config(ROOT / "config" / "config.yaml")


@pytest.mark.parametrize("rule", RULES, ids=lambda path: path.stem)
def test_what_a_module_reads_is_declared(rule: Path) -> None:
    module = module_name(rule.stem)
    for name in (module, f"{module}_parts"):
        file = PACKAGE / "hearing" / "experiments" / f"{name.rsplit('.', 1)[1]}.py"
        if file.is_file():
            read = set(re.findall(r"\bconfig\.(\w+)", file.read_text(encoding="utf-8")))
            read &= set(RunConfig.model_fields)
            assert read - NOT_DECLARED <= set(reads(name)), name


def test_an_edit_counts_where_the_section_is_read(config: RunConfig) -> None:
    other = config.model_copy(update={"sweep": config.sweep.model_copy(update={"margin": 0.04})})
    changed = {
        rule.stem
        for rule in RULES
        if experiment_digest(config, rule.stem) != experiment_digest(other, rule.stem)
    }
    assert changed == {"10_sweep", "11_seeds"}


def test_sections_of_the_parts_belong_to_the_experiment(config: RunConfig) -> None:
    assert "retention" in reads("safe.hearing.experiments.retention")
    other = config.model_copy(update={"device": "cuda"})
    assert "device" not in reads("safe.hearing.experiments.retention")
    assert experiment_digest(config, "09_retention") != experiment_digest(other, "09_retention")


def test_order_of_the_sections_does_not_matter(config: RunConfig) -> None:
    assert settings_digest(config, ["seed", "sweep"]) == settings_digest(config, ["sweep", "seed"])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "does not say which sections"),
        ('READS = ["seed"]\n', "not a tuple"),
        ("READS = tuple(NAMES)\n", "not a tuple"),
        ('READS = ("sed",)\n', "unknown sections: sed"),
    ],
)
def test_a_faulty_declaration_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, words: str
) -> None:
    (tmp_path / "listening.py").write_text(text)
    monkeypatch.setattr("safe.digest.PACKAGE", tmp_path)
    with pytest.raises(ConfigError, match=words):
        reads("safe.listening")
    with pytest.raises(ConfigError, match="no module"):
        reads("safe.absent")
