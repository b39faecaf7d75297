"""Batches: exact ratio, allowed difficulties, same on every process, resumable."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from safe.errors import ConfigError
from safe.hearing.config import StageConfig
from safe.hearing.data.mixing import StageSampler, is_audio_row
from safe.hearing.data.sample import MediaRef, Sample

LEVELS = ("easy", "medium", "hard")


def rows(audio: int, plain: int) -> list[Sample]:
    def make(i: int, task: str) -> Sample:
        return Sample(
            id=f"d/train/{i}", dataset="d", split="train", task=task, question="?",
            question_type="t", answers=("a",), answer="a", source=f"s:{i}",
            audio=MediaRef(Path("/x.wav")) if task != "vl" else None,
            difficulty=LEVELS[i % 3],
        )  # fmt: skip

    tasks = ["audio", "av", "caption"]
    return [make(i, tasks[i % 3] if i < audio else "vl") for i in range(audio + plain)]


def stage(ratio: float, levels: list[str]) -> StageConfig:
    return StageConfig(
        name="s", epochs=1, audio_ratio=ratio, difficulties=levels,
        min_audio_accuracy=0.5, max_vl_drop=0.1,
    )  # fmt: skip


cases = st.tuples(
    st.integers(9, 60), st.integers(9, 60), st.integers(0, 100), st.integers(1, 24),
    st.lists(st.sampled_from(LEVELS), min_size=1, unique=True), st.integers(0, 2**31),
)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(cases, st.integers(0, 40))
def test_every_batch_has_the_ratio_and_only_allowed_rows(case, first):
    audio, plain, percent, size, levels, seed = case
    samples = rows(audio, plain)
    sampler = StageSampler(samples, stage(percent / 100, levels), batch_size=size, seed=seed)
    total = 0
    for index in range(first + 5):
        batch = sampler.batch(index)
        assert len(batch) == size
        assert all(samples[i].difficulty in levels for i in batch)
        count = sum(is_audio_row(samples[i]) for i in batch)
        assert abs(count - percent / 100 * size) < 1
        if percent * size % 100 == 0:
            assert count == percent * size // 100
        total += count
        assert abs(total - percent / 100 * size * (index + 1)) <= 0.5 + 1e-6


@settings(max_examples=40, deadline=None)
@given(cases, st.integers(1, 4))
def test_processes_share_each_batch_and_any_batch_can_be_redrawn(case, world):
    audio, plain, percent, size, levels, seed = case
    samples, plan = rows(audio, plain), stage(percent / 100, levels)
    whole = StageSampler(samples, plan, batch_size=size * world, seed=seed)
    samplers = [
        StageSampler(samples, plan, batch_size=size * world, seed=seed, rank=r, world_size=world)
        for r in range(world)
    ]
    for index in (7, 0, 3):
        shares = [sampler.batch(index) for sampler in samplers]
        assert {len(share) for share in shares} == {size}
        assert sorted(np.concatenate(shares)) == sorted(whole.batch(index))
        assert (whole.batch(index) == whole.batch(index)).all()


def test_every_row_of_a_pool_comes_once_before_any_repeats():
    samples = rows(30, 30)
    sampler = StageSampler(samples, stage(0.5, list(LEVELS)), batch_size=10, seed=1)
    drawn = np.concatenate([sampler.batch(i) for i in range(6)])
    assert sorted(drawn) == list(range(60))
    again = np.concatenate([sampler.batch(i) for i in range(6, 12)])
    assert sorted(again) == list(range(60))
    assert list(again) != list(drawn)


def test_resuming_inside_an_epoch_gives_the_remaining_batches():
    sampler = StageSampler(rows(40, 40), stage(0.3, list(LEVELS)), batch_size=10, seed=2)
    assert len(sampler) == 8
    whole = [list(b) for b in sampler.epoch(1)]
    assert [list(b) for b in sampler.epoch(1, start=5)] == whole[5:]
    assert whole[0] == list(sampler.batch(8))


def test_another_seed_or_stage_name_gives_other_batches():
    plan = stage(0.5, list(LEVELS))
    one = StageSampler(rows(40, 40), plan, batch_size=20, seed=1).batch(0)
    two = StageSampler(rows(40, 40), plan, batch_size=20, seed=2).batch(0)
    other = plan.model_copy(update={"name": "t"})
    three = StageSampler(rows(40, 40), other, batch_size=20, seed=1).batch(0)
    assert list(one) != list(two)
    assert list(one) != list(three)


def test_stage_without_rows_of_a_kind_is_refused_by_name():
    with pytest.raises(ConfigError, match=r"stages\.s.*there are none"):
        StageSampler(rows(0, 9), stage(0.5, ["easy"]), batch_size=4, seed=0)
    with pytest.raises(ConfigError, match="cannot be divided"):
        StageSampler(rows(9, 9), stage(0.5, ["easy"]), batch_size=4, seed=0, world_size=3)
