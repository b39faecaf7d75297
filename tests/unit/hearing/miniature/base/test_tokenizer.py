"""The word tokenizer: round trip of answers, and loading as a Hugging Face tokenizer."""

from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer, Blip2Processor

from safe.hearing.miniature.base.architecture import VlmShape, build_vlm
from safe.hearing.miniature.base.tokenizer import build_tokenizer, words_of
from safe.hearing.models.prompt import answer_text, build_prompt, clean_answer

KNOWN = ["top", "left", "dark-red", "seven", "don't", "bell"]
TOKENIZER = build_tokenizer([*KNOWN, "Question: what? Answer:"])


@given(st.lists(st.sampled_from(KNOWN), min_size=1, max_size=6))
@settings(deadline=None)
def test_answer_of_known_words_survives_tokenization(words):
    answer = " ".join(words)
    ids = TOKENIZER(answer_text(answer), add_special_tokens=False)["input_ids"]
    assert len(ids) == len(words)
    assert clean_answer(TOKENIZER.decode(ids, skip_special_tokens=True)) == answer


def test_prompts_begin_with_the_start_token_and_ignore_case():
    lower, upper = (TOKENIZER(build_prompt(q))["input_ids"] for q in ("what?", "WHAT?"))
    assert lower == upper
    assert lower[0] == TOKENIZER.bos_token_id
    assert TOKENIZER.unk_token_id not in lower


def test_order_of_the_texts_does_not_matter():
    one, two = build_tokenizer(["b a", "c"]), build_tokenizer(["c", "a b"])
    assert one.get_vocab() == two.get_vocab()


def test_words_of_splits_words_and_punctuation():
    assert words_of("Is it red, or dark-red?") == ["is", "it", "red", ",", "or", "dark-red", "?"]


def test_texts_can_end_with_the_end_token(tmp_path):
    tokenizer = build_tokenizer(["a bell"], end=True)
    tokenizer.save_pretrained(tmp_path)
    ids = AutoTokenizer.from_pretrained(tmp_path)("a bell")["input_ids"]
    assert (ids[0], ids[-1]) == (tokenizer.bos_token_id, tokenizer.eos_token_id)


def test_saved_processor_keeps_its_image_placeholder(tmp_path):
    tokenizer = build_tokenizer(KNOWN)
    shape = VlmShape(image_size=16, patch_size=8, width=16, heads=2)
    model, processor = build_vlm(shape, tokenizer, 0)
    processor.save_pretrained(tmp_path)
    again = Blip2Processor.from_pretrained(tmp_path)
    found = again.tokenizer.convert_tokens_to_ids("<image>")
    assert found == model.config.image_token_index == len(again.tokenizer) - 1
    assert again.num_query_tokens == 4
