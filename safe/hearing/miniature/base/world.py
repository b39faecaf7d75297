"""Pretraining data of the miniature world: scenes, sounds and questions from its generators.

They use a separate random stream, so they differ from the run's datasets.
"""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from transformers import ClapFeatureExtractor

from safe.digest import digest_json
from safe.hearing.data.sample import Sample
from safe.hearing.miniature.base.audio_encoder import Hearing
from safe.hearing.miniature.base.describe import describe
from safe.hearing.miniature.base.language import Asked, shuffle_answers
from safe.hearing.miniature.base.material import stack_waves
from safe.hearing.miniature.base.mel import BatchMel, jitter_spectrograms
from safe.hearing.miniature.base.sound_descriptions import WHAT, conclude, tell
from safe.hearing.miniature.base.vision import Augment
from safe.hearing.miniature.world.captions import follows
from safe.hearing.miniature.world.questions import (
    CAPTION_PROMPT,
    GQA_WEIGHTS,
    VIDEO_WEIGHTS,
    VOCABULARY,
    VQA_WEIGHTS,
    Balancer,
    Question,
    audiovisual_questions,
    captions,
    draw_video,
    gqa_questions,
    picture_questions,
    sound_questions,
    video_picture_questions,
)
from safe.hearing.miniature.world.scene import (
    COLOURS,
    DIFFICULTIES,
    KINDS,
    Scene,
    draw_scene,
    render,
)
from safe.hearing.miniature.world.sound import SOUNDS, Sound, draw_sound, synthesize
from safe.hearing.miniature.world.words import NOUNS

STREAM = 0x5AFE  # separates these random draws from the datasets' for every seed
GREYS = (127, 127, 127, 0, 64, 255)  # blank pictures represent "no picture"
# Learned last, so these are more frequent, and some of them are repeated.
HARD = ("object_at", "verify_color")
TWICE = ("exists_color", "seen_count", "verify_color")
# Questions per video about its sound described in words. With two, Stage A must learn the look-ups
# that need picture and sound ("... with the left instrument?"), and fails for some seeds.
TOLD = 10
CONCLUDED = 5  # lists of facts per video, about its sound described in words
# Questions that need a look-up in the picture and one in the sound. With the frequency of the
# others, held-out accuracy was 0.81 for "with", 0.89 for "next_to", 0.94 for "which_order".
LOOK_UPS = ("with", "next_to", "which_order")
RETOLD = 4  # repetitions of each of these, with other descriptions
JPEG_QUALITY = (55, 98)


@dataclass(frozen=True)
class WorldSeen:
    images: list[Image.Image]
    cells: Tensor
    asked: list[Asked]
    described: list[Asked]
    sizes: tuple[int, ...] = (len(KINDS) + 1, len(COLOURS) + 1, 4)


def _cells(scene: Scene) -> list[list[int]]:
    """Return kind, colour and place of the four cells; the last kind and colour mean "empty".

    The place is a target because patch features otherwise lose their position, and the Q-Former,
    whose queries locate cells by position, then hardly learns.
    """
    kinds, colours = list(KINDS), list(COLOURS)
    return [
        [len(kinds), len(colours), place]
        if cell is None
        else [kinds.index(cell.kind), colours.index(cell.colour), place]
        for place, cell in enumerate(scene.cells)
    ]


def _through_jpeg(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=int(rng.integers(*JPEG_QUALITY)), subsampling=0)
    return Image.open(buffer).convert("RGB")


@dataclass
class WorldMaterial:
    """Scenes and sounds of the miniature world.

    Args:
        pictures, sounds: number of each.
        seed: seed of the base.
    """

    pictures: int
    sounds: int
    seed: int
    name: str = "world"
    augment: Augment | None = field(default=None, repr=False)

    def digest(self) -> str:
        return digest_json([self.name, self.pictures, self.sounds, self.seed])

    def vlm_texts(self) -> list[str]:
        return [*VOCABULARY, "question : answer ?", ". , ' ! -", "a an the"]

    def audio_encoder_texts(self) -> list[str]:
        return [*VOCABULARY, ". , ' ! -"]

    def seen(self) -> WorldSeen:
        rng = np.random.default_rng([STREAM, self.seed, 1])
        vqa, gqa, video = (Balancer(w) for w in (VQA_WEIGHTS, GQA_WEIGHTS, VIDEO_WEIGHTS))
        hard, heard = Balancer(VQA_WEIGHTS | GQA_WEIGHTS), Balancer(VIDEO_WEIGHTS)
        read = Balancer(VIDEO_WEIGHTS)
        images = [Image.new("RGB", (64, 64), (grey,) * 3) for grey in GREYS]
        cells = [_cells(Scene((None, None, None, None))) for _ in GREYS]
        asked: list[Asked] = []
        scenes: list[Scene] = []
        concluded: list[Asked] = []
        retold: list[Asked] = []
        retelling = np.random.default_rng([STREAM, self.seed, 3])

        def ask(picture: int, questions: Sequence[Question], told: str = "") -> None:
            asked.extend(Asked(picture, q.text, q.answer, q.name, q.task, told) for q in questions)

        for number in range(self.pictures):
            picture, difficulty = len(images), DIFFICULTIES[number % 3]
            if number % 2:
                scene, sound = draw_video(rng, difficulty)
                ask(picture, video.pick(video_picture_questions(scene), 4, rng))
                questions, there = sound_questions(sound), [kind for _, kind in scene.instruments]
                ask(picture, heard.pick(questions, 1, rng, seen=there))
                ask(int(rng.integers(len(GREYS))), heard.pick(questions, 1, rng))
                ask(picture, heard.pick(audiovisual_questions(scene, sound), 2, rng))
                about = questions + audiovisual_questions(scene, sound)
                told = tell(sound, rng)
                for question in read.pick(about, TOLD, rng, paired=True, seen=there):
                    # Visible instruments sound more often than others. A different picture
                    # prevents the base from learning to guess the sound from the picture.
                    beside = picture if question.task == "av" else int(rng.integers(picture))
                    ask(beside, [question], told)
                    if question.name in LOOK_UPS:
                        retold += [
                            dataclasses.replace(asked[-1], told=tell(sound, retelling))
                            for _ in range(RETOLD)
                        ]
                seen = picture_questions(scene)
                ask(picture, [seen[int(rng.integers(len(seen)))]], tell(sound, rng))
                for _ in range(CONCLUDED):
                    text = conclude(scene, sound, rng)
                    concluded.append(Asked(picture, WHAT, text, "told", "av", tell(sound, rng)))
                if number % 6 == 1:
                    text = captions(sound, rng)[0]
                    nothing = int(rng.integers(len(GREYS)))
                    asked.append(Asked(nothing, CAPTION_PROMPT, text, "caption", "caption"))
            else:
                scene = draw_scene(rng, difficulty)
            questions = picture_questions(scene)
            ask(picture, vqa.pick(questions, 4, rng))
            more = gqa_questions(scene, rng)
            ask(picture, gqa.pick(more, 4, rng))
            ask(picture, hard.pick([q for q in questions + more if q.name in HARD], 3, rng))
            image = render(scene, rng)
            images.append(_through_jpeg(image, rng) if rng.random() < 0.7 else image)
            cells.append(_cells(scene))
            scenes.append(scene)
        asked += [item for item in asked if item.kind in TWICE] + retold
        described = describe(scenes, len(GREYS), rng) + concluded
        return WorldSeen(images, torch.tensor(cells), shuffle_answers(asked, rng), described)

    def heard(self, extractor: ClapFeatureExtractor) -> Hearing:
        rng = np.random.default_rng([STREAM, self.seed, 2])
        mel, sounds, texts, spectrograms, waves = BatchMel(extractor), [], [], [], []
        for number in range(self.sounds):
            difficulty = DIFFICULTIES[number % 3]
            sound = draw_video(rng, difficulty)[1] if number % 2 else draw_sound(rng, difficulty)
            sounds.append(sound)
            texts.append(captions(sound, rng))
            waves.append(synthesize(sound, rng))
            if len(waves) == 128 or number == self.sounds - 1:
                spectrograms.append(mel(stack_waves(waves, mel.samples)))
                waves.clear()
        decibels = torch.cat(spectrograms)
        facts = _meanings(sounds)
        wordings = len(texts[0])
        return Hearing(
            spectrograms=lambda index, generator: jitter_spectrograms(decibels[index], generator),
            facts=facts,
            captions=[text for several in texts for text in several],
            claims=facts.repeat_interleave(wordings, dim=0),
            caption_of=torch.arange(len(sounds) * wordings).view(-1, wordings),
            probes=_probes(sounds),
        )

    def zero_shot(self, samples: Sequence[Sample]) -> tuple[list[str], list[tuple[Sample, int]]]:
        """Return class prompts, and the samples whose clip has a single sound, with its class."""
        prompts = [f"{NOUNS[label]} can be heard" for label in SOUNDS]
        chosen, sources = [], set()
        for sample in samples:
            single = sample.question_type.startswith("Audio-Identity") or (
                len(sample.events) == 1 and sample.task == "caption"
            )
            label = sample.answer if sample.answer in SOUNDS else None
            if sample.events and label is None:
                label = sample.events[0].label
            if single and label in SOUNDS and sample.audio and sample.source not in sources:
                sources.add(sample.source)
                chosen.append((sample, SOUNDS.index(label)))
        return prompts, chosen


def _meanings(sounds: Sequence[Sound]) -> Tensor:
    """Return (N, 1) ids, equal for sounds with the same labels, order and overlaps."""
    known: dict[tuple[object, ...], int] = {}

    def meaning(sound: Sound) -> int:
        pairs = zip(sound.events[:-1], sound.events[1:], strict=True)
        key = (sound.labels, tuple(follows(a, b) for a, b in pairs))
        return known.setdefault(key, len(known))

    return torch.tensor([[meaning(sound)] for sound in sounds])


def _probes(sounds: Sequence[Sound]) -> dict[str, Tensor]:
    def number(label: str) -> int:
        return SOUNDS.index(label)

    present = [[int(label in sound.labels) for label in SOUNDS] for sound in sounds]
    return {
        "present": torch.tensor(present),
        "count": torch.tensor([len(sound.labels) for sound in sounds]),
        "first": torch.tensor([number(sound.labels[0]) for sound in sounds]),
        "last": torch.tensor([number(sound.labels[-1]) for sound in sounds]),
    }
