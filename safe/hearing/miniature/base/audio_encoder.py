"""Training of the audio encoder: CLAP's contrastive loss, plus linear probes.

A caption describes one or more facets of a sound (speaker, digit; sounds, order). Every caption
that is true of a sound is a positive, so equal captions in one batch are not false negatives. The
probes keep the information that the questions need (which sounds, how many, first, last) linearly
decodable from the embedding; they are discarded afterwards.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import ClapModel, PreTrainedTokenizerFast

from safe.hearing.miniature.base.loop import Schedule, fit

Spectrograms = Callable[[Tensor, torch.Generator], Tensor]
PROBE_SCALE = 16.0  # scales the unit-length embedding for the probes' logits
MAX_SCALE = 100.0  # CLIP's maximum inverse temperature


@dataclass(frozen=True)
class Hearing:
    """Sounds and captions for training.

    Attributes:
        spectrograms: indices, generator -> (B, 1, frames, mels), with new augmentation.
        facts: (N, facets) true value of each facet.
        captions: the texts.
        claims: (captions, facets) value that each caption states; -1 where it states none.
        caption_of: (N, alternatives) indices into `captions` of the captions true of each sound.
        probes: name -> (N,) classes, or (N, K) of 0 and 1 for multi-label targets.
    """

    spectrograms: Spectrograms
    facts: Tensor
    captions: list[str]
    claims: Tensor
    caption_of: Tensor
    probes: Mapping[str, Tensor]

    def __len__(self) -> int:
        return len(self.facts)


def matches(facts: Tensor, claims: Tensor) -> Tensor:
    """Return (B, C) bool: claim c is true of sound b. Both are (., facets); -1 matches all."""
    return ((claims[None] == facts[:, None]) | (claims[None] < 0)).all(-1)


def contrastive_loss(similarity: Tensor, true: Tensor) -> Tensor:
    """Return CLIP's symmetric cross-entropy with several, equally weighted positives per row.

    Args:
        similarity: (B, C) scaled cosines.
        true: (B, C) bool, at least one true in every row and column.
    """

    def one_way(logits: Tensor, positive: Tensor) -> Tensor:
        target = positive.float() / positive.sum(1, keepdim=True)
        return -(target * logits.log_softmax(1)).sum(1).mean()

    return (one_way(similarity, true) + one_way(similarity.T, true.T)) / 2


def _probe_heads(probes: Mapping[str, Tensor], width: int) -> nn.ModuleDict:
    sizes = {n: t.shape[1] if t.ndim == 2 else int(t.max()) + 1 for n, t in probes.items()}
    return nn.ModuleDict({name: nn.Linear(width, size) for name, size in sizes.items()})


def probe_loss(heads: nn.ModuleDict, embedding: Tensor, truth: Mapping[str, Tensor]) -> Tensor:
    """Return the summed loss of the linear probes on the scaled embedding."""
    losses = []
    for name, target in truth.items():
        logits = heads[name](embedding * PROBE_SCALE)
        if target.ndim == 2:
            losses.append(F.binary_cross_entropy_with_logits(logits, target.float()))
        else:
            losses.append(F.cross_entropy(logits, target, ignore_index=-100))
    return torch.stack(losses).sum()


def train_audio_encoder(
    model: ClapModel,
    tokenizer: PreTrainedTokenizerFast,
    hearing: Hearing,
    schedule: Schedule,
    *,
    seed: int,
    position: int = 0,
) -> float:
    """Train the whole CLAP model in place; return the final loss."""
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        heads = _probe_heads(hearing.probes, model.config.projection_dim)
    texts = tokenizer(hearing.captions, padding=True, return_tensors="pt")
    ids, mask = texts["input_ids"], texts["attention_mask"]
    choices = hearing.caption_of.shape[1]

    def loss_of(index: Tensor) -> Tensor:
        sound = hearing.spectrograms(index, generator)
        pick = torch.randint(choices, (len(index), 1), generator=generator)
        caption = hearing.caption_of[index].gather(1, pick).squeeze(1)
        longest = int(mask[caption].sum(1).max())
        heard = model.get_audio_features(input_features=sound).pooler_output
        read = model.get_text_features(
            input_ids=ids[caption, :longest], attention_mask=mask[caption, :longest]
        ).pooler_output
        true = matches(hearing.facts[index], hearing.claims[caption])
        scale = model.logit_scale_a.exp().clamp(max=MAX_SCALE)
        truth = {name: target[index] for name, target in hearing.probes.items()}
        return contrastive_loss(scale * heard @ read.T, true) + probe_loss(heads, heard, truth)

    model.train()
    loss = fit(
        [*model.parameters(), *heads.parameters()],
        loss_of,
        len(hearing),
        schedule,
        generator=generator,
        title="audio_encoder",
        position=position,
    )
    with torch.no_grad():
        model.logit_scale_a.clamp_(max=float(torch.tensor(MAX_SCALE).log()))
        model.logit_scale_t.copy_(model.logit_scale_a)
    model.eval()
    return loss
