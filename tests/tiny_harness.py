"""The tiny gating run with a gate, for experiment 07."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import yaml

from safe.hearing.config import RunConfig, parse_run_config
from safe.hearing.context import Context
from safe.hearing.experiments.evaluation_harness.measure import GATING
from safe.hearing.experiments.gating.measure import measure
from tests.tiny_gating import make_gating_run

EXPERIMENT = "07_evaluation_harness"


def make_harness_run(root: Path, steps: int | None = None) -> RunConfig:
    """Return the gating run with experiment 05 measured and an empty table of references."""
    config = make_gating_run(root, steps)
    measure(Context(config=config, folder=config.folder / GATING))
    config = changed(
        config,
        references=str(root / "references.yaml"),
        repeated_items=64,
        sweep_items=512,
        snr_db=[10.0, -10.0],
        clipping=[0.1],
        sampling_rates=[4000],
    )
    write_references(config, [])
    return config


def reference(config: RunConfig, value: float, **fields: object) -> dict[str, object]:
    """A reference figure of the tiny base on its audio questions."""
    return {
        "id": "tiny.audio",
        "model": config.base.vlm,
        "dataset": "tiny",
        "split": "test",
        "figure": "accuracy/audio",
        "value": value,
        "tolerance": 0.005,
        "source": "measured in this very test, by the metric itself",
        **fields,
    }


def write_references(config: RunConfig, references: list[dict[str, object]]) -> None:
    path = Path(config.evaluation.references)
    path.write_text(yaml.safe_dump({"references": references}), encoding="utf-8")


def changed(config: RunConfig, **evaluation: object) -> RunConfig:
    """Return the run with other settings of the experiment."""
    values = config.model_dump(mode="json")
    values["evaluation"] |= evaluation
    return parse_run_config(values, "tests/tiny_harness.py")


def with_threshold(config: RunConfig, threshold: float) -> None:
    """Overwrite the gate's threshold."""
    from safe.hearing.models.gate_file import load_gate, read_gate, save_gate

    path = config.folder / GATING / "gate.json"
    gate = dataclasses.replace(load_gate(path), threshold=threshold)
    save_gate(path, gate, read_gate(path).chosen_on)
