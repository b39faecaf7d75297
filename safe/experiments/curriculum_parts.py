"""The runs of experiment 08, each a job of its own.

`normal` goes through the stages an epoch each; `extension` meets a stage that must be extended
once and one that no extension helps, where it must stop; `resumed` has `killed`, which is `normal`
once more in a process of its own, killed at random moments and started again until it ends. Each
leaves below 08_curriculum/parts/NAME: result.json, log.jsonl.
"""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import sys
import time
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import torch

from safe.config import CurriculumConfig, RunConfig, StageConfig
from safe.data.sample import Sample
from safe.digest import digest_file, digest_json
from safe.errors import ConfigError
from safe.experiments.context import Context
from safe.experiments.curriculum_script import PARTS
from safe.experiments.gating import ADAPTER, CHOSEN_ON, GATE, ITEMS
from safe.models.gate_file import load_gate
from safe.models.weights import tensor_digests
from safe.training.collate import TextEncoder
from safe.training.curriculum import Curriculum
from safe.training.curriculum_run import CurriculumRun, HeldOut, Noisy, StageBatches
from safe.training.features import Features
from safe.training.feeding import Feeder
from safe.training.forced import forced
from safe.training.held_out import audio_rows, spread, vl_rows
from safe.training.noisy_sounds import noisy_sounds
from safe.training.opened import open_base, use_threads
from safe.training.stage_a import StageARows, select_stage_a
from safe.training.teacher import Teacher
from safe.training.trainer import Trainer
from safe.training.warm_start import warm_start

LOG, PLAN, CHECKPOINT = "log.jsonl", "plan.json", "checkpoint.pt"
GATING = "05_gating"
CHILD = """
import sys
from pathlib import Path
from safe.config import load_run_config
from safe.experiments.runner import run_part
run_part(load_run_config(Path(sys.argv[1])), "08_curriculum", "killed")
"""
LOOK_EVERY_S = 0.005  # at the log of the run that is to be killed


def scenario(config: CurriculumConfig, part: str, epoch_rows: Sequence[int]) -> CurriculumConfig:
    """The stages that a part goes through, an epoch each; of few rows, no minimum is asked for.

    Args:
        epoch_rows: rows of an epoch of each stage.
    """
    stages = [_update(stage, epochs=1, min_samples=0) for stage in config.stages]
    if part == "extension":
        # Rows are what alone is known beforehand: two epochs satisfy the first stage, and none
        # the second, whatever is learned.
        stages[0] = _update(stages[0], min_samples=epoch_rows[0] + 1)
        if len(stages) > 1:
            stages[1] = _update(stages[1], min_samples=100 * epoch_rows[1])
    return config.model_copy(update={"stages": stages, "max_extensions": 2})


def _update(stage: StageConfig, **values: Any) -> StageConfig:
    return stage.model_copy(update=values)


def prepare(context: Context, wanted: Sequence[str]) -> None:
    """Nothing is shared: each part is to begin as a process of its own does.

    Raises:
        ConfigError: there is no such part.
    """
    for part in wanted:
        if part not in (*PARTS, "killed"):
            raise ConfigError(f"no part {part!r}", mend=f"name one of {', '.join(PARTS)}")


def run(context: Context, part: str, bench: None = None) -> dict[str, Any]:
    """Go through one part. Returns what result.json holds."""
    if part == "resumed":
        return _killed_and_resumed(context)
    use_threads(context.config)
    try:
        return _train(context, part)
    except ConfigError:
        raise  # nothing was trained: the settings are to be mended
    except Exception as error:  # whatever it is, it is what this experiment looks for
        text = traceback.format_exc()
        (context.folder / "crash.txt").write_text(text, encoding="utf-8")
        return {"part": part, "crashed": f"{type(error).__name__}: {error}"}


def _train(context: Context, part: str) -> dict[str, Any]:
    config, folder = context.config, context.folder
    opened = open_base(config)
    # Dropout draws on a random state, which a resumed run must have kept.
    dropout = config.curriculum.rehearsal.dropout
    model = warm_start(config.folder / ADAPTER, opened, seed=config.seed, dropout=dropout)
    features = Features(opened, config.cache, model.projector.input_kind)
    encoder = TextEncoder(opened.vlm, opened.processor)
    feeder = Feeder(model, features, encoder)
    teacher = Teacher(features, encoder, config.cache)
    small = config.curriculum.rehearsal
    settings = config.stage_a.model_copy(
        update={"rows": small.rows, "checkpoint_every": small.checkpoint_every}
    )
    own = config.model_copy(update={"stage_a": settings})
    rows = select_stage_a(own, context.manifest, features, encoder)
    samples = [row.sample for row in rows.rows]
    stages = scenario(config.curriculum, part, epoch_rows(config.curriculum, samples, config.seed))
    training = CurriculumRun(
        feeder,
        rows,
        teacher,
        settings,
        stages,
        held_out(config, context.manifest, feeder, teacher, opened.vlm_ref.digest),
        noisy=_noisy(config, stages, rows, features),
        may_stop=part == "extension",
        log=folder / LOG,
        seed=config.seed,
    )
    steps = [len(training.drawing.make(n)) for n in range(len(stages.stages))]
    (folder / PLAN).write_text(json.dumps(steps), encoding="utf-8")
    trainer = training.run(config, checkpoint=folder / CHECKPOINT, name=f"08 {part}")
    return {
        "part": part,
        "crashed": None,
        "ended": training.machine.ended,
        "stages": stages.model_dump(mode="json"),
        "epoch_steps": steps,
        "digests": {**content(trainer), "log": digest_file(folder / LOG)},
        "inputs": opened.digests | {"manifest": digest_file(context.manifest)},
        "resumed_at": trainer.resumed_at,
    }


def epoch_rows(config: CurriculumConfig, samples: Sequence[Sample], seed: int) -> list[int]:
    """Rows of an epoch of each stage."""
    drawing = StageBatches(samples, Curriculum(config), seed)
    samplers = [drawing.make(number) for number in range(len(config.stages))]
    return [len(sampler) * sampler.batch_size for sampler in samplers]


def held_out(
    config: RunConfig, manifest: Path, feeder: Feeder, teacher: Teacher, base: str
) -> HeldOut:
    """Held-out rows of validation, and the skip rate of the gate of 05 there."""
    features, encoder = feeder.features, feeder.encoder
    wanted = config.curriculum.rehearsal.held_out
    hearing = spread(audio_rows(config, manifest, "val", features, encoder), wanted)
    seeing = spread(vl_rows(config, manifest, features, encoder), wanted)
    teacher.ensure(seeing)
    gate = load_gate(config.folder / GATING / GATE, base=base)
    columns = ["split", gate.kind]
    table = pq.read_table(config.folder / GATING / ITEMS, columns=columns)
    scores = table.filter(np.array(table["split"]) == CHOSEN_ON)[gate.kind].to_numpy()

    def ask() -> tuple[float, float]:
        heard = [answer.right for answer in forced(feeder, hearing)]
        seen = forced(feeder, seeing, teacher)
        lost = sum(bool(a.base_right) for a in seen) - sum(a.right for a in seen)
        return sum(heard) / len(heard), lost / len(seen)

    return HeldOut(ask, 1 - float(np.mean(gate.consults(scores))))


def _noisy(
    config: RunConfig, stages: CurriculumConfig, rows: StageARows, features: Features
) -> Noisy:
    """Sounds in noise, where a stage wants them: of the widest range that any stage names."""
    wanting = [s.augmentation for s in stages.stages if s.augmentation.noise > 0]
    if not wanting:
        return {}
    ranges = [a.noise_snr_db for a in wanting]
    made = noisy_sounds(
        rows.clips,
        config.cache,
        snr_db=(min(low for low, _ in ranges), max(high for _, high in ranges)),
        rate=features.opened.ear.sampling_rate,
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


# -- killed and resumed ---------------------------------------------------------------------------


def _killed_and_resumed(context: Context) -> dict[str, Any]:
    """Have `killed` run, kill it, start it again; it ends when it is no longer killed."""
    config = context.config
    folder = context.folder.parent / "killed"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    rng = random.Random(config.seed)
    # Not `safe part`: whether this experiment may run has been asked.
    command = [sys.executable, "-P", "-c", CHILD, str(config.folder / "config.json")]
    kills: list[int] = []
    while True:
        child = subprocess.Popen(command)
        try:
            if len(kills) < config.curriculum.rehearsal.kills:
                at = _wait_for(folder, kills, rng, child)
                if at is not None:
                    child.kill()
                    child.wait()
                    kills.append(at)
                    continue
            status = child.wait()
        finally:
            child.kill()
        break
    path = folder / "result.json"
    if status or not path.exists():
        return {
            "part": "resumed",
            "crashed": f"`killed` ended with status {status}",
            "kills": kills,
        }
    ended = json.loads(path.read_text(encoding="utf-8"))
    return {**ended, "part": "resumed", "kills": kills}


def _wait_for(
    folder: Path, kills: Sequence[int], rng: random.Random, child: subprocess.Popen[bytes]
) -> int | None:
    """Lines of the log when a random moment of what is left has come; None: it ended before."""
    plan, log, target = folder / PLAN, folder / LOG, None
    while child.poll() is None:
        if target is None and plan.exists():
            total = sum(json.loads(plan.read_text(encoding="utf-8")))
            start = (kills[-1] if kills else 0) + 1
            target = rng.randint(start, max(start, total - 3))
        if target is not None and _lines(log) >= target:
            return _lines(log)
        time.sleep(LOOK_EVERY_S)
    return None


def _lines(log: Path) -> int:
    try:
        return log.read_bytes().count(b"\n")
    except FileNotFoundError:
        return 0
