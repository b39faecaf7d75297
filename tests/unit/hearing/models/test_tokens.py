"""Rows of one batch that hear different numbers of audio tokens."""

import pytest
import torch

from safe.errors import ModelError
from safe.hearing.models.gating import Tokens, tokens_heard

COUNTS = (3, 0, 1, 2, 0, 1)


def rows_of(inputs, rows):
    return {name: value[rows] for name, value in inputs.items()}


@pytest.fixture(scope="module")
def safe(build_safe):
    return build_safe()


def test_all_tokens_are_what_true_hears(safe, batch):
    with torch.no_grad():
        told = safe(**batch.inputs, gate=Tokens((3,) * 6), audio=batch.audio).logits
        every = safe(**batch.inputs, gate=True, audio=batch.audio).logits
    assert torch.equal(told, every)


def test_a_row_hears_as_many_as_it_is_told(safe, batch):
    """In a mixed batch as alone."""
    with torch.no_grad():
        mixed = safe(**batch.inputs, gate=Tokens(COUNTS), audio=batch.audio)
        for row, count in enumerate(COUNTS):
            own = {**rows_of(batch.inputs, [row]), "audio": [batch.audio[row]]}
            alone = safe(**own, gate=Tokens((count,))).logits[0]
            torch.testing.assert_close(mixed.logits[row], alone, rtol=1e-4, atol=1e-4)
    assert mixed.consultation.counts() == list(COUNTS)
    assert mixed.consultation.mask() == [bool(count) for count in COUNTS]
    assert mixed.consultation.by_tokens() == [(1, [2, 5]), (2, [3]), (3, [0])]


def test_fewer_tokens_are_the_first_ones(safe, batch):
    """By hand: the language model on image, the first two audio tokens, and text."""
    row = 2
    with torch.no_grad():
        own = {**rows_of(batch.inputs, [row]), "audio": [batch.audio[row]]}
        mine = safe(**own, gate=Tokens((2,))).logits[0]
        ids, mask = batch.inputs["input_ids"][row], batch.inputs["attention_mask"][row]
        table = safe.base.get_input_embeddings()
        image = safe.base.get_image_features(batch.inputs["pixel_values"][[row]]).pooler_output[0]
        heard = safe.projector(safe.audio_encoder.embed([batch.audio[row]]))[0, :2]
        embeds = torch.cat([image, heard, table(ids[4:])]).unsqueeze(0)
        wide = torch.cat([mask[:4], mask.new_ones(2), mask[4:]]).unsqueeze(0)
        byhand = safe.language_model(inputs_embeds=embeds, attention_mask=wide).logits[0]
    torch.testing.assert_close(mine, torch.cat([byhand[:4], byhand[6:]]))


def test_rows_that_hear_none_are_the_base(safe, batch):
    off = [row for row, count in enumerate(COUNTS) if not count]
    options = {"max_new_tokens": 5, "do_sample": False}
    with torch.no_grad():
        mine = safe.generate(**batch.inputs, gate=Tokens(COUNTS), audio=batch.audio, **options)
        plain = safe.base.generate(**rows_of(batch.inputs, off), **options)
    assert torch.equal(mine.sequences[off, : plain.shape[1]], plain)


def test_scoring_hears_as_many_as_forward(safe, batch):
    answers = torch.full((6, 2), 7)
    given = {"answer_ids": answers, "answer_mask": torch.ones_like(answers)}
    with torch.no_grad():
        mixed = safe.score(**batch.inputs, audio=batch.audio, gate=Tokens(COUNTS), **given)
        for count in (1, 3):
            rows = [row for row, c in enumerate(COUNTS) if c == count]
            every = safe.score(
                **batch.inputs, audio=batch.audio, gate=Tokens((count,) * 6), **given
            )
            torch.testing.assert_close(mixed[rows], every[rows], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("counts", [(4,) * 6, (-1, 0, 0, 0, 0, 0)])
def test_more_than_there_are_or_fewer_than_none_are_refused(safe, batch, counts):
    with pytest.raises(ModelError, match="not 0 to 3"):
        safe(**batch.inputs, gate=Tokens(counts), audio=batch.audio)


def test_one_number_a_row(safe, batch):
    with pytest.raises(ModelError, match="numbers of tokens for 6 examples"):
        safe(**batch.inputs, gate=Tokens((1,)), audio=batch.audio)


def test_a_decision_is_bool_or_whole_numbers():
    assert tokens_heard(torch.tensor([True, False]), 8) == [8, 0]
    assert tokens_heard(torch.tensor([4, 0]), 8) == [4, 0]
    with pytest.raises(ModelError, match="bool or int64"):
        tokens_heard(torch.tensor([0.5]), 8)
