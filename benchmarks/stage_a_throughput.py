"""Throughput of Stage A in examples per second, compared with a plain training loop.

    python benchmarks/stage_a_throughput.py                       # the miniature, on this CPU
    python benchmarks/stage_a_throughput.py --size blip2-opt-2.7b --device cuda

The plain loop uses transformers and PEFT without caching: every step runs the vision tower, the
Q-Former, CLAP's feature extractor and tower, and the teacher (the base on the same examples).
Preprocessed pictures and waveforms are in memory. Both loops have the same weights, examples,
order, optimizer and precision, and their losses are checked to be equal. The weights are random,
because speed does not depend on them.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch
from PIL import Image
from torch.utils.flop_counter import FlopCounterMode
from transformers import (
    Blip2ForConditionalGeneration,
    Blip2Processor,
    BlipImageProcessorPil,
    ClapFeatureExtractor,
    ClapModel,
)

from safe.gates.statistics import ratio_bootstrap
from safe.hearing.config import AdapterConfig, LoraConfig, StageAConfig
from safe.hearing.data.decode import load_audio
from safe.hearing.data.sample import MediaRef, Sample
from safe.hearing.evaluation.latency import wait
from safe.hearing.miniature.base.architecture import build_audio_encoder, build_vlm
from safe.hearing.miniature.base.recipe import RECIPES
from safe.hearing.miniature.base.tokenizer import build_tokenizer
from safe.hearing.models.audio_encoder import AudioEncoder
from safe.hearing.models.base import quiet, resolve_device
from safe.hearing.models.checkpoint import refs_of
from safe.hearing.models.full_size import PLAN_ADAPTER, blip2_opt_2_7b_config, clap_htsat_config
from safe.hearing.models.fusion import image_tokens
from safe.hearing.models.safe_model import SafeModel
from safe.hearing.training.batching import Feeder
from safe.hearing.training.collate import TextEncoder
from safe.hearing.training.features import Features, picture
from safe.hearing.training.frozen_models import OpenedBase
from safe.hearing.training.losses import StageAObjective
from safe.hearing.training.schedule import warmup_cosine
from safe.hearing.training.stage_a import StageA, StageARows
from safe.hearing.training.teacher import Teacher
from safe.hearing.training.tracking import open_accelerator
from safe.hearing.training.trainer import Trainer, TrainingBatch, TrainSettings, parameter_groups

SAME = {torch.float32: 1e-5, torch.bfloat16: 2e-2}  # tolerance of the losses, in nats
CHECKED, WARM = 5, 3
QUESTIONS = (
    "What is the color of the object in the top left?",
    "How many objects are there?",
    "Is there a guitar to the left of the drum?",
    "Which sound comes first?",
)
ANSWERS = ("red", "two", "yes", "no", "guitar", "bell")


def make_samples(folder: Path, rows: int, rate: int, seconds: float, side: int) -> list[Sample]:
    """Generate half VL, half audio questions, with noise as pictures and sounds."""
    rng = np.random.default_rng(0)
    samples = []
    for i in range(rows):
        image, sound = folder / f"{i}.png", folder / f"{i}.wav"
        Image.fromarray(rng.integers(0, 255, (side, side, 3), np.uint8)).save(image)
        with_audio = i % 2 == 0
        if with_audio:
            soundfile.write(sound, 0.1 * rng.standard_normal(int(rate * seconds)), rate)
        samples.append(
            Sample(
                id=f"row-{i}",
                dataset="generated",
                split="train",
                task="audio" if with_audio else "vl",
                question=QUESTIONS[int(rng.integers(len(QUESTIONS)))],
                question_type="any",
                answers=(),
                answer=ANSWERS[int(rng.integers(len(ANSWERS)))],
                source=f"generated:{i}",
                image=MediaRef(image),
                audio=MediaRef(sound) if with_audio else None,
            )
        )
    return samples


def build(size: str, device: torch.device) -> tuple[OpenedBase, AdapterConfig, float, int]:
    """Build frozen models and adapter config; also return sound length (s) and picture side."""
    texts = [*QUESTIONS, *ANSWERS, "question : answer ?"]
    tokenizer = build_tokenizer(texts)
    if size == "mini":
        recipe = RECIPES["world"]
        vlm, processor = build_vlm(recipe.vlm, tokenizer, 0)
        clap, audio_encoder_processor = build_audio_encoder(
            recipe.audio_encoder, build_tokenizer(texts, end=True), 0
        )
        extractor = audio_encoder_processor.feature_extractor
        adapter = AdapterConfig(audio_tokens=4, hidden=256, lora=LoraConfig(rank=8, alpha=16))
        seconds, side = float(recipe.audio_encoder.seconds), recipe.vlm.image_size
    else:
        dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
        config = blip2_opt_2_7b_config()
        previous = torch.get_default_dtype()
        torch.set_default_dtype(dtype)
        with torch.device(device):
            vlm = Blip2ForConditionalGeneration(config)
        torch.set_default_dtype(previous)
        with torch.no_grad():
            vlm.query_tokens.normal_()
        with quiet():
            images = BlipImageProcessorPil(size={"height": 224, "width": 224})
            processor = Blip2Processor(images, tokenizer, num_query_tokens=config.num_query_tokens)
        clap, extractor = ClapModel(clap_htsat_config()), ClapFeatureExtractor()
        adapter, seconds, side = PLAN_ADAPTER, 10.0, 224
    vlm = vlm.to(device).eval().requires_grad_(False)
    clap = clap.to(device).eval().requires_grad_(False)
    audio_encoder = AudioEncoder(clap, extractor, device)
    blank = SafeModel(vlm, audio_encoder, adapter)
    refs = refs_of(blank, base_id="random base", audio_encoder_id="random audio encoder")
    return OpenedBase(vlm, processor, audio_encoder, *refs), adapter, seconds, side


class PlainLoop:
    """Training loop that computes everything in every step."""

    def __init__(self, stage: StageA, model: SafeModel, settings: TrainSettings) -> None:
        self.stage, self.model, self.settings = stage, model, settings
        self.batches = stage.batches()
        self.objective = StageAObjective(stage.settings.distillation)
        self.optimizer = torch.optim.AdamW(
            parameter_groups(model, settings), weight_decay=settings.weight_decay
        )
        opened = stage.feeder.features.opened
        rate = opened.audio_encoder.sampling_rate
        self.pixels = {
            row.sample.id: opened.processor.image_processor(
                [picture(row.sample)], return_tensors="pt"
            )["pixel_values"][0]
            for row in stage.rows
        }
        self.waves = {s.id: load_audio(s.audio, rate) for s in stage.data.clips if s.audio}
        self.encoder = TextEncoder(opened.vlm, opened.processor)
        model.train()

    def step(self, number: int) -> float:
        model, device = self.model, self.model.device
        for group in self.optimizer.param_groups:
            group["lr"] = group["peak"] * warmup_cosine(
                number, self.settings.steps, self.settings.warmup
            )
        whole = self.batches.next()
        heard = self.stage.heard(whole, number)
        rows = [
            dataclasses.replace(self.stage.rows[n], heard=heard.get(n, self.stage.rows[n].heard))
            for n in whole
        ]
        prompts = {n: v.to(device) for n, v in self.encoder.prompts(rows).items()}
        answers = {n: v.to(device) for n, v in self.encoder.answers(rows).items()}
        pixels = torch.stack([self.pixels[r.sample.id] for r in rows]).to(device)
        waves = [self.waves[r.heard.id] for r in rows]
        keeps = torch.tensor([n in heard for n in whole], device=device)
        with torch.no_grad():
            tokens = image_tokens(model.base, pixels.to(model.base.dtype))
            sounds = model.audio_encoder.embed(waves).clone()
            teacher = model.answer_logits(
                pixels[keeps].to(model.base.dtype),
                prompts["input_ids"][keeps],
                prompts["attention_mask"][keeps],
                answer_ids=answers["answer_ids"][keeps],
                answer_mask=answers["answer_mask"][keeps],
                gate=False,
            )[answers["answer_mask"][keeps].bool()]
        inputs = {**prompts, **answers, "image_tokens": tokens, "audio": sounds, "gate": True}
        mask = answers["answer_mask"]
        batch = TrainingBatch(
            inputs,
            [r.sample.id for r in rows],
            tokens=int(mask[~keeps].sum()),
            audio_examples=~keeps,
            teacher=teacher,
            teacher_tokens=int(mask[keeps].sum()),
        )
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
            loss = self.objective(model, batch)["loss"]
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.trainable().values(), self.settings.clip_norm)
        self.optimizer.step()
        return float(loss.detach())


def matmul_peak(device: torch.device, dtype: torch.dtype) -> float:
    """Return the FLOP/s of a large square matrix product, the best of ten."""
    side = 8192 if device.type == "cuda" else 1536
    a, b = (torch.randn(side, side, device=device, dtype=dtype) for _ in range(2))
    best = float("inf")
    for _ in range(10):
        wait(device)
        started = time.perf_counter()
        a @ b
        wait(device)
        best = min(best, time.perf_counter() - started)
    return 2 * side**3 / best


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", choices=("mini", "blip2-opt-2.7b"), default="mini")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--rows", type=int, default=256)
    parser.add_argument("--steps", type=int, default=5, help="steps per turn")
    parser.add_argument("--repeats", type=int, default=8, help="turns of each loop, at least 8")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    device = resolve_device(given.device)
    if device.type == "cpu":
        torch.set_num_threads(1)  # as in the training of the miniature

    def say(text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    say(f"building {given.size} with random weights on {device}")
    opened, adapter, seconds, side = build(given.size, device)
    dtype = opened.vlm.language_model.dtype
    with tempfile.TemporaryDirectory(prefix="safe-benchmark-") as name:
        folder = Path(name)
        rate = opened.audio_encoder.sampling_rate
        samples = make_samples(folder, given.rows, rate, seconds, side)
        models = [SafeModel(opened.vlm, opened.audio_encoder, adapter, seed=0) for _ in range(2)]
        features = Features(opened, folder / "cache")
        encoder = TextEncoder(opened.vlm, opened.processor)
        with_audio = [s for s in samples if s.audio is not None]
        vl_samples = [s for s in samples if s.audio is None]
        say("filling the cache")
        started = time.perf_counter()
        features.ensure(samples, with_audio)
        rows = StageARows(
            [encoder.row(s, s) for s in with_audio],
            [encoder.row(s, with_audio[0]) for s in vl_samples],
            with_audio,
            [],
        )
        turns = given.repeats * given.steps + CHECKED + WARM
        config = StageAConfig(steps=turns, batch_size=given.batch_size, projector_lr=1e-3,
                              lora_lr=1e-3, distillation=1.0)  # fmt: skip
        teacher = Teacher(features, encoder, folder / "cache")
        stage = StageA(Feeder(models[0], features, encoder), rows, teacher, config, seed=0)
        filling = time.perf_counter() - started
        settings = TrainSettings(steps=turns, projector_lr=1e-3, lora_lr=1e-3, warmup=0.05,
                                 clip_norm=1.0, seed=0)  # fmt: skip
        ours = Trainer(
            models[0],
            stage.batches(),
            stage.make,
            settings,
            objective=StageAObjective(config.distillation),
            accelerator=open_accelerator(
                device, mixed_precision="bf16" if device.type == "cuda" else "no"
            ),
        )
        models[0].train()
        plain = PlainLoop(stage, models[1], settings)

        say(f"comparing the first {CHECKED} steps")
        gaps = [abs(ours.step(n).loss - plain.step(n)) for n in range(CHECKED)]
        if max(gaps) > SAME[dtype]:
            say(f"the loops are not equivalent: losses differ by {max(gaps):.2e} nats")
            return 1
        for n in range(CHECKED, CHECKED + WARM):
            ours.step(n)
            plain.step(n)
        times: dict[str, list[float]] = {"ours": [], "plain": []}
        calls: dict[str, Any] = {"ours": ours.step, "plain": plain.step}
        for turn in range(given.repeats):
            say(f"turn {turn + 1} of {given.repeats}")
            for which in ("ours", "plain") if turn % 2 else ("plain", "ours"):
                wait(device)
                started = time.perf_counter()
                for n in range(given.steps):
                    calls[which](CHECKED + WARM + turn * given.steps + n)
                wait(device)
                times[which].append(time.perf_counter() - started)
        with FlopCounterMode(display=False) as counter:
            ours.step(turns - 1)
        step = statistics.median(times["ours"]) / given.steps
        other = statistics.median(times["plain"]) / given.steps
        peak = matmul_peak(device, dtype)
        interval = ratio_bootstrap(times["plain"], times["ours"], seed=0)
    saved = other - step
    found = {
        "size": given.size,
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu, 1 thread",
        "precision": str(dtype).removeprefix("torch."),
        "batch_size": given.batch_size,
        "largest_difference_of_losses": max(gaps),
        "samples_per_s": given.batch_size / step,
        "plain_samples_per_s": given.batch_size / other,
        "ratio": sum(times["plain"]) / sum(times["ours"]),
        "ratio_interval": [interval.low, interval.high],
        "filling_the_cache_s": filling,
        "rows_in_the_cache": given.rows,
        "paid_after_steps": filling / saved if saved > 0 else None,
        "matmul_peak_flops": peak,
        "share_of_matmul_peak": counter.get_total_flops() / step / peak,
    }
    if given.json:
        print(json.dumps(found, indent=2))
        return 0
    print(f"{found['size']} on {found['device']}, {found['precision']}, batch {given.batch_size}")
    print(f"losses of the first {CHECKED} steps differ by at most {max(gaps):.1e} nats")
    print(f"Stage A        {found['samples_per_s']:10.1f} examples/s")
    print(f"plain loop     {found['plain_samples_per_s']:10.1f} examples/s")
    print(
        f"ratio          {found['ratio']:10.2f}   (95 %: {interval.low:.2f} to {interval.high:.2f})"
    )
    print(f"cache filled in {filling:.1f} s for {given.rows} examples", end="")
    print(f", amortised after {found['paid_after_steps']:.0f} steps" if saved > 0 else "")
    print(f"share of the measured matmul peak ({peak / 1e12:.3g} TFLOP/s): "
          f"{found['share_of_matmul_peak']:.1%}")  # fmt: skip
    if not torch.cuda.is_available():
        print("GPU: not measured, none available")
    return 0


if __name__ == "__main__":
    sys.exit(main())
