"""12 with a fault planted: the criterion that is there for it must fail, and the gate say NO-GO."""

from dataclasses import replace

import pyarrow.parquet as pq

from safe.hearing.experiments.rl_gate import jobs as rl_gate_jobs
from safe.hearing.experiments.rl_gate import learning as rl_gate_learning
from safe.hearing.experiments.rl_gate import measure as rl_gate
from safe.hearing.models.policy import VIEWS
from safe.pipeline.job_results import write_rows
from tests.judging import decide, put_right_again, run, verdicts, with_limits
from tests.tiny_policy import EXPERIMENT


def outcome(config, tmp_path):
    """The verdicts; what is measured goes elsewhere, the jobs stay where they are."""
    folder = tmp_path / EXPERIMENT
    folder.mkdir()
    (folder / "jobs").symlink_to(config.folder / EXPERIMENT / "jobs")
    context, metrics = run(config, EXPERIMENT, folder)
    decision = decide(config, EXPERIMENT, metrics, context)
    assert decision.verdict == "NO-GO"
    return verdicts(decision), {metric.name: metric for metric in metrics}


def eager(distil, teacher, features, into):
    """A linear policy that hears everything."""
    distilled_policy = distil(teacher, features, into, steps=1)
    distilled_policy.net[0].bias.data[-1] = 1e6
    return distilled_policy


def test_a_policy_trained_on_test(policy_run, tmp_path, monkeypatch):
    monkeypatch.setattr(rl_gate, "LEARNED_ON", "test")
    found, metrics = outcome(policy_run, tmp_path)
    assert set(found.values()) == {"unavailable"}
    assert "also in test" in metrics["skips"].reason


def test_a_few_questions_of_test_among_those_learned_from(policy_run, tmp_path):
    folder = policy_run.folder / EXPERIMENT / "jobs"
    with put_right_again(folder):
        path = folder / "outcomes" / rl_gate_jobs.ITEMS
        rows = pq.read_table(path).to_pylist()
        leaked = [r | {"split": "val"} for r in rows if r["split"] == "test"][:3]
        write_rows(path, rows + leaked)
        found, metrics = outcome(policy_run, tmp_path)
    assert set(found.values()) == {"unavailable"}
    assert metrics["skips"].reason.startswith("3 training questions")


def test_a_reward_without_cost(policy_run, tmp_path, monkeypatch):
    """Every price trains the same policy: a point is no frontier."""
    real = rl_gate_learning.train_bandit

    def free(learned, held, checked, settings):
        return real(learned, held, checked, replace(settings, price=0.0))

    monkeypatch.setattr(rl_gate_learning, "train_bandit", free)
    found, metrics = outcome(policy_run, tmp_path)
    assert found["12.pareto"] == "fail"
    assert metrics["pareto"].value <= 1


def test_a_policy_that_never_listens(policy_run, tmp_path, monkeypatch):
    """Without limits, the policy that skips most is selected."""
    free = with_limits(policy_run, policy={"audio_drop_high": 1.0, "vl_drop": 1.0})
    assert outcome(free, tmp_path)[0]["12.audio_drop"] == "fail"


def test_a_policy_that_always_listens(policy_run, tmp_path, monkeypatch):
    real = rl_gate_learning.distil
    monkeypatch.setattr(rl_gate_learning, "distil", lambda *given: eager(real, *given))
    assert outcome(policy_run, tmp_path)[0]["12.skips"] == "fail"


def test_a_policy_that_breaks_the_constraint(policy_run, tmp_path, monkeypatch):
    """Pictures that listening forgets, and a linear policy that listens where its teacher skips."""
    outcomes, distil = rl_gate.outcomes_of, rl_gate_learning.distil

    def forgetful(table, actions, seconds, view):
        lost = {"right_0": True} | {f"right_{k}": False for k in actions[1:]}
        rows = [row | lost if row["task"] == "vl" else row for row in table]
        return outcomes(rows, actions, seconds, view)

    monkeypatch.setattr(rl_gate, "outcomes_of", forgetful)
    monkeypatch.setattr(rl_gate_learning, "distil", lambda *given: eager(distil, *given))
    assert outcome(policy_run, tmp_path)[0]["12.vl_constraint"] == "fail"


def test_a_policy_that_takes_longer_to_decide_than_it_saves(policy_run, tmp_path, monkeypatch):
    """Where a heuristic is as accurate and faster, what was learned is dominated."""
    real = rl_gate.read_outcomes

    def slow(context):
        adapter, result, rows = real(context)
        times = {n: t + n.startswith(VIEWS) for n, t in result["seconds"].items()}
        return adapter, result | {"seconds": times}, rows

    monkeypatch.setattr(rl_gate, "read_outcomes", slow)
    found, metrics = outcome(policy_run, tmp_path)
    assert found["12.pareto"] == "fail"
    assert metrics["pareto"].value == 0
