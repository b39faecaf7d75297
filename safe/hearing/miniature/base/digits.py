"""Pretraining data of the digits: images, recordings and words of the train split."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from transformers import ClapFeatureExtractor

from safe.digest import digest_file, digest_json
from safe.hearing.data.decode import load_audio
from safe.hearing.data.sample import MediaRef, Sample
from safe.hearing.miniature.base.audio_encoder import Hearing
from safe.hearing.miniature.base.augment import jitter_images
from safe.hearing.miniature.base.language import Asked, shuffle_answers
from safe.hearing.miniature.base.material import stack_waves
from safe.hearing.miniature.base.mel import BatchMel, jitter_spectrograms
from safe.hearing.miniature.base.vision import IGNORE, Augment
from safe.hearing.miniature.digits_layout import (
    QUESTIONS,
    WORDS,
    hear_digit,
    list_recordings,
    read_digit,
    split_images,
)

GREYS = (127, 127, 127, 64)  # blank pictures represent "no picture"
QUIETEST_DB, LOUDEST_DB = -70.0, -35.0  # range of the noise added to training recordings
DIGITS = WORDS[:10]
LONGEST = 4  # words; equal to the number of audio tokens of the run
# Number of questions per picture with a recording described in words. Sums have a hundred cases.
TOLD = {"spoken": 1, "speaker": 1, "over_five": 1, "over_seven": 1, "match": 2, "sum": 6}


@dataclass(frozen=True)
class DigitsSeen:
    images: list[Image.Image]
    cells: Tensor
    asked: list[Asked]
    sizes: tuple[int, ...] = (10,)
    described: list[Asked] = field(default_factory=list)


@dataclass
class DigitsMaterial:
    """Train images of scikit-learn's digits, and takes 10 and later of the spoken digits.

    Args:
        root: the digits dataset's folder.
        split_seed, image_size: options `seed` (determines the train images) and `image_size`.
        seed: seed of the base.
    """

    root: Path
    split_seed: int
    image_size: int
    seed: int
    name: str = "digits"
    augment: Augment | None = field(default=jitter_images, repr=False)

    def __post_init__(self) -> None:
        self.folder = self.root / "recordings"
        self.recordings = [r for r in list_recordings(self.folder) if r.split == "train"]
        self.speakers = sorted({r.speaker for r in self.recordings})

    def _path(self, stem: str) -> Path:
        return self.folder / f"{stem}.wav"

    def digest(self) -> str:
        files = [[r.stem, digest_file(self._path(r.stem))] for r in self.recordings]
        return digest_json([self.name, self.split_seed, self.image_size, self.seed, files])

    def vlm_texts(self) -> list[str]:
        texts = [*QUESTIONS.values(), *WORDS, *self.speakers]
        return [*texts, "yes no odd even", "question : answer ?"]

    def audio_encoder_texts(self) -> list[str]:
        return [*self._captions()[0], *WORDS]

    def seen(self) -> DigitsSeen:
        from sklearn.datasets import load_digits

        rng = np.random.default_rng([self.seed, 1])
        values, targets = load_digits(return_X_y=True)
        size = (self.image_size, self.image_size)
        images = [Image.new("RGB", size, (grey,) * 3) for grey in GREYS]
        cells, asked = [[[IGNORE]] for _ in GREYS], []
        for index in split_images(targets, self.split_seed)["train"]:
            picture, digit = len(images), int(targets[index])
            grey = Image.fromarray(np.round(values[index].reshape(8, 8) * (255 / 16)).astype("u1"))
            images.append(grey.resize(size, Image.Resampling.BICUBIC).convert("RGB"))
            cells.append([[digit]])
            # Picture questions are twice as frequent as questions about an undescribed sound.
            for kind, answer in read_digit(digit).items():
                asked += [Asked(picture, QUESTIONS[kind], answer, kind, "vl")] * 2
            nothing = int(rng.integers(len(GREYS)))
            recording = self.recordings[int(rng.integers(len(self.recordings)))]
            for kind, answer in hear_digit(recording.digit, recording.speaker).items():
                asked.append(Asked(nothing, QUESTIONS[kind], answer, kind, "audio"))
            for kind, answer in (
                ("match", str(rng.choice(["yes", "no"]))),
                ("sum", str(rng.choice(WORDS))),
            ):
                asked.append(Asked(picture, QUESTIONS[kind], answer, kind, "av"))
            asked += self._told(picture, digit, rng)
        return DigitsSeen(images, torch.tensor(cells), shuffle_answers(asked, rng))

    def _told(self, picture: int, written: int, rng: np.random.Generator) -> list[Asked]:
        """Questions with a recording described in words; the last needs only the picture."""
        asked = []
        for kind in (kind for kind, times in TOLD.items() for _ in range(times)):
            spoken, speaker = int(rng.integers(10)), str(rng.choice(self.speakers))
            if kind == "match" and rng.random() < 0.5:
                spoken = written
            answer = {
                **hear_digit(spoken, speaker),
                "match": "yes" if spoken == written else "no",
                "sum": WORDS[spoken + written],
            }[kind]
            told = tell(WORDS[spoken], speaker, rng)
            asked.append(Asked(picture, QUESTIONS[kind], answer, kind, "av", told))
        kind, answer = list(read_digit(written).items())[int(rng.integers(3))]
        told = tell(str(rng.choice(DIGITS)), str(rng.choice(self.speakers)), rng)
        return [*asked, Asked(picture, QUESTIONS[kind], answer, kind, "vl", told)]

    def _captions(self) -> tuple[list[str], list[list[int]]]:
        """Return texts, and the digit and speaker that each text names (-1: none)."""
        texts, claims = [], []
        for digit, word in enumerate(DIGITS):
            for text in (f"a person says {word}", f"the spoken digit {word}"):
                texts.append(text)
                claims.append([digit, -1])
            for number, speaker in enumerate(self.speakers):
                texts.append(f"{speaker} says {word}")
                claims.append([digit, number])
        for number, speaker in enumerate(self.speakers):
            texts.append(f"{speaker} is speaking")
            claims.append([-1, number])
        return texts, claims

    def heard(self, extractor: ClapFeatureExtractor) -> Hearing:
        mel, rate = BatchMel(extractor), int(extractor.sampling_rate)
        waves = [load_audio(MediaRef(self._path(r.stem)), rate) for r in self.recordings]
        lengths = torch.tensor([min(len(wave), mel.samples) for wave in waves])
        stacked = stack_waves(waves, mel.samples)
        texts, claims = self._captions()
        facts = torch.tensor([[r.digit, self.speakers.index(r.speaker)] for r in self.recordings])
        said = torch.tensor(claims)
        of_each = [
            [n for n, claim in enumerate(said) if bool(((claim == fact) | (claim < 0)).all())]
            for fact in facts
        ]

        def spectrograms(index: Tensor, generator: torch.Generator) -> Tensor:
            moved = _place(stacked[index], lengths[index], generator)
            return jitter_spectrograms(mel(_add_noise(moved, generator)), generator, shift=3)

        return Hearing(
            spectrograms=spectrograms,
            facts=facts,
            captions=texts,
            claims=said,
            caption_of=torch.tensor(of_each),
            probes={"digit": facts[:, 0], "speaker": facts[:, 1]},
        )

    def zero_shot(self, samples: Sequence[Sample]) -> tuple[list[str], list[tuple[Sample, int]]]:
        """Class prompts, and the samples of question type `spoken` with their class."""
        prompts = [f"a person says {word}" for word in DIGITS]
        chosen = [
            (sample, DIGITS.index(sample.answer))
            for sample in samples
            if sample.question_type == "spoken" and sample.audio is not None
        ]
        return prompts, chosen


def tell(digit: str, speaker: str, rng: np.random.Generator) -> str:
    """Return both words at least once, in random order, at most `LONGEST` words in total."""
    count = int(rng.integers(2, LONGEST + 1))
    words = [digit, speaker, *rng.choice([digit, speaker], count - 2)]
    return " ".join(words[i] for i in rng.permutation(count))


def _place(waves: Tensor, lengths: Tensor, generator: torch.Generator) -> Tensor:
    """Move half of the recordings to a later time in the window. waves: (B, samples)."""
    room = waves.shape[1] - lengths
    share = torch.rand(len(waves), generator=generator) * 2 - 1
    start = (share.clamp_min(0) * room).long()
    at = torch.arange(waves.shape[1])[None] - start[:, None]
    return waves.gather(1, at.clamp_min(0)) * (at >= 0)


def _add_noise(waves: Tensor, generator: torch.Generator) -> Tensor:
    """Add white noise at a random level in dBFS."""
    span = LOUDEST_DB - QUIETEST_DB
    level = QUIETEST_DB + span * torch.rand(len(waves), 1, generator=generator)
    return waves + torch.randn(waves.shape, generator=generator) * 10 ** (level / 20)
