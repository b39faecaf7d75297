"""The trainings of experiment 11, one job per seed.

Each writes to 11_seeds/jobs/NAME: result.json, items.parquet, adapter/.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import torch

from safe.digest import digest_file, digest_json
from safe.errors import TrainingError
from safe.hearing.context import Context
from safe.hearing.experiments.seeds.config import SeedsSettings
from safe.hearing.experiments.seeds.plan import ITEMS, chosen, seed_of
from safe.hearing.experiments.training_setup import TrainingSetup
from safe.hearing.models.fusion import image_tokens
from safe.hearing.models.safe_model import SafeModel
from safe.hearing.models.weights import tensor_digest, tensor_digests
from safe.hearing.training.batching import Feeder, batches
from safe.hearing.training.collate import Example, waveforms
from safe.hearing.training.held_out import subsample_evenly
from safe.hearing.training.stage_a import StageA
from safe.pipeline.job_results import write_rows


def prepare(context: Context, wanted: Sequence[str]) -> SeedsTraining:
    """Prepare the state shared by all jobs.

    Raises:
        ConfigError: there is no such job.
        EvidenceError: the sweep selected no combination.
    """
    for job in wanted:
        seed_of(context.config, job)
    return SeedsTraining(context)


def run(context: Context, job: str, setup: SeedsTraining) -> dict[str, Any]:
    """Train with one seed and evaluate. Returns the content of result.json."""
    config, seed = context.config, seed_of(context.config, job)
    name, own = chosen(context)
    model = setup.opened.build(config, seed=seed)
    feeder = setup.feeder(model)
    stage = StageA(feeder, setup.rows, setup.teacher, own, seed)
    result: dict[str, Any] = {
        "job": job,
        "cell": name,
        "settings": own.model_dump(mode="json"),
        "seed": seed,
        "process": os.getpid(),
        "threads": torch.get_num_threads(),
        "rows": digest_json([row.sample.id for row in setup.rows.rows]),
        "diverged": None,
        "digests": setup.opened.digests | {"manifest": digest_file(context.manifest)},
    }
    try:
        trained = stage.train(
            config, checkpoint=context.folder / "checkpoint.pt", folder=None, name=f"11 {job}"
        )
    except TrainingError as error:
        return {**result, "diverged": str(error)}  # the seed's result
    model.eval()
    setup.opened.save(model, context.folder / "adapter")
    write_rows(context.folder / ITEMS, setup.evaluate_held_out(feeder))
    return {
        **result,
        "adapter": digest_json(tensor_digests(sorted(model.trainable().items()))),
        "order": digest_json([stage.batches().next() for _ in range(4)]),
        "final_loss": trained.history[-1].loss,
        "frozen": setup.frozen(model),
    }


class SeedsTraining(TrainingSetup):
    """Training and held-out examples, the same for every seed."""

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        own = SeedsSettings.of(self.config)
        self.audio_examples = self.held_out_audio("test", own.audio_items)
        self.vl_examples = self.held_out_vl(own.vl_items)

    def evaluate_held_out(self, feeder: Feeder) -> list[dict[str, Any]]:
        """Evaluate all held-out examples with the gate ON."""
        kinds = {"audio": self.audio_examples, "vl": self.vl_examples}
        return self.evaluate(feeder, kinds, with_base=("vl",))

    @torch.no_grad()
    def frozen(self, model: SafeModel) -> dict[str, str]:
        """Digests of the frozen path's outputs, recomputed instead of read from the cache.

        Covers logits with the gate OFF, image tokens and audio-encoder features, for the same
        examples for every seed.
        """
        wanted = SeedsSettings.of(self.config).frozen_items
        vl_examples, audio_examples = (
            subsample_evenly(self.vl_examples, wanted),
            subsample_evenly(self.audio_examples, wanted),
        )
        feeder = self.feeder(model)
        found: dict[str, list[str]] = {"gate OFF": [], "image tokens": [], "audio_encoder": []}
        for batch in batches(vl_examples):
            inputs = feeder.plain(batch)
            found["gate OFF"].append(tensor_digest("logits", model(**inputs, gate=False).logits))
            tokens = image_tokens(model.base, inputs["pixel_values"])
            found["image tokens"].append(tensor_digest("tokens", tokens))
        for batch in batches(audio_examples):
            found["audio_encoder"].append(tensor_digest("audio_encoder", self._encode(batch)))
        return {kind: digest_json(digests) for kind, digests in found.items()}

    def _encode(self, rows: Sequence[Example]) -> torch.Tensor:
        """(B, E) or (B, S, C): features of the examples' sounds, computed from their files."""
        audio_encoder = self.opened.audio_encoder
        encoded = (
            audio_encoder.embed
            if self.features.audio_kind == "embedding"
            else audio_encoder.sequence
        )
        return encoded(waveforms(rows, audio_encoder.sampling_rate))
