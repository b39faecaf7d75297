"""The training of experiment 08: all stages on few examples, evaluated after each epoch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import torch

from safe.digest import digest_file, digest_json
from safe.files import write_json
from safe.hearing.config import CurriculumConfig, RunConfig, StageConfig
from safe.hearing.context import Context
from safe.hearing.data.sample import Sample
from safe.hearing.experiments.curriculum.script import LOG, PLAN
from safe.hearing.experiments.gating.measure import ADAPTER, CHOSEN_ON, GATE, ITEMS
from safe.hearing.experiments.training_setup import TrainingSetup
from safe.hearing.models.gate_file import load_gate
from safe.hearing.models.safe_model import SafeModel
from safe.hearing.models.weights import tensor_digests
from safe.hearing.training.curriculum import Curriculum
from safe.hearing.training.curriculum_run import CurriculumRun, HeldOut, Noisy, StageBatches
from safe.hearing.training.features import Features
from safe.hearing.training.noisy_sounds import noisy_sounds
from safe.hearing.training.stage_a import StageARows
from safe.hearing.training.trainer import Trainer
from safe.hearing.training.warm_start import warm_start

CHECKPOINT = "checkpoint.pt"
GATING = "05_gating"


def scenario(config: CurriculumConfig, job: str, epoch_rows: Sequence[int]) -> CurriculumConfig:
    """Stages of a job, one epoch each, without the minimum number of samples.

    Args:
        epoch_rows: examples per epoch, for each stage.
    """
    stages = [_update(stage, epochs=1, min_samples=0) for stage in config.stages]
    if job == "extension":
        # Only the number of examples is known in advance. Two epochs satisfy the first stage and
        # no number of epochs the second, regardless of what is learned.
        stages[0] = _update(stages[0], min_samples=epoch_rows[0] + 1)
        if len(stages) > 1:
            stages[1] = _update(stages[1], min_samples=100 * epoch_rows[1])
    return config.model_copy(update={"stages": stages, "max_extensions": 2})


def _update(stage: StageConfig, **values: Any) -> StageConfig:
    return stage.model_copy(update=values)


def rehearse(context: Context, job: str) -> dict[str, Any]:
    """Train through the stages of a job. Returns the content of result.json."""
    config, folder = context.config, context.folder
    small = config.curriculum.rehearsal
    setup = TrainingSetup(context, rows=small.rows)
    opened, rows = setup.opened, setup.rows
    # Dropout uses the random state, which a resumed run must restore.
    model = warm_start(config.folder / ADAPTER, opened, seed=config.seed, dropout=small.dropout)
    settings = config.stage_a.model_copy(
        update={"rows": small.rows, "checkpoint_every": small.checkpoint_every}
    )
    samples = [row.sample for row in rows.rows]
    stages = scenario(config.curriculum, job, epoch_rows(config.curriculum, samples, config.seed))
    training = CurriculumRun(
        setup.feeder(model),
        rows,
        setup.teacher,
        settings,
        stages,
        held_out(setup, model),
        noisy=_noisy(config, stages, rows, setup.features),
        may_stop=job == "extension",
        log=folder / LOG,
        seed=config.seed,
    )
    steps = [len(training.drawing.make(n)) for n in range(len(stages.stages))]
    write_json(folder / PLAN, steps)  # atomic: read by the process that kills this run
    trainer = training.run(config, checkpoint=folder / CHECKPOINT, name=f"08 {job}")
    return {
        "job": job,
        "crashed": None,
        "ended": training.machine.ended,
        "stages": stages.model_dump(mode="json"),
        "epoch_steps": steps,
        "digests": {**content(trainer), "log": digest_file(folder / LOG)},
        "inputs": opened.digests | {"manifest": digest_file(context.manifest)},
        "resumed_at": trainer.resumed_at,
    }


def epoch_rows(config: CurriculumConfig, samples: Sequence[Sample], seed: int) -> list[int]:
    """Number of examples per epoch, for each stage."""
    drawing = StageBatches(samples, Curriculum(config), seed)
    samplers = [drawing.make(number) for number in range(len(config.stages))]
    return [len(sampler) * sampler.batch_size for sampler in samplers]


def held_out(setup: TrainingSetup, model: SafeModel) -> HeldOut:
    """Held-out validation examples, and the skip rate of the gate of 05 on validation."""
    config, feeder = setup.config, setup.feeder(model)
    wanted = config.curriculum.rehearsal.held_out
    gate = load_gate(config.folder / GATING / GATE, base=setup.opened.vlm_ref.digest)
    columns = ["split", gate.kind]
    table = pq.read_table(config.folder / GATING / ITEMS, columns=columns)
    scores = table.filter(np.array(table["split"]) == CHOSEN_ON)[gate.kind].to_numpy()

    kinds = {"audio": setup.held_out_audio("val", wanted), "vl": setup.held_out_vl(wanted)}

    def ask() -> tuple[float, float]:
        rows = setup.evaluate(feeder, kinds, with_base=("vl",))
        heard, seen = ([row for row in rows if row["kind"] == kind] for kind in kinds)
        lost = sum(bool(row["base_right"]) for row in seen) - sum(row["right"] for row in seen)
        return sum(row["right"] for row in heard) / len(heard), lost / len(seen)

    return HeldOut(ask, 1 - float(np.mean(gate.consults(scores))))


def _noisy(
    config: RunConfig, stages: CurriculumConfig, rows: StageARows, features: Features
) -> Noisy:
    """Noisy sounds, if any stage uses them, over the widest SNR range of all stages."""
    wanting = [s.augmentation for s in stages.stages if s.augmentation.noise > 0]
    if not wanting:
        return {}
    ranges = [a.noise_snr_db for a in wanting]
    made = noisy_sounds(
        rows.clips,
        config.cache,
        snr_db=(min(low for low, _ in ranges), max(high for _, high in ranges)),
        rate=features.opened.audio_encoder.sampling_rate,
        seed=config.seed,
    )
    features.ensure([], [sound for sounds in made.values() for sound in sounds])
    return {source: usable for source, s in made.items() if (usable := features.usable(s))}


def content(trainer: Trainer) -> dict[str, str]:
    """Digests of adapter and optimizer."""
    weights = tensor_digests(sorted(trainer.model.trainable().items()))
    held = trainer.optimizer.state_dict()["state"]
    moments = {
        f"{group}.{name}": value for group, values in held.items() for name, value in values.items()
    }
    return {
        "weights": digest_json(weights),
        "optimizer": digest_json(
            tensor_digests((n, torch.as_tensor(v)) for n, v in sorted(moments.items()))
        ),
    }
