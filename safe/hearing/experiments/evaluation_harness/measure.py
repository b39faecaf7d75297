"""07 Evaluation harness: are the metrics reliable, and do they show what depends on sound?

Generation gets questions without their answers, and at most `evaluation.max_new_tokens` tokens.
"""

from __future__ import annotations

import pyarrow.parquet as pq

from safe.digest import digest_file
from safe.gates.schema import Metric
from safe.hearing.artifacts import PILOT_BASE_ANSWERS
from safe.hearing.config import RunConfig
from safe.hearing.context import Context
from safe.hearing.evaluation.references import load_references
from safe.hearing.experiments.evaluation_harness import METRICS
from safe.hearing.experiments.evaluation_harness.config import EvaluationSettings
from safe.hearing.experiments.evaluation_harness.distractors import gate_robust, irrelevance
from safe.hearing.experiments.evaluation_harness.evaluator import HarnessEvaluator
from safe.hearing.experiments.evaluation_harness.lomo import lomo
from safe.hearing.experiments.evaluation_harness.metrics import (
    baseline_matches,
    metrics_correct,
    metrics_stable,
)
from safe.hearing.experiments.gating.measure import ADAPTER, CHOICES, GATE
from safe.hearing.experiments.metric_builder import MetricBuilder
from safe.hearing.models.checkpoint import RECORD
from safe.hearing.models.gate_file import load_gate
from safe.hearing.models.gating import POLICIES, UncertaintyGate
from safe.hearing.training.frozen_models import open_base, use_threads

BUILDER = MetricBuilder(METRICS)
GATING = "05_gating"


def measure(context: Context) -> list[Metric]:
    """Check the metrics, then evaluate with the sound, muted, and with distractors."""
    config = context.config
    use_threads(config)
    references = load_references(EvaluationSettings.of(config).references)
    opened = open_base(config)
    adapter, chosen = config.folder / ADAPTER, config.folder / GATING / GATE
    gate = load_gate(chosen, base=opened.vlm_ref.digest)
    evaluator = HarnessEvaluator(config, context.manifest, adapter, opened)
    context.digests |= opened.digests | {
        "manifest": digest_file(context.manifest),
        "adapter": digest_file(adapter / RECORD),
        "gate": digest_file(chosen),
        "references": digest_file(EvaluationSettings.of(config).references),
    }
    context.extra |= {"device": str(evaluator.model.device)}
    audio_examples, vl_examples = evaluator.rows()
    base, known = (
        evaluator.base([*audio_examples, *vl_examples]),
        {row.sample.id for row in vl_examples},
    )
    beside = [row for row in evaluator.validation_rows() if row.sample.id not in known]
    asked = [*audio_examples, *vl_examples, *beside]
    answered = [*base, *evaluator.base(beside)]
    gates, pictures = _policies(config, gate), base[len(audio_examples) :]
    drops, given = lomo(BUILDER, context, evaluator, gate, audio_examples, vl_examples)
    return [
        baseline_matches(BUILDER, context, evaluator, references, asked, answered),
        metrics_stable(BUILDER, context, evaluator, gate, audio_examples, vl_examples),
        metrics_correct(BUILDER, context),
        BUILDER.base_differs(
            config.folder / PILOT_BASE_ANSWERS,
            [(row.sample.id, list(a.tokens)) for row, a in zip(asked, answered, strict=True)],
        ),
        *drops,
        *irrelevance(BUILDER, context, evaluator, gate, gates, vl_examples, pictures, given),
        gate_robust(BUILDER, context, evaluator, gate, gates, audio_examples, vl_examples),
    ]


def _policies(config: RunConfig, gate: UncertaintyGate) -> list[UncertaintyGate]:
    """Heuristic gates with a threshold from experiment 05, the selected one first."""
    table = pq.read_table(config.folder / GATING / CHOICES).to_pylist()
    listed = [POLICIES[row["kind"]](threshold=row["threshold"]) for row in table]  # type: ignore[call-arg]
    return [gate, *(other for other in listed if other.kind != gate.kind)]
