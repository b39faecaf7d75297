"""02 Base parity: only projector and LoRA train; SAFE with the gate OFF equals the base.

The adapter is first trained for a few steps, so that its LoRA weights are not zero. Otherwise an
adapter that is active with the gate OFF would go unnoticed.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from safe.digest import digest_file
from safe.errors import MediaError
from safe.files import write_text
from safe.gates.schema import Metric
from safe.gates.statistics import quantile_interval
from safe.hearing.context import Context
from safe.hearing.data.decode import load_audio
from safe.hearing.data.manifest import load_samples
from safe.hearing.data.sample import Sample
from safe.hearing.evaluation.freeze_audit import (
    audit_frozen,
    count,
    parameter_table,
    unexpected_trainable,
    untrained_tensors,
)
from safe.hearing.evaluation.parity import Inputs, ItemParity, compare, overhead, time_pairs
from safe.hearing.experiments.base_parity import METRICS
from safe.hearing.experiments.base_parity.config import ParitySettings
from safe.hearing.experiments.metric_builder import MetricBuilder, write_table
from safe.hearing.models.audio import waveform_fault
from safe.hearing.models.full_size import build_full_size
from safe.hearing.models.prompt import build_prompt
from safe.hearing.models.safe_model import SafeModel
from safe.hearing.training.collate import TextEncoder
from safe.hearing.training.features import picture
from safe.hearing.training.frozen_models import OpenedBase, open_base, open_plain_vlm, use_threads
from safe.hearing.training.losses import answer_cross_entropy

BUILDER = MetricBuilder(METRICS)
STEPS, STEP_RATE, STEP_ROWS = 3, 1e-2, 8  # training before the comparison
SOUNDS = 16  # clips paired with gate-OFF examples
TABLE, ITEMS, PAIRS = "parameters.csv", "items.parquet", "timing.parquet"


def measure(context: Context) -> list[Metric]:
    """Freeze audit, forward equivalence and overhead (the plan's section 2)."""
    config = context.config
    use_threads(config)
    opened = open_base(config)
    plain_base = open_plain_vlm(config)  # a separate copy to compare SAFE with
    model = opened.build(config, seed=config.seed)
    context.digests |= opened.digests | {"manifest": digest_file(context.manifest)}
    context.extra |= {"device": str(model.device), "seeds": {"adapter": config.seed}}
    rng = np.random.default_rng(config.seed)

    sounds, where_from = _sounds(context, opened, rng)
    start = {name: weight.detach().clone() for name, weight in model.trainable().items()}
    graded: set[str] = set()
    frozen = audit_frozen(model, lambda: graded.update(_train(model, opened, context, sounds)))
    faults = unexpected_trainable(model)
    untrained = untrained_tensors(start, model.trainable(), graded)
    _write_table(context, model)
    full = build_full_size()

    rows = _Batches(context, opened, sounds, rng)
    encoder = TextEncoder(opened.vlm, opened.processor)
    items: list[ItemParity] = []
    probe: tuple[Inputs, list[np.ndarray]] | None = None
    for ids, inputs, heard in rows:
        probe = probe or (inputs, heard)
        items += compare(
            model,
            plain_base,
            ids,
            inputs,
            heard,
            decode=encoder.decode,
            max_new_tokens=ParitySettings.of(config).max_new_tokens,
        )
    metrics = [
        _exact("trainable_count", count(model.trainable()), 1, table=TABLE),
        _exact(
            "trainable_count_full",
            count(full.trainable()),
            1,
            model="BLIP-2 OPT-2.7B, CLAP HTSAT, k = 8, r = 8, hidden 640",
            total=sum(p.numel() for p in full.parameters()),
            projector=sum(p.numel() for p in full.projector.parameters()),
        ),
        _exact(
            "backbone_frozen",
            frozen.share,
            frozen.tensors,
            thawed=frozen.thawed[:20],
            changed=frozen.changed[:20],
            training_steps=STEPS,
            audio=where_from,
        ),
        _exact("trainable_set", len(faults), len(list(model.parameters())), faults=faults[:20]),
        _exact("untrained", len(untrained), len(start), faults=untrained[:20]),
        *_parity_metrics(context, items, rows.samples, rows.faults),
    ]
    if probe is None:
        why = "there is no VL example with a readable image"
        return [
            *metrics,
            BUILDER.missing("no_overhead", why),
            BUILDER.missing("wall_clock_ratio", why),
        ]
    work = overhead(
        model, plain_base, *probe, max_new_tokens=ParitySettings.of(config).max_new_tokens
    )
    metrics.append(_exact("no_overhead", work.total, len(probe[1]), **work.record()))
    metrics.append(_wall_clock(context, model, plain_base, *probe))
    return metrics


# -- samples --------------------------------------------------------------------------------------


def _sounds(
    context: Context, opened: OpenedBase, rng: np.random.Generator
) -> tuple[list[np.ndarray], str]:
    """Return a few of the run's clips, with tones if there are too few, and their description."""
    candidates = [s for s in load_samples(context.manifest, split="train") if s.audio is not None]
    waves: list[np.ndarray] = []
    for index in rng.permutation(len(candidates)):
        ref = candidates[index].audio
        assert ref is not None
        try:
            wave = load_audio(ref, opened.audio_encoder.sampling_rate)
        except MediaError:
            continue  # 01.files_load counts them
        if waveform_fault(wave) is None:
            waves.append(wave)
        if len(waves) == SOUNDS:
            return waves, "clips of the run"
    time_axis = (
        np.arange(opened.audio_encoder.sampling_rate, dtype=np.float32)
        / opened.audio_encoder.sampling_rate
    )
    tones = [
        (0.3 * np.sin(2 * math.pi * 110.0 * 2 ** (i / 4) * time_axis)).astype(np.float32)
        for i in range(SOUNDS - len(waves))
    ]
    return waves + tones, f"{len(waves)} clips of the run and {len(tones)} tones"


class _Batches:
    """Preprocessed VL samples, held-out splits first, until there are enough."""

    def __init__(
        self,
        context: Context,
        opened: OpenedBase,
        sounds: list[np.ndarray],
        rng: np.random.Generator,
    ) -> None:
        self.context, self.opened, self.sounds = context, opened, sounds
        self.faults: list[str] = []
        self.samples: dict[str, Sample] = {}
        self.rng = rng

    def _order(self) -> Iterator[Sample]:
        for split in ("test", "val", "train"):
            found = load_samples(self.context.manifest, split=split, task="vl")
            for index in self.rng.permutation(len(found)):
                yield found[index]

    def __iter__(self) -> Iterator[tuple[list[str], Inputs, list[np.ndarray]]]:
        settings, device = ParitySettings.of(self.context.config), self.opened.vlm.device
        processor = self.opened.processor
        waiting: list[tuple[Sample, Any]] = []
        taken = 0
        with tqdm(total=settings.samples, desc="parity", unit="sample") as bar:
            for sample in self._order():
                if taken == settings.samples:
                    break
                try:
                    waiting.append((sample, picture(sample)))
                except MediaError as error:
                    self.faults.append(f"{sample.id}: {error.what}")
                    continue
                taken += 1
                if len(waiting) == settings.batch_size or taken == settings.samples:
                    yield self._batch(waiting, processor, device)
                    bar.update(len(waiting))
                    waiting = []
            if waiting:
                yield self._batch(waiting, processor, device)
                bar.update(len(waiting))

    def _batch(
        self, rows: list[tuple[Sample, Any]], processor: Any, device: torch.device
    ) -> tuple[list[str], Inputs, list[np.ndarray]]:
        made = processor(
            images=[image for _, image in rows],
            text=[build_prompt(s.question) for s, _ in rows],
            padding=True,
            return_tensors="pt",
        )
        self.samples |= {s.id: s for s, _ in rows}
        inputs = {n: v.to(device) for n, v in made.items()}
        heard = [self.sounds[i % len(self.sounds)] for i in range(len(rows))]
        return [s.id for s, _ in rows], inputs, heard


# -- a real training step -------------------------------------------------------------------------


def _train(
    model: SafeModel, opened: OpenedBase, context: Context, sounds: list[np.ndarray]
) -> set[str]:
    """Train all trainable parameters for a few AdamW steps on real examples.

    Returns:
        Names of the parameters that received a gradient other than zero.
    """
    encoder = TextEncoder(opened.vlm, opened.processor)
    samples = [
        s
        for task in ("vl", "audio", "av")
        for s in load_samples(context.manifest, split="train", task=task, limit=STEP_ROWS)
    ]
    images, kept = [], []
    for sample in samples:
        try:
            images.append(picture(sample))
            kept.append(encoder.row(sample, sample))
        except MediaError:
            continue  # 01.files_load counts them
    if not kept:
        raise MediaError(
            "no training example could be decoded",
            where=context.manifest,
            hint="a base cannot be audited without data: see 01_data_preflight",
        )
    pixels = opened.processor.image_processor(images, return_tensors="pt")["pixel_values"]
    arrays = {**encoder.prompts(kept), **encoder.answers(kept), "pixel_values": pixels}
    inputs = {n: v.to(model.device) for n, v in arrays.items()}
    heard = [sounds[i % len(sounds)] for i in range(len(kept))]
    optimizer = torch.optim.AdamW(model.trainable().values(), lr=STEP_RATE)
    graded: set[str] = set()
    model.train()
    for _ in range(STEPS):  # several: LoRA's A has no gradient while B is zero
        scores = model.score(**inputs, gate=True, audio=heard)
        loss = answer_cross_entropy(scores, inputs["answer_mask"])
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        graded |= {
            name
            for name, weight in model.trainable().items()
            if weight.grad is not None and bool(weight.grad.any())
        }
        optimizer.step()
    model.eval()
    return graded


# -- metrics --------------------------------------------------------------------------------------


def _exact(name: str, value: float, n: int, **detail: Any) -> Metric:
    return BUILDER.measured(name, value, n, detail=detail)


def _parity_metrics(
    context: Context,
    items: Sequence[ItemParity],
    samples: dict[str, Sample],
    faults: list[str],
) -> list[Metric]:
    if not items:
        why = "there is no VL example with a readable image"
        names = ("logits_equal", "logits_identical", "vqa_identical")
        return [BUILDER.missing(name, why) for name in names]
    table = [
        asdict(i) | {"identical": i.base_answer == i.safe_answer and i.same_tokens} for i in items
    ]
    write_table(context, ITEMS, table)
    gaps = [item.mean_difference for item in items]
    unequal = [item.id for item in items if not item.bit_equal]
    differing = [row["id"] for row in table if not row["identical"]]
    worst = math.nan if any(math.isnan(g) for g in gaps) else max(gaps)

    def share(answers: Iterator[tuple[str, str]]) -> float:
        return sum(given in samples[i].answers for i, given in answers) / len(items)

    return [
        Metric(
            name="logits_equal",
            value=worst,
            unit="logit",
            n=len(items),
            provenance="measured",
            per_item=ITEMS,
            reason="a logit is NaN" if math.isnan(worst) else None,
            detail={
                "statistic": "largest over samples of the mean absolute difference",
                "also_in_mixed_batches": sum(item.mixed for item in items),
                "undecodable": faults[:20],
            },
        ),
        BUILDER.table_count(
            "logits_identical",
            table,
            "bit_equal",
            negated=True,
            per_item=ITEMS,
            detail={"differing": unequal[:20]},
        ),
        BUILDER.table_count(
            "vqa_identical",
            table,
            "identical",
            negated=True,
            per_item=ITEMS,
            detail={
                "differing": differing[:20],
                "base_in_references": share((i.id, i.base_answer) for i in items),
                "safe_in_references": share((i.id, i.safe_answer) for i in items),
            },
        ),
    ]


def _wall_clock(
    context: Context,
    model: SafeModel,
    plain_base: Any,
    inputs: Inputs,
    sounds: list[np.ndarray],
) -> Metric:
    pairs = time_pairs(
        model, plain_base, inputs, sounds, repeats=ParitySettings.of(context.config).timing_repeats
    )
    if model.device.type == "cuda":
        context.device_seconds += sum(a + b for a, b in pairs)
    ratios = [mine / base for base, mine in pairs]
    write_table(context, PAIRS, [{"base_s": b, "safe_s": s} for b, s in pairs])
    try:
        interval = quantile_interval(ratios, 0.5)
    except ValueError:
        interval = None  # too few repeats; the criterion uses the point estimate
    return Metric(
        name="wall_clock_ratio",
        value=median(ratios),
        unit="ratio",
        n=len(ratios),
        provenance="measured",
        ci=interval,
        per_item=PAIRS,
        detail={"batch": len(sounds), "statistic": "median of SAFE OFF / base, alternating order"},
    )


# -- evidence -------------------------------------------------------------------------------------


def _write_table(context: Context, model: SafeModel) -> None:
    rows = parameter_table(model)
    lines = [f"{row['module']},{row['trainable']},{row['frozen']}" for row in rows]
    write_text(Path(context.folder / TABLE), "module,trainable,frozen\n" + "\n".join(lines) + "\n")
    context.evidence.append(TABLE)
