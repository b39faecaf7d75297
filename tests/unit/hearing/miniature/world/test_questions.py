"""Questions and captions: vocabulary, truth, balance, annotators."""

from __future__ import annotations

from collections import Counter, defaultdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from safe.hearing.miniature.world.balance import VIDEO_WEIGHTS, VQA_WEIGHTS, Balancer, annotators
from safe.hearing.miniature.world.plan import SPLITS, ask_questions, make_items
from safe.hearing.miniature.world.questions import (
    VOCABULARY,
    audiovisual_questions,
    captions,
    draw_video,
    gqa_questions,
    picture_questions,
    sound_questions,
    video_picture_questions,
    words,
)
from safe.hearing.miniature.world.scene import DIFFICULTIES, draw_scene
from safe.hearing.miniature.world.sound import draw_sound
from safe.hearing.miniature.world.words import fill
from tests.unit.hearing.miniature.world.oracle import about_picture, about_video

Seeds = st.integers(0, 2**32)
Difficulties = st.sampled_from(DIFFICULTIES)
HEARD = {
    "bell": "bell",
    "guitar": "guitar",
    "drum": "drum",
    "siren": "siren",
    "rain": "rain",
    "person": "speech",
}


def _cells(scene):
    return [cell and (cell.kind, cell.colour) for cell in scene.cells]


@given(Seeds, Difficulties)
def test_every_question_about_a_picture_has_the_true_answer(seed, difficulty) -> None:
    rng = np.random.default_rng(seed)
    scene = draw_scene(rng, difficulty)
    for question in picture_questions(scene) + gqa_questions(scene, rng):
        assert about_picture(question.text, _cells(scene)) == question.answer, question.text


@given(Seeds, Difficulties)
def test_every_question_about_a_video_has_the_true_answer(seed, difficulty) -> None:
    scene, sound = draw_video(np.random.default_rng(seed), difficulty)
    events = [(e.label, e.start, e.end, e.level_db) for e in sound.events]
    questions = [
        *sound_questions(sound),
        *audiovisual_questions(scene, sound),
        *video_picture_questions(scene),
    ]
    for question in questions:
        assert about_video(question.text, _cells(scene), events) == question.answer, question.text
    assert {question.task for question in questions} == {"audio", "av", "vl"}


@given(Seeds, Difficulties)
def test_captions_are_five_different_and_true(seed, difficulty) -> None:
    rng = np.random.default_rng(seed)
    sound = draw_sound(rng, difficulty)
    found = captions(sound, rng)
    assert len(set(found)) == 5
    for caption in found:
        named = [HEARD[word] for word in words(caption) if word in HEARD]
        assert tuple(named) == sound.labels
        if len(sound.events) == 2:
            separated = {"then", "followed"} & set(words(caption))
            assert bool(separated) == (sound.events[1].start >= sound.events[0].end - 0.05)


def test_vocabulary_is_complete_and_every_word_is_used() -> None:
    rng, used = np.random.default_rng(0), set()
    for number in range(300):
        difficulty = DIFFICULTIES[number % 3]
        scene, sound = draw_video(rng, difficulty)
        other = draw_scene(rng, difficulty)
        asked = [
            *picture_questions(other),
            *gqa_questions(other, rng),
            *video_picture_questions(scene),
            *sound_questions(sound),
            *audiovisual_questions(scene, sound),
        ]
        for text in [*(f"{q.text} {q.answer}" for q in asked), *captions(sound, rng)]:
            used |= set(words(text))
    assert used <= set(VOCABULARY)
    assert set(VOCABULARY) - used <= set(words("What do you hear?"))
    assert list(VOCABULARY) == sorted(set(VOCABULARY))


def test_slots_and_values_must_match() -> None:
    assert fill("Is the <FL> one <LR>?", ("first", "left")) == "Is the first one left?"
    with pytest.raises(ValueError, match="cannot be filled"):
        fill("Is the <FL> one?", ())


def test_balancer_evens_out_uneven_scenes() -> None:
    rng, balancer = np.random.default_rng(0), Balancer(VQA_WEIGHTS)
    for number in range(300):
        scene = draw_scene(rng, DIFFICULTIES[number % 3])
        picked = balancer.pick(picture_questions(scene), 3, rng)
        assert len({question.text for question in picked}) == 3
    by_type = defaultdict(list)
    for (kind, _), count in balancer.counts.items():
        by_type[kind].append(count)
    assert all(max(counts) <= 1.5 * min(counts) for counts in by_type.values())


def test_paired_questions_have_different_answers() -> None:
    """A pair then depends on both the picture and the sound."""
    rng, balancer = np.random.default_rng(0), Balancer(VIDEO_WEIGHTS)
    for number in range(300):
        scene, sound = draw_video(rng, DIFFICULTIES[number % 3])
        asked = sound_questions(sound) + audiovisual_questions(scene, sound)
        picked = balancer.pick(asked, 4, rng, paired=True)
        assert len({question.text for question in picked}) == len(picked) == 4
        for name in {question.name for question in picked}:
            mine = [q for q in picked if q.name == name]
            possible = {q.answer for q in asked if q.name == name}
            if len(possible) > 1 and picked[-1].name != name:  # the last may lack a partner
                assert len({q.answer for q in mine}) > 1, (name, mine)


@given(Seeds)
def test_at_least_seven_of_ten_annotators_are_right(seed) -> None:
    rng = np.random.default_rng(seed)
    for question in picture_questions(draw_scene(rng, "hard"))[:5]:
        answers = annotators(question, VQA_WEIGHTS, rng)
        assert len(answers) == 10
        assert answers.count(question.answer) >= 7
        assert all((question.type, answer) in VQA_WEIGHTS for answer in answers)


def test_annotators_sometimes_disagree() -> None:
    rng = np.random.default_rng(0)
    question = picture_questions(draw_scene(rng, "hard"))[0]
    shares = [len(set(annotators(question, VQA_WEIGHTS, rng))) > 1 for _ in range(300)]
    assert 0.3 < np.mean(shares) < 0.5


@pytest.mark.parametrize("seed", [0, 7])
def test_most_frequent_answer_and_type_are_below_five_times_the_rarest(seed: int) -> None:
    plan = make_items(seed, clips=3, images=1800, videos=600)
    ask_questions(plan)
    for dataset in ("vqav2", "gqa", "music_avqa"):
        for splits in (*((split,) for split in SPLITS), SPLITS):
            questions = [q for s in splits for item in plan.of(dataset, s) for q in item.questions]
            answers = Counter(question.answer for question in questions)
            # A small split has few of the rarest answers; the whole dataset has many.
            bound = 4.0 if len(questions) > 1000 else 5.0
            assert max(answers.values()) <= bound * min(answers.values()), (dataset, splits)
            kinds = Counter(question.type for question in questions)
            assert max(kinds.values()) <= 4 * min(kinds.values()), (dataset, splits)


@pytest.mark.parametrize("seed", [0, 7])
def test_yes_is_correct_half_the_time_for_visible_and_invisible_objects(seed: int) -> None:
    """Visible objects sound more often than others; the questions must not reveal this."""
    plan = make_items(seed, clips=3, images=9, videos=2400)
    ask_questions(plan)
    answers: dict[bool, Counter[str]] = {True: Counter(), False: Counter()}
    for item in plan.of("music_avqa", "train"):
        seen = {kind for _, kind in item.scene.instruments}
        for question in item.questions:
            if question.name == "heard_exists":
                answers[question.values[0] in seen][question.answer] += 1
    for counts in answers.values():
        assert counts.total() > 300
        assert abs(counts["yes"] - counts["no"]) < 0.06 * counts.total(), answers


def test_instruments_sound_about_equally_often() -> None:
    """The kind of a visible instrument does not reveal whether it sounds."""
    rng, heard, seen = np.random.default_rng(0), Counter(), Counter()
    for number in range(1500):
        scene, sound = draw_video(rng, DIFFICULTIES[number % 3])
        for _, kind in scene.instruments:
            seen[kind] += 1
            heard[kind] += kind in sound.labels
    shares = [heard[kind] / seen[kind] for kind in seen]
    assert max(shares) - min(shares) < 0.1
    assert 0.35 < np.mean(shares) < 0.65
