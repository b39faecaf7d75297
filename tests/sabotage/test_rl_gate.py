"""12 with planted faults: the criterion for each fault fails and the gate is NO-GO."""

from dataclasses import replace

import pyarrow.parquet as pq

from safe.hearing.experiments.rl_gate import jobs as rl_gate_jobs
from safe.hearing.experiments.rl_gate import learning as rl_gate_learning
from safe.hearing.experiments.rl_gate import measure as rl_gate
from safe.hearing.models.policy import VIEWS
from safe.pipeline.job_results import write_rows
from tests.faults import fault
from tests.judging import decide, restore_afterwards, run, verdicts, with_limits
from tests.tiny_policy import EXPERIMENT


def outcome(config, tmp_path):
    """Measure into another folder that links to the jobs; return verdicts and metrics."""
    folder = tmp_path / EXPERIMENT
    folder.mkdir()
    (folder / "jobs").symlink_to(config.folder / EXPERIMENT / "jobs")
    context, metrics = run(config, EXPERIMENT, folder)
    decision = decide(config, EXPERIMENT, metrics, context)
    assert decision.verdict == "NO-GO"
    return verdicts(decision), {metric.name: metric for metric in metrics}


def always_on(distil, teacher, features, into):
    """A linear policy that always uses long audio."""
    distilled_policy = distil(teacher, features, into, steps=1)
    distilled_policy.net[0].bias.data[-1] = 1e6
    return distilled_policy


@fault("statistics", "a policy trained on the questions that it is tested on", "12.skips")
def test_policy_trained_on_test_is_unavailable(policy_run, tmp_path, monkeypatch):
    monkeypatch.setattr(rl_gate, "LEARNED_ON", "test")
    found, metrics = outcome(policy_run, tmp_path)
    assert set(found.values()) == {"unavailable"}
    assert "also in test" in metrics["skips"].reason


@fault("data", "test questions in the training outcomes", "12.skips")
def test_leaked_test_questions_make_all_unavailable(policy_run, tmp_path):
    folder = policy_run.folder / EXPERIMENT / "jobs"
    with restore_afterwards(folder):
        path = folder / "outcomes" / rl_gate_jobs.ITEMS
        rows = pq.read_table(path).to_pylist()
        leaked = [r | {"split": "val"} for r in rows if r["split"] == "test"][:3]
        write_rows(path, rows + leaked)
        found, metrics = outcome(policy_run, tmp_path)
    assert set(found.values()) == {"unavailable"}
    assert metrics["skips"].reason.startswith("3 training questions")


@fault("training", "a reward that forgets the cost of listening", "12.pareto")
def test_reward_without_cost_fails_pareto(policy_run, tmp_path, monkeypatch):
    """Every latency weight trains the same policy; one point is not a frontier."""
    real = rl_gate_learning.train_bandit

    def free(learned, held, checked, settings):
        return real(learned, held, checked, replace(settings, price=0.0))

    monkeypatch.setattr(rl_gate_learning, "train_bandit", free)
    found, metrics = outcome(policy_run, tmp_path)
    assert found["12.pareto"] == "fail"
    assert metrics["pareto"].value <= 1


@fault("model", "a policy that collapsed to never listening", "12.audio_drop")
def test_policy_that_never_uses_audio_fails_audio_drop(policy_run, tmp_path, monkeypatch):
    """Without limits, the policy that skips most is selected."""
    free = with_limits(policy_run, policy={"audio_drop_high": 1.0, "vl_drop": 1.0})
    assert outcome(free, tmp_path)[0]["12.audio_drop"] == "fail"


@fault("model", "a policy that collapsed to always listening", "12.skips")
def test_policy_that_always_uses_audio_fails_skips(policy_run, tmp_path, monkeypatch):
    real = rl_gate_learning.distil
    monkeypatch.setattr(rl_gate_learning, "distil", lambda *given: always_on(real, *given))
    assert outcome(policy_run, tmp_path)[0]["12.skips"] == "fail"


@fault("training", "a constraint that the training loop ignores", "12.vl_constraint")
def test_policy_that_breaks_the_constraint_fails_vl_constraint(policy_run, tmp_path, monkeypatch):
    """Audio spoils VL answers, and the distilled policy uses audio where its teacher skips."""
    outcomes, distil = rl_gate.outcomes_of, rl_gate_learning.distil

    def spoilt_by_audio(table, actions, seconds, view):
        lost = {"right_0": True} | {f"right_{k}": False for k in actions[1:]}
        rows = [row | lost if row["task"] == "vl" else row for row in table]
        return outcomes(rows, actions, seconds, view)

    monkeypatch.setattr(rl_gate, "outcomes_of", spoilt_by_audio)
    monkeypatch.setattr(rl_gate_learning, "distil", lambda *given: always_on(distil, *given))
    assert outcome(policy_run, tmp_path)[0]["12.vl_constraint"] == "fail"


@fault("model", "a policy that costs more time than it saves", "12.pareto")
def test_policy_slower_than_its_savings_fails_pareto(policy_run, tmp_path, monkeypatch):
    """A faster heuristic of the same accuracy dominates the learned policies."""
    real = rl_gate.read_outcomes

    def slow(context):
        adapter, result, rows = real(context)
        times = {n: t + n.startswith(VIEWS) for n, t in result["seconds"].items()}
        return adapter, result | {"seconds": times}, rows

    monkeypatch.setattr(rl_gate, "read_outcomes", slow)
    found, metrics = outcome(policy_run, tmp_path)
    assert found["12.pareto"] == "fail"
    assert metrics["pareto"].value == 0
