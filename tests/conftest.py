"""Trained runs shared by the tests of experiments and sabotages, and test distribution.

This file's location also makes the helper modules in `tests` importable from every folder.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

from safe.hearing.config import RunConfig
from tests import faults

# Test files that share a trained run form one group; every other file is its own group.
GROUPS = {
    "test_evaluation_harness": "harness",
    "test_harness": "harness",
    "test_curriculum": "curriculum",
    "test_retention": "curriculum",
    "test_sweep": "sweep",
    "test_seeds": "sweep",
    "test_rl_gate": "policy",
    "test_dag": "smoke",
    "test_sabotage_dag": "smoke",
    "test_pipelines": "smoke",
}
LONGEST_FIRST = ("dag", "sabotage", "experiments")  # folders whose tests train


class GroupScheduling(LoadScopeScheduling):
    """Run all tests of a group on one worker, so that shared runs are trained once."""

    def _split_scope(self, nodeid: str) -> str:
        stem = Path(nodeid.split("::", 1)[0]).stem
        return GROUPS.get(stem, stem)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> GroupScheduling:
    """Distribute tests by group."""
    return GroupScheduling(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put long tests first; short ones fill the remaining time."""
    items.sort(key=lambda item: item.path.parent.name not in LONGEST_FIRST)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--catalogue", type=Path, help="write the catalogue of planted faults here")


def pytest_configure(config: pytest.Config) -> None:
    path = config.getoption("--catalogue")
    if path is not None and not hasattr(config, "workerinput"):
        config.pluginmanager.register(faults.Catalogue(path))


def pytest_runtest_setup() -> None:
    faults.start()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> None:
    """Attach the row of a planted fault to the report, which xdist sends to the controller."""
    row = faults.row_of(item) if call.when == "call" else None
    if row is not None:
        item.user_properties.append(("fault", row))


@pytest.fixture(scope="session")
def gating_run(tmp_path_factory: pytest.TempPathFactory) -> RunConfig:
    """Tiny run with the trained pilot, for 05."""
    from tests.tiny_gating import make_gating_run

    return make_gating_run(tmp_path_factory.mktemp("gated"))


@pytest.fixture(scope="session")
def harness_run(tmp_path_factory: pytest.TempPathFactory) -> RunConfig:
    """`gating_run` with its gate, for 07."""
    from tests.tiny_harness import make_harness_run

    return make_harness_run(tmp_path_factory.mktemp("asked"))


@pytest.fixture(scope="session")
def curriculum_run(tmp_path_factory: pytest.TempPathFactory) -> RunConfig:
    """`gating_run` with its gate and a curriculum, for 08 and 09."""
    from tests.tiny_curriculum import make_curriculum_run

    return make_curriculum_run(tmp_path_factory.mktemp("curriculum"))


@pytest.fixture(scope="session")
def trained_curriculum_run(curriculum_run: RunConfig) -> RunConfig:
    """All jobs of 08 trained; tests that modify them must restore them."""
    from safe.files import write_json
    from safe.hearing.experiments.curriculum.plan import JOBS
    from safe.pipeline.runner import run_job

    write_json(curriculum_run.folder / "config.json", curriculum_run.model_dump(mode="json"))
    for job in JOBS:
        run_job(curriculum_run, "08_curriculum", job)
    return curriculum_run


@pytest.fixture(scope="session")
def trained_retention_run(curriculum_run: RunConfig) -> RunConfig:
    """All jobs of 09 trained; tests that modify them must restore them."""
    from safe.hearing.experiments import training_setup
    from safe.hearing.experiments.retention.plan import START, names
    from safe.pipeline.runner import run_jobs
    from tests.tiny_curriculum import teacher_forced

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training_setup, "teacher_forced", teacher_forced)
        run_jobs(curriculum_run, "09_retention", [START, *names(curriculum_run)])
    return curriculum_run


@pytest.fixture(scope="session")
def trained_sweep_run(tmp_path_factory: pytest.TempPathFactory) -> RunConfig:
    """All cells of 10 trained; tests that modify them must restore them."""
    from safe.hearing.experiments import training_setup
    from safe.hearing.experiments.sweep.plan import rounds
    from safe.pipeline.runner import run_jobs
    from tests.tiny_curriculum import teacher_forced
    from tests.tiny_sweep import make_sweep_run

    config = make_sweep_run(tmp_path_factory.mktemp("swept"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training_setup, "teacher_forced", teacher_forced)
        run_jobs(config, "10_sweep", rounds(config.sweep)[0])
    return config


@pytest.fixture(scope="session")
def trained_seeds_run(trained_sweep_run: RunConfig) -> RunConfig:
    """All seeds of 11 trained on the selection of 10; tests that modify them must restore them."""
    from safe.files import write_json
    from safe.hearing.experiments import training_setup
    from safe.hearing.experiments.seeds.plan import names
    from safe.pipeline.runner import run_jobs
    from tests.judging import decide, measurement_of, run
    from tests.tiny_curriculum import teacher_forced

    folder = trained_sweep_run.folder / "10_sweep"
    context, metrics = run(trained_sweep_run, "10_sweep", folder)
    found = measurement_of(trained_sweep_run, "10_sweep", metrics)
    write_json(folder / "measurement.json", found.model_dump(mode="json"))
    decision = decide(trained_sweep_run, "10_sweep", metrics, context)
    write_json(folder / "decision.json", decision.model_dump(mode="json"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training_setup, "teacher_forced", teacher_forced)
        run_jobs(trained_sweep_run, "11_seeds", names(trained_sweep_run))
    return trained_sweep_run


@pytest.fixture(scope="session")
def policy_run(tmp_path_factory: pytest.TempPathFactory) -> RunConfig:
    """Adapters and outcomes of 12; tests that modify them must restore them."""
    from safe.hearing.experiments.rl_gate.plan import OUTCOMES, trainings
    from safe.pipeline.runner import run_jobs
    from tests.tiny_policy import EXPERIMENT, make_policy_run, set_fixed_seconds

    config = make_policy_run(tmp_path_factory.mktemp("policy"))
    run_jobs(config, EXPERIMENT, trainings(config))
    run_jobs(config, EXPERIMENT, [OUTCOMES])
    set_fixed_seconds(config)
    return config
