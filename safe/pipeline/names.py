"""How experiments, modules and files are named after one another."""

from __future__ import annotations

import re


def module_name(experiment: str) -> str:
    """`03_tiny_overfit` -> `safe.hearing.experiments.tiny_overfit`."""
    return "safe.hearing.experiments." + re.sub(r"^\d\d_", "", experiment)
