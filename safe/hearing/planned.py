"""Planned number of items and seeds of each measurement. Imports no torch.

Numbers come from the run's manifest if it exists, otherwise from the plan of the miniature world.
Unusable files reduce the actual numbers. A number is None if it depends on results of the run.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from safe.errors import DataError
from safe.gates.planning import Planned
from safe.hearing.config import DatasetConfig, RunConfig
from safe.hearing.experiments.base_parity.config import ParitySettings
from safe.hearing.experiments.efficiency.config import ProfileSettings
from safe.hearing.experiments.evaluation_harness.config import EvaluationSettings
from safe.hearing.experiments.gating.config import GatingSettings
from safe.hearing.experiments.retention.config import RetentionSettings
from safe.hearing.experiments.retention.plan import seeds_of
from safe.hearing.experiments.rl_gate.config import PolicySettings
from safe.hearing.experiments.seeds.config import SeedsSettings
from safe.hearing.experiments.stage_a_pilot.config import PilotSettings
from safe.hearing.experiments.sweep.config import SweepSettings
from safe.hearing.experiments.sweep.plan import cells
from safe.hearing.experiments.tiny_overfit.config import TinyOverfitSettings

HEARING = ("audio", "av")
HELD_OUT = ("val", "test")
DRAWN_VIDEOS = 400  # videos drawn to estimate the share of each task
Key = tuple[str, str, str]  # dataset, split, task


@dataclass
class Questions:
    """Usable questions by dataset, split and task.

    Attributes:
        seen: with a usable picture.
        heard: with usable picture and sound.
        asked: as `heard`, without repeated questions about a recording.
        sounds: distinct sounds with annotated events.
        files: sounds or pictures of each dataset.
        source: where the numbers come from.
    """

    source: str
    seen: Counter[Key] = field(default_factory=Counter)
    heard: Counter[Key] = field(default_factory=Counter)
    asked: Counter[Key] = field(default_factory=Counter)
    sounds: int = 0
    files: Counter[str] = field(default_factory=Counter)

    def total(self, column: str, splits: Iterable[str], tasks: Iterable[str]) -> int:
        """Sum of a column over splits and tasks."""
        wanted = set(splits), set(tasks)
        counts: Counter[Key] = getattr(self, column)
        return sum(n for (_, s, t), n in counts.items() if s in wanted[0] and t in wanted[1])

    def vl_by_dataset(self) -> Counter[str]:
        """Held-out VL questions of each dataset."""
        found: Counter[str] = Counter()
        for (dataset, split, task), n in self.seen.items():
            if split in HELD_OUT and task == "vl":
                found[dataset] += n
        return found


def planned_sizes(config: RunConfig) -> dict[tuple[str, str], Planned]:
    """Return (experiment, metric) -> planned size, if it is known.

    Raises:
        DataError: the run's manifest cannot be read.
    """
    found = _from_settings(config)
    questions = count_questions(config)
    if questions is not None:
        found |= _from_questions(config, questions)
    return found


def count_questions(config: RunConfig) -> Questions | None:
    """Count questions of the manifest, or of the world's plan; None if there is neither.

    Raises:
        DataError: the manifest is there and cannot be read.
    """
    manifest = config.folder / "data" / "manifest.parquet"
    return _read_manifest(manifest) if manifest.is_file() else _plan_world(config)


# -- what the settings alone say ------------------------------------------------------------------


def _from_settings(config: RunConfig) -> dict[tuple[str, str], Planned]:
    def setting(n: int, seeds: int | None = None) -> Planned:
        return Planned(n, seeds=seeds, source="settings")

    combinations = setting(len(cells(SweepSettings.of(config))))
    profile, seeds = ProfileSettings.of(config), SeedsSettings.of(config).count
    return {
        ("01_data_preflight", "batch_composition"): setting(
            config.preflight.batches * len(config.curriculum.stages)
        ),
        ("02_base_parity", "wall_clock_ratio"): setting(ParitySettings.of(config).timing_repeats),
        ("04_stage_a_pilot", "stable"): setting(config.stage_a.steps),
        ("04_stage_a_pilot", "latency"): setting(PilotSettings.of(config).latency_pairs),
        ("04_stage_a_pilot", "latency_acceptable"): setting(PilotSettings.of(config).latency_pairs),
        ("04_stage_a_pilot", "smallest_config"): setting(
            len(PilotSettings.of(config).audio_tokens) * len(PilotSettings.of(config).ranks)
        ),
        ("06_efficiency", "audio_latency"): setting(PilotSettings.of(config).latency_pairs),
        ("06_efficiency", "audio_latency_p95"): setting(PilotSettings.of(config).latency_pairs),
        ("06_efficiency", "memory_scaling"): setting(
            len({*profile.batch_sizes, profile.target_batch})
        ),
        ("06_efficiency", "throughput"): setting(profile.repeats),
        ("09_retention", "lambda_selected"): setting(
            len({*RetentionSettings.of(config).weights, config.stage_a.distillation})
        ),
        ("10_sweep", "selected"): combinations,
        ("10_sweep", "stable_curves"): combinations,
        ("10_sweep", "consistent"): combinations,
        ("11_seeds", "audio_sd"): setting(seeds, seeds),
        ("11_seeds", "vl_sd"): setting(seeds, seeds),
        ("11_seeds", "frozen_checksums"): setting(seeds, seeds),
        ("12_rl_gate", "pareto"): setting(len(PolicySettings.of(config).latency_weights)),
    }


# -- what the data say ----------------------------------------------------------------------------


def _from_questions(config: RunConfig, found: Questions) -> dict[tuple[str, str], Planned]:
    def planned(n: int, seeds: int | None = None) -> Planned:
        return Planned(n, seeds=seeds, source=found.source)

    held_out, own = config.held_out, EvaluationSettings.of(config)
    hearing = min(found.total("asked", ["test"], HEARING), held_out.audio_items)
    seeing = sum(min(n, held_out.vl_items) for n in found.vl_by_dataset().values())
    every_vl = found.total("seen", ("train", *HELD_OUT), ["vl"])

    limit = GatingSettings.of(config).items  # of each task
    offered = {
        split: {
            task: min(n, n if limit is None else limit)
            for task, n in {
                **{t: found.total("heard", [split], [t]) for t in HEARING},
                "vl": found.total("seen", [split], ["vl"]),
            }.items()
        }
        for split in HELD_OUT
    }
    on_offer = sum(offered["test"].values())
    need_sound = sum(offered["test"][t] for t in HEARING)
    asked_hearing = min(need_sound, own.audio_items)
    asked_seeing = min(offered["test"]["vl"] + offered["val"]["vl"], own.vl_items)

    tiny = TinyOverfitSettings.of(config)
    tiny_hearing = min(
        found.total("asked", ["train"], HEARING), round(tiny.rows * tiny.audio_fraction)
    )
    tiny_seeing = min(found.total("seen", ["train"], ["vl"]), tiny.rows - tiny_hearing)
    retained = min(seeing, RetentionSettings.of(config).vl_items)
    sizes = {
        ("02_base_parity", "logits_equal"): min(every_vl, ParitySettings.of(config).samples),
        ("02_base_parity", "vqa_identical"): min(every_vl, ParitySettings.of(config).samples),
        ("03_tiny_overfit", "loss"): tiny_hearing + tiny_seeing,
        ("03_tiny_overfit", "audio_accuracy"): tiny_hearing,
        ("03_tiny_overfit", "audio_needed"): tiny_hearing,
        ("03_tiny_overfit", "vl_unchanged"): tiny_seeing,
        ("03_tiny_overfit", "learning_plateau"): tiny_hearing,
        ("04_stage_a_pilot", "vl_drop"): seeing,
        ("04_stage_a_pilot", "vl_drop_on"): seeing,
        ("04_stage_a_pilot", "audio_gain"): hearing,
        ("04_stage_a_pilot", "audio_over_majority"): hearing,
        ("04_stage_a_pilot", "audio_needed"): hearing,
        ("05_gating", "skip_rate"): on_offer,
        ("05_gating", "audio_drop"): need_sound,
        ("05_gating", "as_tabulated"): on_offer,
        ("07_evaluation_harness", "lomo_drop"): asked_hearing,
        ("07_evaluation_harness", "follows_sound"): asked_hearing,
        ("07_evaluation_harness", "lomo_vl"): asked_seeing,
        ("07_evaluation_harness", "lomo_separation"): min(asked_hearing, asked_seeing),
        ("07_evaluation_harness", "false_consultation"): min(offered["test"]["vl"], own.vl_items),
        ("07_evaluation_harness", "vl_under_noise"): asked_seeing,
        ("07_evaluation_harness", "gate_robust"): min(asked_hearing, own.sweep_items // 2)
        + min(asked_seeing, own.sweep_items - own.sweep_items // 2),
        ("09_retention", "distillation"): retained,
        ("10_sweep", "halving"): min(hearing, SweepSettings.of(config).audio_items),
        ("12_rl_gate", "skips"): on_offer,
        ("12_rl_gate", "audio_drop"): need_sound,
    }
    result = {key: planned(n) for key, n in sizes.items()}
    result |= {
        ("09_retention", name): planned(retained * count, seeds=count)
        for name, count in (
            ("null_space", len(seeds_of(config, "null_space"))),
            ("null_space_distilled", len(seeds_of(config, "distilled-null_space"))),
        )
    }
    result |= {
        ("11_seeds", name): Planned(
            SeedsSettings.of(config).count,
            items=items,
            seeds=SeedsSettings.of(config).count,
            source=found.source,
        )
        for name, items in (
            ("audio_sd", min(hearing, SeedsSettings.of(config).audio_items)),
            ("vl_sd", min(seeing, SeedsSettings.of(config).vl_items)),
        )
    }
    if found.files:
        result[("01_data_preflight", "files_load")] = planned(min(found.files.values()))
    if found.sounds:
        most = min(found.sounds, config.preflight.alignment_pairs)
        result[("01_data_preflight", "alignment")] = planned(most)
        result[("01_data_preflight", "mismatch")] = planned(found.sounds)
    return result


def _read_manifest(path: Path) -> Questions:
    import duckdb

    found = Questions(source="manifest")
    media = path.with_name("media.parquet")
    try:
        with duckdb.connect() as base:
            base.execute("CREATE TABLE bad (key VARCHAR)")
            if media.is_file():
                base.execute(
                    "INSERT INTO bad SELECT key FROM read_parquet(?) WHERE NOT ok", [str(media)]
                )
                counts = base.execute(
                    "SELECT dataset || ', ' || kind, count(*) FROM read_parquet(?) GROUP BY ALL",
                    [str(media)],
                ).fetchall()
                found.files.update(dict(counts))
            rows = base.execute(
                """
                WITH samples AS (
                    SELECT dataset, split, task, question, source,
                           image_key NOT IN (SELECT key FROM bad) AS sees,
                           audio_key <> '' AND audio_key NOT IN (SELECT key FROM bad) AS hears
                    FROM read_parquet(?)
                )
                SELECT dataset, split, task, count(*) FILTER (sees),
                       count(*) FILTER (sees AND hears),
                       count(DISTINCT (question, source)) FILTER (sees AND hears)
                FROM samples GROUP BY ALL
                """,
                [str(path)],
            ).fetchall()
            sounds = base.execute(
                "SELECT count(DISTINCT audio_key) FROM read_parquet(?) "
                "WHERE audio_key <> '' AND len(events) > 0 "
                "AND audio_key NOT IN (SELECT key FROM bad)",
                [str(path)],
            ).fetchall()
    except duckdb.Error as error:
        raise DataError(
            f"the manifest or media table cannot be read: {error}",
            where=path,
            hint="run `safe prepare-data --config ...` again",
        ) from None
    for dataset, split, task, seen, heard, asked in rows:
        found.seen[dataset, split, task] = seen
        found.heard[dataset, split, task] = heard
        found.asked[dataset, split, task] = asked
    found.sounds = sounds[0][0]
    return found


def _plan_world(config: RunConfig) -> Questions | None:
    """Questions of the planned world; None if a dataset is not part of it."""
    world = config.world
    if world is None:
        return None
    root = world.root.absolute()
    if not all(d.root.absolute().is_relative_to(root) for d in config.datasets):
        return None
    found = Questions(source="world plan")
    for dataset in config.datasets:
        _plan_dataset(config, dataset, found)
    return found


def _plan_dataset(config: RunConfig, dataset: DatasetConfig, found: Questions) -> None:
    from safe.hearing.miniature.world.plan import QUESTIONS, split_sizes

    world = config.world
    assert world is not None
    count = {
        "audiocaps": world.clips,
        "vqav2": world.images,
        "gqa": world.images // 3,
        "music_avqa": world.videos,
    }.get(dataset.layout, 0)
    sizes = split_sizes(dataset.layout, count)
    shares = {"audiocaps": {"caption": 1.0}, "music_avqa": {}}.get(dataset.layout, {"vl": 1.0})
    if dataset.layout == "music_avqa":
        shares = _video_tasks(world.seed, world.videos)
    for split in dataset.splits:
        questions = sizes[split] * QUESTIONS.get(dataset.layout, 1)
        questions = min(questions, dataset.limit or questions)
        for task, share in shares.items():
            key = (dataset.name, split, task)
            n = round(questions * share)
            found.seen[key] = n
            if task != "vl":
                found.heard[key] = found.asked[key] = n
    kinds = {"audiocaps": ["audio"], "music_avqa": ["audio", "image"]}.get(
        dataset.layout, ["image"]
    )
    for kind in kinds:
        found.files[f"{dataset.name}, {kind}"] = count
    if "events" in dataset.options:
        found.sounds += count


def _video_tasks(seed: int, videos: int) -> dict[str, float]:
    """Share of each task among the questions of videos, estimated from a sample."""
    from safe.hearing.miniature.world.plan import ask_questions, make_items

    plan = make_items(seed, clips=3, images=9, videos=min(videos, DRAWN_VIDEOS))
    ask_questions(plan)
    tasks = Counter(q.task for item in plan.items["music_avqa"] for q in item.questions)
    return {task: n / tasks.total() for task, n in tasks.items()}
