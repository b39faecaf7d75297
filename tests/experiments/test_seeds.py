"""11 on a tiny run: three seeds of the sweep's selection."""

from statistics import stdev

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from safe.errors import ConfigError, EvidenceError
from safe.files import write_json
from safe.gates.documents import read_decision
from safe.gates.schema import decision_digest
from safe.hearing.context import Context
from safe.hearing.experiments.seeds.config import SeedsSettings
from safe.hearing.experiments.seeds.measure import METRICS
from safe.hearing.experiments.seeds.plan import chosen, names, seed_of
from safe.pipeline.runner import run_job
from tests.judging import decide, restore_afterwards, run, verdicts
from tests.tiny_sweep import changed

EXPERIMENT = "11_seeds"


@pytest.fixture
def config(trained_seeds_run):
    return trained_seeds_run


@pytest.fixture(scope="module")
def measured(trained_seeds_run):
    return run(trained_seeds_run, EXPERIMENT, trained_seeds_run.folder / EXPERIMENT)


def test_frozen_path_is_identical_across_seeds_and_adapters_differ(config, measured):
    found = {metric.name: metric for metric in measured[1]}
    assert set(found) == set(METRICS)
    assert verdicts(decide(config, EXPERIMENT, measured[1]))["11.frozen_checksums"] == "pass"
    table = pq.read_table(config.folder / EXPERIMENT / "seeds.parquet").to_pylist()
    assert [row["seed"] for row in table] == [0, 1, 2]
    assert len({row["adapter"] for row in table}) == 3
    for kind in ("gate OFF", "image tokens", "audio_encoder"):
        assert len({row[f"frozen {kind}"] for row in table}) == 1
    assert len(measured[0].plots) == 1


def test_standard_deviation_is_that_of_the_answers(config, measured):
    found = {metric.name: metric for metric in measured[1]}
    for name, kind in (("audio_sd", "audio"), ("vl_sd", "vl")):
        shares = []
        for job in names(config):
            path = config.folder / EXPERIMENT / "jobs" / job / "items.parquet"
            rows = [r["right"] for r in pq.read_table(path).to_pylist() if r["kind"] == kind]
            shares.append(sum(rows) / len(rows))
        assert found[name].value == pytest.approx(stdev(shares))
        assert found[name].n == 3
        assert list(found[name].detail["accuracy"].values()) == pytest.approx(shares)
        interval = found[name].ci
        assert (interval is None) == (len(set(shares)) == 1)
        assert interval is None or interval.low < found[name].value < interval.high
        assert "threads" in found[name].detail["fixed"]
        components = found[name].detail["components"]
        assert components["sd"] == pytest.approx(stdev(shares))
        assert components["items"] == len(rows)
        assert components["clusters"] <= components["items"]
        both = components["item_noise"] + components["between"]
        assert both >= components["total"] - 1e-12
        assert "item noise" in found[name].detail["summary"]


def context_of(config):
    return Context(config=config, folder=config.folder / EXPERIMENT)


def test_trains_the_combination_that_the_sweep_selected(config):
    context = context_of(config)
    name, settings = chosen(context)
    selected = read_decision(config.folder / "10_sweep" / "decision.json").selections["selected"]
    assert name == selected.selected
    assert context.upstream_selected == {"10_sweep": {"selected": name}}
    assert settings.steps == config.stage_a.steps
    assert f"p{settings.projector_lr:g}_l{settings.lora_lr:g}_d{settings.distillation:g}" == name


def test_sweep_without_a_usable_selection_is_refused(config):
    path = config.folder / "10_sweep" / "decision.json"
    with restore_afterwards(path.parent):
        decision = read_decision(path)
        none = decision.selections["selected"].model_copy(update={"selected": None})
        decision = decision.model_copy(update={"selections": {"selected": none}})
        digests = decision.digests | {"decision": decision_digest(decision)}
        decision = decision.model_copy(update={"digests": digests})
        write_json(path, decision.model_dump(mode="json"))
        with pytest.raises(EvidenceError, match="no candidate is selected"):
            chosen(context_of(config))
    other = changed(config, projector_lr=[1e-3, 2e-3])
    with pytest.raises(EvidenceError, match="not in its grid"):
        chosen(context_of(other))


def test_missing_job_or_other_settings_are_named(config, tmp_path):
    with pytest.raises(EvidenceError, match="'seed_0' was not run"):
        run(config, EXPERIMENT, tmp_path)
    longer = config.model_copy(update={"seeds": SeedsSettings(steps=7)})
    with pytest.raises(EvidenceError, match="other settings"):
        run(longer, EXPERIMENT, config.folder / EXPERIMENT)


def test_fewer_than_two_seeds_and_unknown_jobs_are_refused(config):
    with pytest.raises(ValueError, match="greater than or equal to 2"):
        SeedsSettings(count=1)
    for job in ("seed_3", "seed_x", "other"):
        with pytest.raises(ConfigError, match="no job"):
            seed_of(config, job)
    with pytest.raises(ConfigError, match="no job 'other'"):
        run_job(config, EXPERIMENT, "other")


def test_seeds_evaluated_on_different_questions_are_refused(config, tmp_path):
    path = config.folder / EXPERIMENT / "jobs" / "seed_2" / "items.parquet"
    with restore_afterwards(config.folder / EXPERIMENT):
        rows = pq.read_table(path).to_pylist()
        pq.write_table(pa.Table.from_pylist(rows[1:]), path)
        with pytest.raises(EvidenceError, match="different questions"):
            run(config, EXPERIMENT, config.folder / EXPERIMENT)


def test_so_few_questions_are_inconclusive(config, measured):
    context, metrics = measured
    judged = decide(config, EXPERIMENT, metrics, context, min_items=True).criteria
    found = next(c for c in judged if c.id == "11.audio_sd")
    assert found.verdict == "inconclusive"
    assert 0 < found.items < 500
