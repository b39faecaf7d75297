"""Collation: prompts as from the processor, answers padded on the right."""

import pytest
import torch
from PIL import Image

from safe.errors import ModelError
from safe.hearing.data.sample import Sample
from safe.hearing.models.prompt import build_prompt
from safe.hearing.training.collate import TextEncoder
from tests.tiny_models import tiny_processor, tiny_vlm

QUESTIONS = ["what colour is the cat?", "yes?", "how many dog are there in the red sound?"]


def sample(question, answer, name="s"):
    return Sample(
        id=name,
        dataset="d",
        split="train",
        task="vl",
        question=question,
        question_type="t",
        answers=(answer,),
        answer=answer,
        source=name,
    )


@pytest.fixture(scope="module")
def encoder():
    return TextEncoder(tiny_vlm(), tiny_processor())


def rows(encoder):
    answers = ["red", "yes no", "four"]
    samples = [sample(q, a) for q, a in zip(QUESTIONS, answers, strict=True)]
    return [encoder.row(s, s) for s in samples]


def test_prompts_agree_with_the_processor(encoder):
    made = tiny_processor()(
        images=[Image.new("RGB", (16, 16))] * 3,
        text=[build_prompt(q) for q in QUESTIONS],
        padding=True,
        return_tensors="pt",
    )
    mine = encoder.prompts(rows(encoder))
    assert torch.equal(mine["input_ids"], made["input_ids"])
    assert torch.equal(mine["attention_mask"], made["attention_mask"])


def test_answers_end_with_the_end_token_and_can_be_decoded(encoder):
    made = encoder.answers(rows(encoder))
    assert made["answer_ids"].shape == (3, 3)
    assert made["answer_mask"].tolist() == [[1, 1, 0], [1, 1, 1], [1, 1, 0]]
    ends = made["answer_ids"].gather(1, made["answer_mask"].sum(1, keepdim=True) - 1)
    assert bool((ends == encoder.end).all())
    prompts = encoder.prompts(rows(encoder))["input_ids"]
    sequences = torch.cat([prompts, made["answer_ids"]], dim=1)
    assert encoder.decode(sequences, prompts.shape[1]) == ["red", "yes no", "four"]


def test_row_that_does_not_fit_is_named(encoder):
    long = encoder.row(sample("red " * 60, "yes", "too-long"), sample("a", "yes"))
    with pytest.raises(ModelError, match=r"too-long needs \d+ positions, .* has 64"):
        encoder.check_fits([*rows(encoder), long], audio_tokens=4)
    encoder.check_fits(rows(encoder), audio_tokens=4)
    encoder.check_fits([], audio_tokens=4)
