"""Training examples are tokenized as by the processor; audio answers do not depend on pictures."""

from collections import Counter

import numpy as np
import torch
from PIL import Image

from safe.hearing.miniature.base.architecture import VlmShape, build_vlm
from safe.hearing.miniature.base.language import Asked, shuffle_answers, tokenize
from safe.hearing.miniature.base.tokenizer import build_tokenizer
from safe.hearing.models.prompt import build_prompt

SHAPE = VlmShape(image_size=16, patch_size=8, width=16, heads=2)


def test_answers_about_sounds_are_shuffled_and_keep_their_prior():
    asked = [
        Asked(n, "What sound?", "bell" if n < 30 else "drum", "heard", "av") for n in range(50)
    ]
    asked += [Asked(n, "What colour?", f"colour {n}", "colour", "vl") for n in range(50)]
    asked += [Asked(n, "What sound?", f"told {n}", "heard", "av", f"told {n}") for n in range(50)]
    dealt = shuffle_answers(asked, np.random.default_rng(0))
    assert dealt[50:] == asked[50:]
    assert Counter(a.answer for a in dealt[:50]) == {"bell": 30, "drum": 20}
    assert [a.answer for a in dealt[:50]] != [a.answer for a in asked[:50]]
    assert [a.picture for a in dealt] == [a.picture for a in asked]


def test_examples_are_tokenized_as_by_the_processor():
    tokenizer = build_tokenizer(["Question: what colour is it? Answer: red bell"])
    model, processor = build_vlm(SHAPE, tokenizer, 0)
    asked = [Asked(0, "What colour is it?", "red", "c", "vl"), Asked(3, "What?", "bell", "h", "av")]
    lines = tokenize(asked, tokenizer, 4, model.config.image_token_index)
    image = Image.new("RGB", (16, 16))
    for index, item in enumerate(asked):
        prompt = processor(images=image, text=build_prompt(item.question), return_tensors="pt")
        ids = prompt["input_ids"][0]
        assert torch.equal(lines.ids[index, : len(ids)], ids)
        assert (lines.labels[index, : len(ids)] == -100).all()
        answer = lines.labels[index][lines.labels[index] != -100].tolist()
        assert answer == [tokenizer.convert_tokens_to_ids(item.answer), tokenizer.eos_token_id]
        assert int(lines.mask[index].sum()) == len(ids) + 2
    assert lines.picture.tolist() == [0, 3]


def test_sound_description_stands_between_picture_and_question():
    tokenizer = build_tokenizer(["Question: what sound? Answer: bell drum"])
    model, _ = build_vlm(SHAPE, tokenizer, 0)
    image = model.config.image_token_index
    plain = Asked(0, "What sound?", "bell", "heard", "av")
    told = Asked(0, "What sound?", "drum", "heard", "av", "drum drum")
    lines = tokenize([plain, told], tokenizer, 4, image)
    words = tokenizer("drum drum", add_special_tokens=False)["input_ids"]
    ids, without = lines.ids[1].tolist(), lines.ids[0].tolist()
    assert ids[:6] == [image] * 4 + words
    assert ids[6:-2] == without[4:-4]
