"""Render results/RUN/launch_checklist.html, a self-contained file."""

from __future__ import annotations

from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from safe.files import write_text
from safe.gates.run import GateRun
from safe.gates.signatures import PAGE
from safe.gates.status import write_launch
from safe.report.view import build


def render(run: GateRun) -> Path:
    """Write launch.json and the page, also for failed or unfinished runs.

    Returns:
        The path of the page.

    Raises:
        SafeError: the folder is not writable.
    """
    launch = write_launch(run)
    environment = Environment(
        loader=PackageLoader("safe.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    loader = environment.loader
    assert loader is not None
    style = Markup(loader.get_source(environment, "checklist.css")[0])  # noqa: S704  # our own
    view = build(run, launch)
    page = run.folder / PAGE
    write_text(page, environment.get_template("checklist.html.j2").render(style=style, **view))
    return page
