"""Evaluation of a trained miniature on held-out samples, and whether it qualifies as a base.

Media files are decoded and answers are generated as in the experiments; the generators of the data
are not used.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from tqdm import tqdm
from transformers import Blip2ForConditionalGeneration, Blip2Processor

from safe.errors import MediaError
from safe.gates.statistics import wilson
from safe.hearing.data.decode import load_audio
from safe.hearing.data.sample import Sample
from safe.hearing.miniature.base.material import Material
from safe.hearing.models.audio_encoder import AudioEncoder
from safe.hearing.models.prompt import build_prompt, clean_answer
from safe.hearing.training.features import picture

PER_TYPE = 200  # held-out questions per type, for a card
BATCH = 50
NEW_TOKENS = 8

# The experiments need a base with visual ability, to measure its retention, and an audio encoder
# that separates the sounds, so that there is something to learn.
MIN_VL_ACCURACY = 0.97
MIN_ZERO_SHOT = 0.95
# Each type of question about sounds is compared with guessing. There are a dozen types, so a high
# level keeps false alarms over all of them rare.
PRIOR_LEVEL = 0.999


def pick(samples: Sequence[Sample], seed: int, per_type: int = PER_TYPE) -> list[Sample]:
    """Draw at most `per_type` samples of each task and type, without captions."""
    groups: dict[tuple[str, str], list[Sample]] = defaultdict(list)
    for sample in samples:
        if sample.task != "caption":
            groups[sample.task, sample.question_type].append(sample)
    rng = np.random.default_rng(seed)
    chosen: list[Sample] = []
    for key in sorted(groups):
        members = groups[key]
        chosen += [members[i] for i in sorted(rng.permutation(len(members))[:per_type])]
    return chosen


def _decoded(samples: Sequence[Sample], read: Any) -> Iterator[tuple[Sample, Any]]:
    """Yield (sample, read(sample)); skip undecodable ones, which the audit reports."""
    for sample in samples:
        try:
            yield sample, read(sample)
        except MediaError:
            continue


def _batches(items: Iterator[Any], size: int = BATCH) -> Iterator[list[Any]]:
    batch = []
    for item in items:
        batch.append(item)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


@torch.inference_mode()
def answer(
    model: Blip2ForConditionalGeneration, processor: Blip2Processor, samples: Sequence[Sample]
) -> list[tuple[Sample, str]]:
    """Generate the base's greedy answers, without audio."""
    answered: list[tuple[Sample, str]] = []
    for batch in tqdm(list(_batches(iter(samples))), "held-out questions"):
        pairs = list(_decoded(batch, picture))
        if not pairs:
            continue
        inputs = processor(
            images=[image for _, image in pairs],
            text=[build_prompt(sample.question) for sample, _ in pairs],
            padding=True,
            return_tensors="pt",
        ).to(model.device)
        inputs["pixel_values"] = inputs["pixel_values"].to(model.dtype)
        out = model.generate(**inputs, max_new_tokens=NEW_TOKENS, do_sample=False)
        texts = processor.tokenizer.batch_decode(
            out[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True
        )
        answered += [(s, clean_answer(t)) for (s, _), t in zip(pairs, texts, strict=True)]
    return answered


def _share(hits: int, n: int) -> dict[str, Any]:
    interval = wilson(hits, n)
    return {"accuracy": hits / n, "n": n, "ci": [interval.low, interval.high]}


def by_type(answered: Sequence[tuple[Sample, str]]) -> dict[str, dict[str, Any]]:
    """Compute accuracy by question type; for questions about sounds also of guessing.

    `prior` is the share of the type's most common answer. `chance` is the expected accuracy of
    answers drawn from their distribution.
    """
    groups: dict[str, dict[str, list[tuple[Sample, str]]]] = {"vl": {}, "audio": {}}
    for item in answered:
        part = "vl" if item[0].task == "vl" else "audio"
        groups[part].setdefault(item[0].question_type, []).append(item)
    result: dict[str, dict[str, Any]] = {"vl": {}, "audio": {}}
    for part, types in groups.items():
        for kind, items in sorted(types.items()):
            hits = sum(said == sample.answer.lower() for sample, said in items)
            row = _share(hits, len(items))
            if part == "audio":
                counts = np.array(list(Counter(s.answer for s, _ in items).values()))
                row["prior"] = float(counts.max() / counts.sum())
                row["chance"] = float(np.square(counts / counts.sum()).sum())
            result[part][kind] = row
    return result


def zero_shot(
    audio_encoder: AudioEncoder, material: Material, samples: Sequence[Sample]
) -> dict[str, Any]:
    """Compute the accuracy of CLAP's zero-shot classification (nearest prompt by cosine)."""
    prompts, items = material.zero_shot(samples)
    classes = audio_encoder.embed_text(prompts)
    truth = {id(sample): number for sample, number in items}
    waves = _decoded(
        [s for s, _ in items], lambda s: load_audio(s.audio, audio_encoder.sampling_rate)
    )
    hits = n = 0
    for batch in _batches(waves):
        near = (audio_encoder.embed([wave for _, wave in batch]) @ classes.T).argmax(1).tolist()
        hits += sum(truth[id(s)] == number for (s, _), number in zip(batch, near, strict=True))
        n += len(batch)
    return _share(hits, n) if n else {"accuracy": None, "n": 0, "ci": None}


def evaluate(
    vlm: Blip2ForConditionalGeneration,
    processor: Blip2Processor,
    audio_encoder: AudioEncoder,
    material: Material,
    samples: Sequence[Sample],
    *,
    seed: int,
    per_type: int = PER_TYPE,
) -> dict[str, Any]:
    """Compute accuracy by question type without audio, and CLAP's zero-shot accuracy.

    Args:
        samples: held-out samples; at most `per_type` of each type are used, drawn with `seed`.
    """
    return {
        **by_type(answer(vlm, processor, pick(samples, seed, per_type))),
        "clap_zero_shot": zero_shot(audio_encoder, material, samples),
    }


def _surely_under(row: dict[str, Any], floor: float) -> bool:
    return wilson(round(row["accuracy"] * row["n"]), row["n"]).high < floor


def faults(held_out: dict[str, Any]) -> list[str]:
    """Return the reasons why the results do not qualify as a base; empty if they do.

    An accuracy is a fault if its whole interval is below the floor, which tolerates a few wrong
    answers in a small sample.
    """
    found = []
    if not held_out["vl"]:
        found.append("no question about a picture was held out")
    for kind, row in held_out["vl"].items():
        if _surely_under(row, MIN_VL_ACCURACY):
            found.append(f"{kind}: {row['accuracy']:.3f} of {row['n']}, under {MIN_VL_ACCURACY}")
    for kind, row in held_out["audio"].items():
        interval = wilson(round(row["accuracy"] * row["n"]), row["n"], PRIOR_LEVEL)
        if interval.low > row["prior"]:
            found.append(f"{kind}: {row['accuracy']:.3f} without audio, prior {row['prior']:.3f}")
        if interval.high < row["chance"]:
            found.append(
                f"{kind}: {row['accuracy']:.3f} without audio, under chance {row['chance']:.3f}"
            )
    shot = held_out["clap_zero_shot"]
    if shot["accuracy"] is None:
        found.append("zero-shot: no sound was held out")
    elif _surely_under(shot, MIN_ZERO_SHOT):
        found.append(f"zero-shot: {shot['accuracy']:.3f} of {shot['n']}, under {MIN_ZERO_SHOT}")
    return found
