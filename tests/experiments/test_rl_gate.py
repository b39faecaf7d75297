"""12 on a tiny run: trained on validation, run on test, saved for deployment."""

import json

import pyarrow.parquet as pq
import pytest

from safe.digest import digest_file
from safe.errors import ConfigError, EvidenceError, ModelError
from safe.files import write_json
from safe.hearing.config import parse_run_config
from safe.hearing.context import Context
from safe.hearing.experiments.rl_gate import measure as rl_gate
from safe.hearing.experiments.rl_gate.jobs import read_outcomes, serving
from safe.hearing.experiments.rl_gate.measure import METRICS, POLICY
from safe.hearing.experiments.rl_gate.plan import lengths
from safe.hearing.models.checkpoint import RECORD, load_adapter
from safe.hearing.models.policy import VIEWS, load_policy
from safe.hearing.training.frozen_models import open_base
from safe.pipeline.runner import run_job
from tests.judging import decide, restore_afterwards, run, verdicts, with_limits
from tests.tiny_gating import VL
from tests.tiny_policy import EXPERIMENT, changed


@pytest.fixture
def config(policy_run):
    return policy_run


@pytest.fixture(scope="module")
def measured(policy_run):
    return run(policy_run, EXPERIMENT, policy_run.folder / EXPERIMENT)


@pytest.fixture(scope="module")
def metrics(measured):
    return {metric.name: metric for metric in measured[1]}


def file(config):
    return config.folder / EXPERIMENT / POLICY


def table(config, name):
    return pq.read_table(config.folder / EXPERIMENT / name).to_pylist()


def test_most_vl_questions_are_skipped_and_criteria_pass(config, measured, metrics):
    assert set(metrics) == set(METRICS)
    found = verdicts(decide(config, EXPERIMENT, measured[1], measured[0]))
    assert found["12.skips"] == found["12.vl_constraint"] == "pass", metrics
    rows = table(config, "gated.parquet")
    assert metrics["skips"].value == sum(not r["consulted"] for r in rows) / len(rows)
    vl_examples = [r for r in rows if r["task"] == "vl"]
    assert len(vl_examples) == VL
    assert sum(not r["consulted"] for r in vl_examples) > 0.9 * VL
    assert all(r["as_the_base"] for r in rows if not r["consulted"])
    assert len(measured[0].plots) == 1


def test_gated_answers_agree_with_the_outcome_table(config, metrics):
    rows = {r["id"]: r for r in table(config, "jobs/outcomes/items.parquet")}
    gated = table(config, "gated.parquet")
    same = [r["gated_correct"] == rows[r["id"]][f"right_{r['tokens_heard']}"] for r in gated]
    assert sum(same) >= 0.99 * len(same)
    audio_examples = [r for r in gated if r["task"] != "vl"]
    long = max(lengths(config))
    drop = sum(rows[r["id"]][f"right_{long}"] - r["gated_correct"] for r in audio_examples) / len(
        audio_examples
    )
    assert metrics["audio_drop"].value == pytest.approx(drop)


def test_higher_latency_weight_consults_less(config, metrics):
    learned = [p for p in table(config, "curve.parquet") if p["kind"] == "learned"]
    assert [p["setting"] for p in learned] == config.policy.latency_weights
    assert learned[-1]["skip_rate"] == 1.0 > learned[0]["skip_rate"]
    longer = [p for p in table(config, "curve.parquet") if p["kind"] == "learned, all tokens"]
    assert [p["setting"] for p in longer] == config.policy.latency_weights
    assert not any(p["undominated"] for p in longer)  # not counted
    assert metrics["pareto"].n == len(config.policy.latency_weights)
    evaluations = table(config, "evaluations.parquet")
    assert metrics["vl_constraint"].n == len(evaluations)
    assert {e["price"] for e in evaluations} == set(config.policy.latency_weights)
    other_weights = {e["price"] for e in evaluations if e["view"] != load_policy(file(config)).view}
    assert other_weights == {
        config.policy.latency_weights[2]
    }  # other views are trained with the middle weight only


def test_saved_policy_is_a_gate_bound_to_its_adapter(config, measured):
    context = Context(config=config, folder=config.folder / EXPERIMENT)
    adapter = read_outcomes(context)[0]
    opened = open_base(config)
    gate = load_policy(
        context.folder / POLICY, base=opened.vlm_ref.digest, adapter=digest_file(adapter / RECORD)
    )
    long = max(lengths(config))
    assert gate.record.actions in ((0, *lengths(config)), (0, long))
    model = load_adapter(adapter, opened.vlm, opened.audio_encoder)
    assert model.projector.audio_tokens == long
    with pytest.raises(ModelError, match="trained with the adapter"):
        load_policy(context.folder / POLICY, adapter="0" * 64)


@pytest.mark.parametrize("view", VIEWS)
def test_fastest_view_is_selected(config, tmp_path, monkeypatch, view):
    real = rl_gate.read_outcomes

    def slower_others(context):
        adapter, result, rows = real(context)
        others = tuple(v for v in VIEWS if v != view)
        times = {n: t + 0.01 * n.startswith(others) for n, t in result["seconds"].items()}
        return adapter, result | {"seconds": times}, rows

    monkeypatch.setattr(rl_gate, "read_outcomes", slower_others)
    folder = tmp_path / EXPERIMENT
    folder.mkdir()
    (folder / "jobs").symlink_to(config.folder / EXPERIMENT / "jobs")
    run(changed(config, latency_weights=[20.0, 40.0, 60.0]), EXPERIMENT, folder)
    assert load_policy(folder / POLICY).view == view


def test_without_audio_latency_no_weight_can_be_converted(config, tmp_path, monkeypatch):
    real = rl_gate.read_outcomes

    def without_latency(context):
        adapter, result, rows = real(context)
        equal = dict.fromkeys(result["seconds"], 0.01)
        return adapter, result | {"seconds": equal}, rows

    monkeypatch.setattr(rl_gate, "read_outcomes", without_latency)
    folder = tmp_path / EXPERIMENT
    folder.mkdir()
    (folder / "jobs").symlink_to(config.folder / EXPERIMENT / "jobs")
    found = run(changed(config, latency_unit="listening"), EXPERIMENT, folder)[1]
    assert {m.provenance for m in found} == {"unavailable"}
    assert all("latency_weights" in m.reason for m in found)


def test_nested_adapter_is_used_only_within_the_margin(config):
    jobs = config.folder / EXPERIMENT / "jobs"
    context = Context(config=config, folder=jobs.parent)
    folder, actions, detail = serving(context, jobs)
    assert folder == jobs / "nested" / "adapter"
    assert detail["adapter"] == "nested"
    assert actions == (0, *lengths(config))
    strict = with_limits(config, adapter={"behind_high": 0.0})
    folder, actions, detail = serving(Context(config=strict, folder=jobs.parent), jobs)
    worse = [b["high"] > 0 for b in detail["nested_behind"].values() if "high" in b]
    assert (detail["adapter"] == "nested") == (not any(worse))
    if any(worse):
        assert actions == (0, max(lengths(config)))
        assert folder.parent.name == "distilled"


def test_outcomes_of_another_adapter_are_refused(config):
    folder = config.folder / EXPERIMENT / "jobs"
    context = Context(config=config, folder=folder.parent)
    with restore_afterwards(folder):
        path = folder / "outcomes" / "result.json"
        result = json.loads(path.read_text())
        result["digests"]["adapter"] = "0" * 64
        write_json(path, result)
        with pytest.raises(EvidenceError, match="of another adapter"):
            run(config, EXPERIMENT, context.folder)
    with restore_afterwards(folder):
        path = folder / "nested" / "result.json"
        write_json(path, json.loads(path.read_text()) | {"pilot": "0" * 64})
        with pytest.raises(EvidenceError, match="from another adapter"):
            read_outcomes(context)
    other = changed(config, steps=61)
    with pytest.raises(EvidenceError, match="other settings"):
        read_outcomes(Context(config=other, folder=context.folder))


def test_missing_or_unknown_job_is_named(config, tmp_path):
    with pytest.raises(ConfigError, match="no job 'never'"):
        run_job(config, EXPERIMENT, "never")
    with pytest.raises(EvidenceError, match="'outcomes' was not run"):
        read_outcomes(Context(config=config, folder=tmp_path, experiment=EXPERIMENT))


def test_invalid_settings_are_refused(config):
    with pytest.raises(ConfigError, match=r"fewer than adapter\.audio_tokens"):
        lengths(changed(config, short_audio_tokens=3))
    for latency_weights in ([-1.0, 0.0, 1.0], [0.0, 1.0], [0.0, 1.0, 1.0]):
        values = config.model_dump(mode="json")
        values["policy"]["latency_weights"] = latency_weights
        with pytest.raises(ConfigError, match="latency_weights"):
            parse_run_config(values, "t")
