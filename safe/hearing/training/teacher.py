"""Teacher of distillation: the base's logits at each answer position, computed once.

The store contains the input of the base's output head, (d,) per answer token, instead of the
logits, (V,). The head is frozen and recomputes them, and at OPT-2.7B an entry is 20 times smaller.
Shape legend: B examples, L prompt positions, T answer positions, N answer tokens.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from safe.digest import digest_code, digest_json
from safe.hearing.data.feature_store import Array, FeatureStore
from safe.hearing.training.collate import Example, TextEncoder
from safe.hearing.training.features import Features

BATCH = 64


class Teacher:
    """The base's hidden states at answer positions, read from the store or computed.

    Args:
        features: must have the examples' image tokens.
        encoder: text encoder of the same base.
        cache: the run's cache folder.
    """

    def __init__(self, features: Features, encoder: TextEncoder, cache: Path) -> None:
        self.features, self.encoder = features, encoder
        self.base = features.opened.vlm
        self.head: Any = self.base.language_model.get_output_embeddings()
        self._space = digest_json(
            [
                "teacher",
                features.opened.vlm_ref.digest,
                digest_code("safe.hearing.training.teacher"),
            ]
        )
        self.store = FeatureStore(
            cache / "features" / f"teacher-{self._space[:16]}", (self.head.in_features,)
        )
        self.computed = 0

    def _keys(self, row: Example) -> list[str]:
        image = self.features.image_key(row.sample)
        whole = digest_json([self._space, image, list(row.prompt), list(row.answer)])
        return [f"{whole}:{position}" for position in range(len(row.answer))]

    def ensure(self, rows: Sequence[Example]) -> None:
        """Compute the entries that are not in the store, one per answer token."""
        owners = {key: row for row in rows for key in self._keys(row)}
        self.computed += self.store.ensure(list(owners), lambda keys: self._compute(keys, owners))

    def _compute(
        self, keys: Sequence[str], owners: dict[str, Example]
    ) -> Iterator[tuple[str, Array]]:
        rows = list({id(owners[key]): owners[key] for key in keys}.values())
        rows.sort(key=lambda row: row.length)
        starts = range(0, len(rows), BATCH)
        for start in tqdm(starts, "teacher", unit="batch"):
            batch = rows[start : start + BATCH]
            states = self._states(batch).float().cpu().numpy()
            for row, state in zip(batch, states, strict=True):
                yield from zip(self._keys(row), state[: len(row.answer)], strict=True)

    @torch.inference_mode()
    def _states(self, rows: Sequence[Example]) -> Tensor:
        """(B, T, d): input of the base's output head."""
        captured: list[Tensor] = []
        handle = self.head.register_forward_pre_hook(lambda _, args: captured.append(args[0]))
        try:
            self._run_base(rows)
        finally:
            handle.remove()
        states = captured[-1]
        return states[:, :-1] if self.base.config.use_decoder_only_language_model else states

    def _run_base(self, rows: Sequence[Example]) -> None:
        model, device = self.base, self.base.device
        prompts = {n: v.to(device) for n, v in self.encoder.prompts(rows).items()}
        answers = {n: v.to(device) for n, v in self.encoder.answers(rows).items()}
        ids, mask = prompts["input_ids"], prompts["attention_mask"]
        options: dict[str, Any] = {}
        if model.config.use_decoder_only_language_model:
            ids = torch.cat([ids, answers["answer_ids"]], dim=1)
            mask = torch.cat([mask, answers["answer_mask"]], dim=1)
            options["logits_to_keep"] = answers["answer_ids"].shape[1] + 1
        else:
            options["labels"] = answers["answer_ids"].masked_fill(answers["answer_mask"] == 0, -100)
        embeds = model.get_input_embeddings()(ids)
        image = self.features.image([r.sample for r in rows]).to(device, embeds.dtype)
        is_image = (ids == model.config.image_token_index).unsqueeze(-1)
        model.language_model(
            inputs_embeds=embeds.masked_scatter(is_image, image), attention_mask=mask, **options
        )

    @torch.no_grad()
    def logits(self, rows: Sequence[Example]) -> Tensor:
        """Return (N, V), the base's logits at every answer token, example after example.

        Raises:
            LookupError: `ensure` was not called with an example.
        """
        import numpy as np

        states = [self.store.read(key) for row in rows for key in self._keys(row)]
        if any(state is None for state in states):
            raise LookupError("the teacher has no logits of these examples: call `ensure` first")
        weight = self.head.weight
        stacked = torch.from_numpy(np.stack([s for s in states if s is not None]))
        logits: Tensor = self.head(stacked.to(weight.device, weight.dtype))
        return logits
