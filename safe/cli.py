"""The commands `safe ...`, one function each. Heavy imports happen inside the command.

Exit status: 0 done or GO; 1 NO-GO or findings; 2 invalid input (config, data, ...).
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from safe.console import echo_json
from safe.errors import SafeError
from safe.scoring.command import app as score

if TYPE_CHECKING:
    from safe.hearing.config import RunConfig
    from safe.pipeline.config import RunSettings

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
app.add_typer(score, name="score")

Config = Annotated[Path, typer.Option("--config", help="run config (YAML, or a run's config.json)")]
RunFolder = Annotated[Path, typer.Argument(metavar="RUN_FOLDER", help="results/RUN")]
CriteriaFolder = Annotated[
    Path | None, typer.Option(help="criteria folder; by default the run's own")
]
WaiversFile = Annotated[Path | None, typer.Option(help="waivers file; by default the run's own")]
Scale = Annotated[str | None, typer.Option(help="miniature or full; by default the run's own")]
AsJson = Annotated[bool, typer.Option("--json", help="print JSON for a script to read")]


@app.command()
def world(
    root: Annotated[Path, typer.Argument(help="folder to write the datasets to")],
    seed: Annotated[int, typer.Option(min=0)] = 7,
    clips: Annotated[int, typer.Option(min=1)] = 1200,
    images: Annotated[int, typer.Option(min=1)] = 3000,
    videos: Annotated[int, typer.Option(min=1)] = 1200,
    fault: Annotated[list[str] | None, typer.Option(help="inject this fault; repeatable")] = None,
) -> None:
    """Write the miniature datasets in the public layouts; equal seeds give identical files."""
    from safe.hearing.miniature.world import write_world

    write_world(root, seed=seed, clips=clips, images=images, videos=videos, faults=fault or [])


@app.command()
def audit(
    paths: Annotated[list[Path], typer.Argument(help="annotation files, or their folder")],
    layout: Annotated[str, typer.Option(help="audiocaps, clotho, vqav2, gqa or music_avqa")],
    split_unit: Annotated[str, typer.Option(help="media, or question with --reason")] = "media",
    reason: Annotated[str | None, typer.Option(help="why a question split is allowed")] = None,
    criteria: Annotated[Path, typer.Option(help="criteria folder")] = Path(
        "config/hearing/criteria"
    ),
    as_json: AsJson = False,
) -> None:
    """Audit published annotation files without media: leakage, balance, repeated texts."""
    from safe.hearing.experiments.data_preflight.annotations import as_text, audit_annotations

    found = audit_annotations(
        layout, paths, criteria=criteria, split_unit=split_unit, reason=reason
    )
    if as_json:
        echo_json(found.as_dict())
    else:
        typer.echo(as_text(found))
    if found.decision.verdict != "GO":
        raise typer.Exit(1)


@app.command("prepare-data")
def prepare_data(config: Config) -> None:
    """Generate the miniature datasets if configured, read all datasets, write the manifest."""
    from safe.hearing.config import load_run_config
    from safe.hearing.prepare.data import prepare_data as prepare

    prepare(load_run_config(config))


@app.command("prepare-base")
def prepare_base(config: Config) -> None:
    """Load the run's frozen models, verify released ones and write base.json."""
    from safe.hearing.prepare.base import prepare_base as prepare
    from safe.pipeline.runner import check_upstream

    run = _open_hearing(config)
    check_upstream(run, ["01_data_preflight"])
    prepare(run)


@app.command("train-miniature")
def train_miniature(
    config: Config,
    out: Annotated[
        Path | None, typer.Option(help="folder; by default the installed weights")
    ] = None,
) -> None:
    """Train the miniature of a run's config from scratch, evaluate it and write its card."""
    from safe.hearing.config import load_run_config
    from safe.hearing.miniature.base import WEIGHTS
    from safe.hearing.miniature.base.train import train_miniature as train
    from safe.hearing.prepare.data import prepare_data as prepare

    run = load_run_config(config)
    prepare(run)
    folder = out or WEIGHTS
    card = train(run, folder)
    typer.echo(f"trained {card.name}: {folder / card.name}")


@app.command()
def measure(experiment: str, config: Config) -> None:
    """Run one experiment and write its measurement.json."""
    from safe.pipeline.runner import run_experiment

    run_experiment(_open(config), experiment)


@app.command("run-job")
def run_job(experiment: str, names: list[str], config: Config) -> None:
    """Run jobs of an experiment, such as cells of an ablation, one after the other."""
    from safe.gates.criteria import load_criteria
    from safe.pipeline.runner import check_upstream, run_jobs

    run = _open(config)
    criteria = load_criteria(run.criteria / f"{experiment}.yaml")
    check_upstream(run, criteria.needs)
    run_jobs(run, experiment, names)


@app.command("prepare-features")
def prepare_features(config: Config) -> None:
    """Cache the frozen models' features of all examples to train and to measure on."""
    from safe.hearing.prepare.features import prepare_features as prepare
    from safe.pipeline.runner import check_upstream

    run = _open_hearing(config)
    check_upstream(run, ["03_tiny_overfit"])
    prepare(run)


@app.command()
def judge(
    run: RunFolder,
    experiment: Annotated[str | None, typer.Argument(help="03 or 03_tiny_overfit")] = None,
    all_: Annotated[
        bool, typer.Option("--all", help="every experiment with a measurement")
    ] = False,
    criteria: CriteriaFolder = None,
    waivers: WaiversFile = None,
    scale: Scale = None,
    as_json: AsJson = False,
) -> None:
    """Judge a measurement by its criteria and write decision.json; a NO-GO is not an error."""
    from safe.gates.run import judge_experiment, measured, open_gate_run

    gates = open_gate_run(run, criteria=criteria, waivers=waivers, scale=scale)
    if all_ == (experiment is not None):
        raise typer.BadParameter("name an experiment, or give --all")
    names = measured(gates) if experiment is None else [gates.find(experiment)]
    verdicts: dict[str, str] = {}
    faults: list[SafeError] = []
    for name in names:
        try:
            verdicts[name] = judge_experiment(gates, name).verdict
        except SafeError as error:
            faults.append(error)
            continue
        if not as_json:
            typer.echo(f"{verdicts[name]} {name}")
    if as_json:
        echo_json(verdicts)
    for fault in faults:
        print(f"safe: {fault}", file=sys.stderr)
    if faults:
        raise typer.Exit(2)


@app.command()
def gate(
    run: RunFolder,
    experiment: Annotated[str, typer.Argument(help="03 or 03_tiny_overfit")],
    criteria: CriteriaFolder = None,
) -> None:
    """Write the GO token of a decision, or fail with a one-line reason."""
    from safe.gates.run import open_gate_run
    from safe.gates.token import GateClosed, check_gate

    gates = open_gate_run(run, criteria=criteria, lenient=True)
    name = gates.find(experiment)
    try:
        check_gate(gates, name)
    except GateClosed as closed:
        print(closed, file=sys.stderr)
        raise typer.Exit(1) from None
    typer.echo(f"GO {name}")


@app.command()
def launch(
    run: RunFolder,
    criteria: CriteriaFolder = None,
    waivers: WaiversFile = None,
    as_json: AsJson = False,
) -> None:
    """Judge every measurement again, then write the launch token or fail with the reasons."""
    from safe.gates.launching import check_launch
    from safe.gates.run import open_gate_run
    from safe.gates.token import GateClosed

    try:
        found = check_launch(open_gate_run(run, criteria=criteria, waivers=waivers))
    except GateClosed as closed:
        print(closed, file=sys.stderr)
        raise typer.Exit(1) from None
    if as_json:
        echo_json(found)
    else:
        typer.echo(f"launch GO: {run.name}")
        for line in found["deviations"] or []:
            typer.echo(f"  deviates from the shipped criteria: {line}")
        settings = found["settings"] or {"differences": []}
        for line in settings["differences"]:
            typer.echo(f"  differs from {settings['reference']}: {line}")
        for line in found["earlier"]:
            typer.echo(f"  earlier: {line}")


@app.command()
def sign(
    run: RunFolder,
    name: Annotated[str, typer.Option(help="name of the person who signs")],
    comment: Annotated[str, typer.Option(help="comment stored with the signature")] = "",
    criteria: CriteriaFolder = None,
    waivers: WaiversFile = None,
) -> None:
    """Sign a GO launch: copy its page, with name, time and digest of the evidence."""
    from safe.gates.run import open_gate_run
    from safe.gates.token import GateClosed
    from safe.report.sign import sign as sign_run

    try:
        folder = sign_run(
            open_gate_run(run, criteria=criteria, waivers=waivers), name=name, comment=comment
        )
    except GateClosed as closed:
        print(closed, file=sys.stderr)
        raise typer.Exit(1) from None
    typer.echo(f"signed by {name}: {folder}")


@app.command()
def report(
    run: RunFolder,
    criteria: CriteriaFolder = None,
    waivers: WaiversFile = None,
    as_json: AsJson = False,
) -> None:
    """Write launch.json and the launch checklist page, also after a NO-GO or a crash."""
    from safe.gates.run import open_gate_run
    from safe.report.page import render

    gates = open_gate_run(run, criteria=criteria, waivers=waivers, lenient=True)
    page = render(gates)
    found = json.loads((run / "launch.json").read_text(encoding="utf-8"))
    if as_json:
        echo_json(found)
    else:
        counts = Counter(row["status"] for row in found["experiments"].values())
        listed = ", ".join(f"{count} {status}" for status, count in counts.items())
        typer.echo(f"launch {found['verdict']} ({listed}): {page}")


@app.command()
def explain(
    experiment: Annotated[str | None, typer.Argument(help="03 or 03_tiny_overfit")] = None,
    run: Annotated[Path, typer.Option("--run", help="results/RUN")] = Path("results/default"),
    criteria: CriteriaFolder = None,
    waivers: WaiversFile = None,
    as_json: AsJson = False,
) -> None:
    """Explain verdicts: the deciding values, their distance to the bound, what is blocked."""
    from safe.gates.explain import as_text, explain_run
    from safe.gates.run import open_gate_run

    gates = open_gate_run(run, criteria=criteria, waivers=waivers, lenient=True)
    found = explain_run(gates, None if experiment is None else gates.find(experiment))
    if as_json:
        echo_json(found)
    else:
        typer.echo(as_text(found))


@app.command()
def power(
    config: Annotated[Path, typer.Argument(help="run config (YAML, or a run's config.json)")],
    run: Annotated[
        Path | None, typer.Option("--run", help="earlier run; by default the config's own")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List the criteria that a run of this size can decide, before it starts."""
    from safe.pipeline.definition import load_run_config
    from safe.pipeline.power import power_report

    report = power_report(load_run_config(config), run)
    if as_json:
        echo_json(report.as_dict())
    else:
        typer.echo(report.as_text())
    if report.open:
        raise typer.Exit(1)


@app.command()
def doctor(
    config: Config = Path("config/config.yaml"),
    devices: Annotated[bool, typer.Option(help="also query torch for devices (slow)")] = True,
    as_json: AsJson = False,
) -> None:
    """Check this machine: packages, devices, disk, memory, Java, datasets, hub, tracking."""
    from safe.doctor import examine

    checks = examine(config, devices=devices)
    if as_json:
        echo_json([check.as_dict() for check in checks])
    else:
        for check in checks:
            typer.echo(check.line())
    if any(check.state == "fail" for check in checks):
        raise typer.Exit(1)


def main() -> None:
    """Entry point; print a SafeError as a message and exit with status 2."""
    try:
        app()
    except SafeError as error:
        print(f"safe: {error}", file=sys.stderr)
        sys.exit(2)


def _open(config: Path) -> RunSettings:
    """Load a run's settings and check that its prepared artifacts are unchanged."""
    from safe.gates.pipeline import load_pipeline
    from safe.pipeline.definition import load_definition, load_run_config

    run = load_run_config(config)
    load_definition(load_pipeline(run.criteria).package).check_prepared(run)
    return run


def _open_hearing(config: Path) -> RunConfig:
    """Load the settings of a `hearing` run and check that its miniature datasets are unchanged."""
    from safe.hearing.config import load_run_config
    from safe.hearing.prepare.data import check_world

    run = load_run_config(config)
    check_world(run)
    return run


if __name__ == "__main__":
    main()
