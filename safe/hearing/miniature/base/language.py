"""Stage 3: the language model and its projection, on cached Q-Former outputs.

Questions about the picture have true answers. Questions about a sound have answers drawn from their
prior, independent of the picture. The base thus learns all answer words, but no audio information.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import Blip2ForConditionalGeneration, PreTrainedTokenizerFast

from safe.hearing.miniature.base.loop import Schedule, fit
from safe.hearing.models.prompt import answer_text, build_prompt

# A batch is split into parts of similar length: same gradient, a third less padding.
PARTS = 3


@dataclass(frozen=True)
class Asked:
    """A question about the picture with index `picture`.

    Attributes:
        told: description of a sound between picture and question, the place of SAFE's audio
            tokens; may be empty.
    """

    picture: int
    question: str
    answer: str
    kind: str
    task: str
    told: str = ""


def shuffle_answers(asked: Sequence[Asked], rng: np.random.Generator) -> list[Asked]:
    """Permute the answers of questions about sounds within each kind and wording.

    This keeps the distribution of answers but removes the dependence on the picture. Questions
    with a described sound keep their answers.
    """
    groups: dict[tuple[str, str], list[int]] = {}
    for index, item in enumerate(asked):
        if item.task != "vl" and not item.told:
            groups.setdefault((item.kind, item.question), []).append(index)
    dealt = list(asked)
    for members in groups.values():
        for here, there in zip(members, rng.permutation(members), strict=True):
            own, other = asked[here], asked[int(there)]
            dealt[here] = Asked(own.picture, own.question, other.answer, own.kind, own.task)
    return dealt


@dataclass(frozen=True)
class Lines:
    """Tokenized examples: image placeholders, prompt, answer, end token; padded on the right.

    Attributes:
        ids, mask: (N, L).
        labels: (N, L), -100 outside the answer and its end token.
        picture: (N,) index of the picture.
    """

    ids: Tensor
    mask: Tensor
    labels: Tensor
    picture: Tensor


def tokenize(
    asked: Sequence[Asked], tokenizer: PreTrainedTokenizerFast, queries: int, image_token: int
) -> Lines:
    """Tokenize as the processor does, and insert `told`; answer and end token follow."""
    cache: dict[str, list[int]] = {}

    def ids_of(text: str, special: bool) -> list[int]:
        if text not in cache:
            cache[text] = tokenizer(text, add_special_tokens=special)["input_ids"]
        return cache[text]

    rows, starts = [], []
    for item in asked:
        told = ids_of(item.told, False) if item.told else []
        prompt = [image_token] * queries + told + ids_of(build_prompt(item.question), True)
        answer = [*ids_of(answer_text(item.answer), False), tokenizer.eos_token_id]
        rows.append(prompt + answer)
        starts.append(len(prompt))
    length = max(map(len, rows))
    ids = torch.full((len(rows), length), tokenizer.pad_token_id)
    mask = torch.zeros_like(ids)
    labels = torch.full_like(ids, -100)
    for index, (row, start) in enumerate(zip(rows, starts, strict=True)):
        ids[index, : len(row)] = torch.tensor(row)
        mask[index, : len(row)] = 1
        labels[index, start : len(row)] = ids[index, start : len(row)]
    return Lines(ids, mask, labels, torch.tensor([item.picture for item in asked]))


def train_language(
    model: Blip2ForConditionalGeneration,
    outputs: Tensor,
    lines: Lines,
    schedule: Schedule,
    *,
    seed: int,
    position: int = 0,
) -> float:
    """Train the language projection and the language model in place.

    Args:
        outputs: (copies, pictures, queries, width) of `query_outputs`, with different augmentation
            for each copy; each step draws one of the copies per example.

    Returns:
        The final loss.
    """
    generator = torch.Generator().manual_seed(seed)
    image_token, decoder = model.config.image_token_index, model.language_model.model
    lengths = lines.mask.sum(1)

    def summed(index: Tensor, copy: Tensor) -> Tensor:
        longest = int(lengths[index].max())
        ids, labels = lines.ids[index, :longest], lines.labels[index, :longest]
        image = model.language_projection(outputs[copy, lines.picture[index]])
        embeds = model.get_input_embeddings()(ids)
        embeds = embeds.masked_scatter((ids == image_token).unsqueeze(-1), image)
        hidden = decoder(
            inputs_embeds=embeds, attention_mask=lines.mask[index, :longest], use_cache=False
        ).last_hidden_state
        # Logits are computed only for predicted answer tokens.
        wanted = labels[:, 1:] != -100
        logits = model.language_model.lm_head(hidden[:, :-1][wanted])
        return F.cross_entropy(logits, labels[:, 1:][wanted], reduction="sum")

    def loss_of(index: Tensor) -> Tensor:
        copy = torch.randint(len(outputs), (len(index),), generator=generator)
        order = lengths[index].argsort(stable=True)
        parts = [summed(index[part], copy[part]) for part in order.chunk(PARTS)]
        return torch.stack(parts).sum() / (lines.labels[index, 1:] != -100).sum()

    model.language_model.train()
    loss = fit(
        [*model.language_projection.parameters(), *model.language_model.parameters()],
        loss_of,
        len(lines.ids),
        schedule,
        generator=generator,
        title="language",
        position=position,
    )
    model.language_model.eval()
    return loss
