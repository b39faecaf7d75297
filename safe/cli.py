"""`safe ...`: thin, one function a command. Heavy imports happen inside the command.

Exit status: 0 done or GO; 1 NO-GO or findings; 2 a fault in what was given (config, data, ...).
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from safe.errors import SafeError

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)

Config = Annotated[Path, typer.Option("--config", help="run config (YAML, or a run's config.json)")]
AsJson = Annotated[bool, typer.Option("--json", help="print JSON for a script to read")]


@app.command()
def world(
    root: Annotated[Path, typer.Argument(help="folder to write the datasets to")],
    seed: Annotated[int, typer.Option(min=0)] = 7,
    clips: Annotated[int, typer.Option(min=1)] = 1200,
    images: Annotated[int, typer.Option(min=1)] = 3000,
    videos: Annotated[int, typer.Option(min=1)] = 900,
    fault: Annotated[list[str] | None, typer.Option(help="plant this fault; repeatable")] = None,
) -> None:
    """Write the miniature world in the public layouts: same seed, same bytes."""
    from safe.data.world import write_world

    write_world(root, seed=seed, clips=clips, images=images, videos=videos, faults=fault or [])


@app.command("prepare-data")
def prepare_data(config: Config) -> None:
    """Generate the world if the run has one, read every dataset, write the manifest."""
    from safe.config import load_run_config
    from safe.data.prepare import prepare_data as prepare

    prepare(load_run_config(config))


@app.command("prepare-base")
def prepare_base(config: Config) -> None:
    """Train the miniature base and ear, or open the given ones; write base.json."""
    from safe.config import load_run_config
    from safe.training.prepare_base import prepare_base as prepare

    prepare(load_run_config(config))


@app.command()
def measure(experiment: str, config: Config) -> None:
    """Run one experiment and write its measurement.json."""
    from safe.config import load_run_config
    from safe.experiments.runner import run_experiment

    run_experiment(load_run_config(config), experiment)


def main() -> None:
    """Entry point: a SafeError becomes one clear message and exit status 2."""
    try:
        app()
    except SafeError as error:
        print(f"safe: {error}", file=sys.stderr)
        sys.exit(2)


def echo_json(value: object) -> None:
    """Print `value` as JSON to stdout."""
    typer.echo(json.dumps(value, indent=2, sort_keys=True, allow_nan=False))


if __name__ == "__main__":
    main()
