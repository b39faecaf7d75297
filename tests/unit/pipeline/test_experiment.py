"""Declarations of experiments: the sections that they read, and job groups."""

from __future__ import annotations

import pytest

from safe.errors import ConfigError
from safe.hearing.config import RunConfig, load_run_config
from safe.pipeline.config import restrict, settings_digest
from safe.pipeline.definition import built_experiments, load_experiment
from safe.pipeline.experiment import JobGroup, pack, unpack
from safe.pipeline.runner import experiment_digest, run_experiment, run_jobs
from safe.pipeline.workflow import Run
from tests.paths import ROOT


@pytest.fixture(scope="module")
def config() -> RunConfig:
    return load_run_config(ROOT / "config" / "config.yaml")


def test_every_experiment_declares_existing_sections(config: RunConfig) -> None:
    run = Run(config, ROOT)
    assert len(run.experiments) == len(built_experiments("safe.hearing")) == 12
    for declared in run.declared.values():
        assert {*declared.reads, *declared.job_reads} <= set(type(config).model_fields)
        assert (declared.job_reads == ()) == (declared.jobs is None)


def test_edited_section_changes_only_experiments_that_read_it(config: RunConfig) -> None:
    other = config.model_copy(update={"sweep": config.sweep.model_copy(update={"steps": 401})})
    changed = {
        name
        for name in Run(config, ROOT).experiments
        if experiment_digest(config, name) != experiment_digest(other, name)
    }
    assert changed == {"10_sweep", "11_seeds"}


def test_sections_of_the_jobs_belong_to_the_experiment(config: RunConfig) -> None:
    declared = load_experiment("safe.hearing", "09_retention")
    assert "device" not in declared.reads
    other = config.model_copy(update={"device": "cuda"})
    assert experiment_digest(config, "09_retention") != experiment_digest(other, "09_retention")


def test_order_of_the_sections_does_not_matter(config: RunConfig) -> None:
    assert settings_digest(config, ["seed", "sweep"]) == settings_digest(config, ["sweep", "seed"])


def test_undeclared_section_is_refused_when_it_is_read(config: RunConfig) -> None:
    seen = restrict(config, ["stage_a"], "10_sweep")
    assert isinstance(seen, RunConfig)
    assert seen.stage_a == config.stage_a
    assert (seen.seed, seen.folder) == (config.seed, config.folder)
    with pytest.raises(ConfigError, match="10_sweep reads `sweep`") as caught:
        _ = seen.sweep
    assert caught.value.key == "sweep"
    shorter = seen.model_copy(update={"stage_a": seen.stage_a.model_copy(update={"steps": 3})})
    assert shorter.stage_a.steps == 3
    with pytest.raises(ConfigError, match="`pilot`"):
        _ = shorter.pilot
    with pytest.raises(AttributeError):
        _ = seen.no_such_key


def test_unknown_experiment_and_jobs_of_an_experiment_without_jobs_are_refused(
    config: RunConfig,
) -> None:
    with pytest.raises(ConfigError, match="no experiment '99_absent'"):
        load_experiment("safe.hearing", "99_absent")
    with pytest.raises(ConfigError):
        run_experiment(config, "99_absent")
    with pytest.raises(ConfigError, match="has no jobs"):
        run_jobs(config, "05_gating", ["a"])
    with pytest.raises(ConfigError, match="not a job name"):
        run_jobs(config, "10_sweep", ["../a"])


def test_packed_jobs_share_processes_and_unpacked_ones_do_not() -> None:
    packed = pack(["a", "b", "c", "d", "e"], 3, prefix="p", after=("x",), priority=2)
    assert packed == [
        JobGroup("p0", ("a", "d", "e"), ("x",), 2),
        JobGroup("p1", ("b", "c"), ("x",), 2),
    ]
    assert [g.jobs for g in unpack(packed)] == [("a",), ("d",), ("e",), ("b",), ("c",)]
    assert {(g.after, g.priority) for g in unpack(packed)} == {(("x",), 2)}


@pytest.mark.parametrize("size", [1, 2, 3, 7])
@pytest.mark.parametrize("count", [0, 1, 2, 10, 27])
def test_groups_contain_each_job_once_and_have_similar_sizes(count: int, size: int) -> None:
    jobs = [str(number) for number in range(count)]
    groups = pack(jobs, size)
    assert sorted(job for group in groups for job in group.jobs) == sorted(jobs)
    lengths = {len(group.jobs) for group in groups}
    assert max(lengths, default=0) <= size
    assert max(lengths, default=0) - min(lengths, default=0) <= 1


def test_jobs_are_packed_only_if_configured(config: RunConfig) -> None:
    packed = Run(config, ROOT).groups("10_sweep")
    assert [len(group.jobs) for group in packed] == [7, 7, 7, 6]
    single = Run(config.model_copy(update={"pack_jobs": False}), ROOT).groups("10_sweep")
    assert [group.jobs for group in single] == [(group.name,) for group in single]
    assert len(single) == 27
