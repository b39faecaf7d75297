"""Rows of one batch with different numbers of audio tokens."""

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


def test_all_tokens_equal_gate_true(safe, batch):
    with torch.no_grad():
        counted = safe(**batch.inputs, gate=Tokens((3,) * 6), audio=batch.audio).logits
        every = safe(**batch.inputs, gate=True, audio=batch.audio).logits
    assert torch.equal(counted, every)


def test_each_row_uses_its_number_of_tokens(safe, batch):
    """The result is the same in a mixed batch and alone."""
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
    """Computed by hand: image, the first two audio tokens, and text through the language model."""
    row = 2
    with torch.no_grad():
        own = {**rows_of(batch.inputs, [row]), "audio": [batch.audio[row]]}
        mine = safe(**own, gate=Tokens((2,))).logits[0]
        ids, mask = batch.inputs["input_ids"][row], batch.inputs["attention_mask"][row]
        table = safe.base.get_input_embeddings()
        image = safe.base.get_image_features(batch.inputs["pixel_values"][[row]]).pooler_output[0]
        audio = safe.projector(safe.audio_encoder.embed([batch.audio[row]]))[0, :2]
        embeds = torch.cat([image, audio, table(ids[4:])]).unsqueeze(0)
        wide = torch.cat([mask[:4], mask.new_ones(2), mask[4:]]).unsqueeze(0)
        expected = safe.language_model(inputs_embeds=embeds, attention_mask=wide).logits[0]
    torch.testing.assert_close(mine, torch.cat([expected[:4], expected[6:]]))


def test_rows_with_zero_tokens_equal_the_base(safe, batch):
    off = [row for row, count in enumerate(COUNTS) if not count]
    options = {"max_new_tokens": 5, "do_sample": False}
    with torch.no_grad():
        mine = safe.generate(**batch.inputs, gate=Tokens(COUNTS), audio=batch.audio, **options)
        plain = safe.base.generate(**rows_of(batch.inputs, off), **options)
    assert torch.equal(mine.sequences[off, : plain.shape[1]], plain)


def test_score_uses_the_same_number_of_tokens_as_forward(safe, batch):
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
def test_number_of_tokens_out_of_range_is_refused(safe, batch, counts):
    with pytest.raises(ModelError, match="not 0 to 3"):
        safe(**batch.inputs, gate=Tokens(counts), audio=batch.audio)


def test_wrong_number_of_counts_is_refused(safe, batch):
    with pytest.raises(ModelError, match="numbers of tokens for 6 examples"):
        safe(**batch.inputs, gate=Tokens((1,)), audio=batch.audio)


def test_decision_must_be_bool_or_integer():
    assert tokens_heard(torch.tensor([True, False]), 8) == [8, 0]
    assert tokens_heard(torch.tensor([4, 0]), 8) == [4, 0]
    with pytest.raises(ModelError, match="bool or int64"):
        tokens_heard(torch.tensor([0.5]), 8)
