"""Modules that only read results import no torch, not even inside functions."""

from __future__ import annotations

import ast

import pytest

from safe.digest import code_modules, parse_module

HEAVY = {"torch", "torchvision", "transformers", "peft", "accelerate", "safetensors", "datasets"}
LIGHT = [
    "safe.pipeline.runner",
    "safe.hearing.experiments.curriculum.measure",
    "safe.hearing.experiments.sweep.measure",
    "safe.hearing.experiments.seeds.measure",
    "safe.gates.run",
    "safe.gates.token",
    "safe.gates.launching",
    "safe.gates.planning",
    "safe.hearing.planned",
    "safe.report.page",
    "safe.pipeline.workflow",
]


def _imported(module: str) -> set[str]:
    tree = parse_module(module)
    assert tree is not None
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {name.name.split(".")[0] for name in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.split(".")[0])
    return found


@pytest.mark.parametrize("module", LIGHT)
def test_reading_results_needs_no_torch(module: str) -> None:
    heavy = {name: _imported(name) & HEAVY for name in code_modules(module)}
    assert {name: found for name, found in heavy.items() if found} == {}
