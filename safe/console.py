"""Output of commands."""

from __future__ import annotations

import json

import typer


def echo_json(value: object) -> None:
    """Print `value` as JSON to stdout."""
    typer.echo(json.dumps(value, indent=2, sort_keys=True, allow_nan=False))
