"""Evaluator of experiment 04: the base, the trained jobs and the held-out examples."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import torch

from safe.hearing.config import RunConfig
from safe.hearing.data.manifest import load_samples
from safe.hearing.evaluation.latency import interleaved
from safe.hearing.evaluation.learning import same_answer
from safe.hearing.evaluation.profile import memory_of
from safe.hearing.experiments.efficiency.config import ProfileSettings
from safe.hearing.experiments.stage_a_pilot.plan import ARMS, cells
from safe.hearing.models.probe import trace
from safe.hearing.models.safe_model import SafeModel
from safe.hearing.training.batching import Feeder, batches
from safe.hearing.training.collate import Example, TextEncoder, waveforms
from safe.hearing.training.features import Features
from safe.hearing.training.frozen_models import OpenedBase, open_plain_vlm
from safe.hearing.training.held_out import audio_rows, vl_rows
from safe.pipeline.job_results import read_result

LATENCY_ROWS = 8  # questions used for timing
MODES = ("off", "cached", "uncached")


@dataclass(frozen=True)
class Job:
    """One training: its result.json and its answers."""

    name: str
    folder: Path
    result: dict[str, Any]

    @property
    def why_not(self) -> str | None:
        """Reason why there are no answers if the training diverged, else None."""
        why: str | None = self.result["diverged"]
        return why

    def steps(self) -> dict[str, list[float]]:
        """Return column -> one value per step."""
        found: dict[str, list[float]] = pq.read_table(self.folder / "steps.parquet").to_pydict()
        return found

    def items(self, kind: str) -> list[dict[str, Any]]:
        """Rows of one kind: `audio val`, `audio test`, `vl` or `train`."""
        table = pq.read_table(self.folder / "items.parquet", filters=[("kind", "==", kind)])
        rows: list[dict[str, Any]] = table.to_pylist()
        return rows


def read_jobs(config: RunConfig, folder: Path) -> dict[str, Job]:
    """Read both arms and every cell.

    Raises:
        EvidenceError: a job was not run, or its result cannot be read.
    """
    jobs = {}
    for name in (*ARMS, *cells(config)):
        place = folder / "jobs" / name
        jobs[name] = Job(name, place, read_result(place))
    return jobs


class PilotEvaluator:
    """The base, and the held-out examples that all measurements use."""

    def __init__(self, config: RunConfig, manifest: Path, opened: OpenedBase) -> None:
        self.config, self.manifest, self.opened = config, manifest, opened
        self.plain = open_plain_vlm(config)  # a separate copy to compare SAFE with
        blank = opened.build(config, seed=config.seed)
        self.features = Features(opened, config.cache, blank.projector.input_kind)
        self.encoder = TextEncoder(opened.vlm, opened.processor)
        self.feeder = Feeder(blank, self.features, self.encoder)
        self.rows = {
            split: audio_rows(config, manifest, split, self.features, self.encoder)
            for split in ("val", "test")
        }
        self.sources = {r.sample.id: r.sample.source for rows in self.rows.values() for r in rows}
        self._majority: dict[str, str] | None = None

    def open(self, job: Job) -> SafeModel:
        """Load the job's adapter on this base."""
        return self.opened.load(job.folder / "adapter")

    def _plain_tokens(self, rows: Sequence[Example]) -> tuple[dict[str, Any], Any]:
        inputs = self.feeder.plain(rows)
        longest = max(len(r.answer) for r in rows)
        done = self.plain.generate(**inputs, max_new_tokens=longest, do_sample=False)
        return inputs, done

    def base_answers(self) -> list[dict[str, Any]]:
        """Answers of the base to the audio questions, without the sound."""
        table = []
        for split, rows in self.rows.items():
            for batch in batches(rows):
                inputs, done = self._plain_tokens(batch)
                length = inputs["input_ids"].shape[1]
                texts = self.encoder.decode(done, length)
                tokens = self.encoder.new_tokens(done, length)
                table += [
                    {
                        "id": row.sample.id,
                        "split": split,
                        "answer": row.sample.answer,
                        "base": text,
                        "base_tokens": given,
                        "base_correct": same_answer(text, row.sample.answer),
                    }
                    for row, text, given in zip(batch, texts, tokens, strict=True)
                ]
        return table

    def majority(self) -> dict[str, str]:
        """Return question type -> most common answer of the training split."""
        if self._majority is None:
            counts: defaultdict[str, Counter[str]] = defaultdict(Counter)
            for task in ("audio", "av"):
                for sample in load_samples(self.manifest, split="train", task=task):
                    counts[sample.question_type][sample.answer] += 1
            self._majority = {kind: c.most_common(1)[0][0] for kind, c in counts.items()}
        return self._majority

    def off_table(self, model: SafeModel) -> list[dict[str, Any]]:
        """Answers to held-out VL questions by the base and by SAFE with the gate OFF."""
        table = []
        for batch in batches(vl_rows(self.config, self.manifest, self.features, self.encoder)):
            inputs, plain = self._plain_tokens(batch)
            longest = max(len(r.answer) for r in batch)
            sounds = self.features.audio([r.heard for r in batch]).to(model.device)
            mine = model.generate(
                **inputs, audio=sounds, gate=False, max_new_tokens=longest, do_sample=False
            ).sequences
            length = inputs["input_ids"].shape[1]
            texts = [self.encoder.decode(tokens, length) for tokens in (plain, mine)]
            for place, row in enumerate(batch):
                same = plain.shape == mine.shape and bool((plain[place] == mine[place]).all())
                table.append(
                    {
                        "id": row.sample.id,
                        "source": row.sample.source,
                        "dataset": row.sample.dataset,
                        "answer": row.sample.answer,
                        "base": texts[0][place],
                        "safe": texts[1][place],
                        "base_correct": same_answer(texts[0][place], row.sample.answer),
                        "safe_correct": same_answer(texts[1][place], row.sample.answer),
                        "identical": same,
                    }
                )
        return table

    def times(self, model: SafeModel, pairs: int) -> list[dict[str, Any]]:
        """Time single questions without audio, with cached, and with uncached audio.

        Questions are interleaved: each is timed once before any is timed again. A short disturbance
        then affects one repeat of many questions instead of all repeats of one. Operations are
        counted before and after timing, to find answers that were not computed while timed.

        Returns:
            A row of seconds by mode for each question and repeat. `idle`: a call of this question
            did less work after timing than before, or no more with audio than without.
        """
        rows = self.rows["test"][:LATENCY_ROWS]
        ways = [self._ways(model, row) for row in rows]
        calls = [call for way in ways for call in way]
        before = [self._work(model, way) for way in ways]
        turns = interleaved(calls, model.device, repeats=-(-pairs // len(rows)))
        after = [self._work(model, way) for way in ways]
        idle = [
            any(last[m] < first[m] or (m != "off" and last[m] <= last["off"]) for m in MODES)
            for first, last in zip(before, after, strict=True)
        ]
        return [
            {
                "id": row.sample.id,
                **dict(zip(MODES, turn[i * len(MODES) : (i + 1) * len(MODES)], strict=True)),
                "idle": idle[i],
            }
            for turn in turns
            for i, row in enumerate(rows)
        ]

    @torch.no_grad()
    def _work(self, model: SafeModel, way: Sequence[Callable[[], Any]]) -> dict[str, int]:
        """Floating-point operations of answering a question, by mode."""
        traced = (trace(call, model.base, wrapper=model, tensor_ops=False) for call in way)
        return dict(zip(MODES, (found.flops for found in traced), strict=True))

    def _ways(self, model: SafeModel, row: Example) -> list[Callable[[], Any]]:
        """Calls that answer a question, in the order of `MODES`."""
        inputs = self.feeder.plain([row])
        (wave,) = waveforms([row], self.opened.audio_encoder.sampling_rate)
        cached = self.features.audio([row.heard]).to(model.device)
        options: dict[str, Any] = {"max_new_tokens": len(row.answer), "do_sample": False}

        def on(sound: Any) -> Callable[[], Any]:
            return lambda: model.generate(**inputs, gate=True, audio=sound, **options)

        return [lambda: model.generate(**inputs, gate=False, **options), on(cached), on([wave])]

    def memory(self) -> int:
        """Memory in bytes: the configured budget, or that of the device."""
        budget = ProfileSettings.of(self.config).memory_budget_gb
        return memory_of(self.opened.vlm.device) if budget is None else int(budget * 2**30)
