"""Tokenize samples: prompts are padded on the left, answers on the right.

The layout is the processor's: image placeholders, padding, prompt. Shape legend: B examples,
L prompt positions, T answer positions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import Blip2ForConditionalGeneration, Blip2Processor

from safe.errors import ModelError
from safe.hearing.data.decode import load_audio
from safe.hearing.data.sample import Sample
from safe.hearing.models.prompt import answer_text, build_prompt, clean_answer


@dataclass(frozen=True, slots=True)
class Example:
    """A tokenized sample to train or score on, and the source of its audio.

    Attributes:
        sample: question, answer, image.
        heard: sample whose audio is used: the same one, or another one for a VL example that the
            model must answer regardless of the audio.
        prompt, answer: token ids; the answer ends with the end token.
    """

    sample: Sample
    heard: Sample
    prompt: tuple[int, ...]
    answer: tuple[int, ...]

    @property
    def length(self) -> int:
        return len(self.prompt) + len(self.answer)


class TextEncoder:
    """The base's tokenizer, its image placeholder and its end token."""

    def __init__(self, vlm: Blip2ForConditionalGeneration, processor: Blip2Processor) -> None:
        self.tokenizer: Any = processor.tokenizer
        self.queries = int(vlm.config.num_query_tokens)
        self.image_token = int(vlm.config.image_token_index)
        self.pad = int(self.tokenizer.pad_token_id)
        end = vlm.config.text_config.eos_token_id  # BLIP-2 OPT ends answers with a line break
        if end is None:
            end = self.tokenizer.eos_token_id
        self.end = int(end[0] if isinstance(end, list) else end)
        self.positions = getattr(vlm.config.text_config, "max_position_embeddings", None)
        self._prompts: dict[str, tuple[int, ...]] = {}  # caches: many questions and answers are
        self._answers: dict[str, tuple[int, ...]] = {}  # repeated, and tokenizing is slow

    def row(self, sample: Sample, heard: Sample) -> Example:
        """Tokenize the sample's question and training answer."""
        prompt = self._prompts.get(sample.question)
        if prompt is None:
            prompt = tuple(self.tokenizer(build_prompt(sample.question))["input_ids"])
            self._prompts[sample.question] = prompt
        answer = self._answers.get(sample.answer)
        if answer is None:
            text = answer_text(sample.answer)
            tokens = self.tokenizer(text, add_special_tokens=False)["input_ids"]
            answer = self._answers[sample.answer] = (*tokens, self.end)
        return Example(sample, heard, prompt, answer)

    def prompts(self, rows: Sequence[Example]) -> dict[str, Tensor]:
        """Return `input_ids` and `attention_mask`, (B, L)."""
        longest = max(len(r.prompt) for r in rows)
        image = [self.image_token] * self.queries
        ids = [[*image, *[self.pad] * (longest - len(r.prompt)), *r.prompt] for r in rows]
        mask = [
            [1] * self.queries + [0] * (longest - len(r.prompt)) + [1] * len(r.prompt) for r in rows
        ]
        return {"input_ids": torch.tensor(ids), "attention_mask": torch.tensor(mask)}

    def answers(self, rows: Sequence[Example]) -> dict[str, Tensor]:
        """Return `answer_ids` and `answer_mask`, (B, T)."""
        longest = max(len(r.answer) for r in rows)
        ids = [[*r.answer, *[self.pad] * (longest - len(r.answer))] for r in rows]
        mask = [[1] * len(r.answer) + [0] * (longest - len(r.answer)) for r in rows]
        return {"answer_ids": torch.tensor(ids), "answer_mask": torch.tensor(mask)}

    def decode(self, sequences: Tensor, prompt_length: int) -> list[str]:
        """Decode the answers in generated sequences, after the first `prompt_length` tokens."""
        texts = self.tokenizer.batch_decode(sequences[:, prompt_length:], skip_special_tokens=True)
        return [clean_answer(text) for text in texts]

    def new_tokens(self, sequences: Tensor, prompt_length: int) -> list[list[int]]:
        """Token ids behind the prompt, without trailing padding."""
        tokens: list[list[int]] = sequences[:, prompt_length:].tolist()
        for row in tokens:
            while row and row[-1] == self.pad:
                row.pop()
        return tokens

    def check_fits(self, rows: Sequence[Example], audio_tokens: int) -> None:
        """Check that all examples with audio tokens fit into the language model's positions.

        Raises:
            ModelError: an example is too long; the message names the longest one.
        """
        if self.positions is None or not rows:
            return
        longest = max(rows, key=lambda r: r.length)
        needed = self.queries + audio_tokens + longest.length
        if needed > self.positions:
            raise ModelError(
                f"the example {longest.sample.id} needs {needed} positions, the language model has "
                f"{self.positions}",
                key="adapter.audio_tokens",
                hint="use fewer audio tokens, or remove questions of this length",
            )


def waveforms(rows: Sequence[Example], rate: int) -> list[np.ndarray]:
    """Decode the sounds of examples, each (n,) at `rate` Hz."""
    found = []
    for row in rows:
        assert row.heard.audio is not None
        found.append(load_audio(row.heard.audio, rate))
    return found
