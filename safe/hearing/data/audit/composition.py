"""Check whether batches have the audio ratio and difficulties that the curriculum sets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from safe.hearing.config import CurriculumConfig
from safe.hearing.data.mixing import StageSampler, is_audio_row
from safe.hearing.data.sample import Sample


@dataclass(frozen=True, slots=True)
class StageDraw:
    """Composition of the batches drawn for one stage.

    Attributes:
        worst: the largest absolute deviation of a batch's audio share from the configured ratio.
        outside: number of samples with a difficulty that the stage does not allow.
    """

    stage: str
    batches: int
    rows: int
    audio_ratio: float
    audio_share: float
    worst: float
    outside: int


def draw_stages(
    samples: Sequence[Sample], curriculum: CurriculumConfig, *, batches: int, seed: int
) -> list[StageDraw]:
    """Draw `batches` batches of each stage with the training sampler, and count.

    Raises:
        ConfigError: a stage needs samples that the data do not have.
    """
    drawn = []
    for stage in curriculum.stages:
        sampler = StageSampler(samples, stage, batch_size=curriculum.batch_size, seed=seed)
        worst, outside, audio, rows = 0.0, 0, 0, 0
        for index in range(batches):
            batch = [samples[i] for i in sampler.batch(index)]
            own = sum(map(is_audio_row, batch))
            worst = max(worst, abs(own / len(batch) - stage.audio_ratio))
            outside += sum(s.difficulty not in stage.difficulties for s in batch)
            audio, rows = audio + own, rows + len(batch)
        drawn.append(
            StageDraw(stage.name, batches, rows, stage.audio_ratio, audio / rows, worst, outside)
        )
    return drawn
