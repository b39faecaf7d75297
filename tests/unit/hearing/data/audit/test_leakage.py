"""Leakage: planted leaks are found and counted exactly; clean data has no findings."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from safe.hearing.data.audit.balance import class_balance
from safe.hearing.data.audit.base import connect, undeclared
from safe.hearing.data.audit.leakage import find_leakage
from safe.hearing.data.audit.texts import find_near_texts, jaccard, sketch, words_of
from safe.hearing.data.manifest import write_manifest
from safe.hearing.data.sample import MediaRef, Sample
from tests.tiny_data import dataset

ANSWERS = ("yes", "no", "two", "three", "violin")


def sample(number: int, split: str = "train", name: str = "vqav2", **more) -> Sample:
    answer = ANSWERS[number % len(ANSWERS)]
    values = {
        "id": f"{name}/{split}/{number:06d}",
        "dataset": name,
        "split": split,
        "task": "vl",
        "question": f"What is number {number}?",
        "question_type": "what is",
        "answers": (answer,),
        "answer": answer,
        "source": f"coco:{number}",
        "image": MediaRef(Path(f"/d/COCO_{number:012d}.jpg")),
    }
    return Sample(**(values | more))


def clean(count: int = 200) -> list[Sample]:
    return [sample(i, ("train", "val", "test")[i % 3]) for i in range(count)]


def audit(tmp_path, samples, *configs):
    configs = configs or (dataset("vqav2", tmp_path),)
    write_manifest(samples, tmp_path / "m.parquet")
    with connect(tmp_path / "m.parquet", configs) as base:
        return find_leakage(base, configs), class_balance(base, configs), find_near_texts(base, 0.9)


def test_clean_data_has_no_findings(tmp_path):
    leaks, balances, near = audit(tmp_path, clean())
    assert leaks == []
    assert near == []
    assert [b.ratio for b in balances] == [1.0]


def test_shared_ids_media_and_rows_are_counted_separately(tmp_path):
    rows = clean()
    shared_id = replace(rows[0], id="vqav2/val/000000", source="coco:9000", question="Other?")
    shared_media = [replace(rows[i], id=f"vqav2/test/9{i:05d}", split="test", question=f"New {i}?")
                    for i in (3, 6)]  # fmt: skip
    row = replace(rows[9], id="vqav2/test/900009", split="test", question=" WHAT is  number 9? ")
    leaks, _, _ = audit(tmp_path, [*rows, replace(shared_id, split="val"), *shared_media, row])
    found = {(f.kind, f.where): f.count for f in leaks}
    assert found == {
        ("shared ids", "vqav2: train, val"): 1,
        ("shared source media", "vqav2: test, train"): 3,
        ("repeated rows", "vqav2: test, train"): 1,
    }
    assert undeclared(leaks) == 5


def test_declared_split_by_question_excuses_media_but_not_rows(tmp_path):
    rows = clean()
    other = replace(rows[0], id="vqav2/val/777", split="val", question="Something else?")
    same = replace(rows[3], id="vqav2/val/778", split="val")
    reason = "published split by question by its authors"
    config = dataset("vqav2", tmp_path, split_unit="question", split_unit_reason=reason)
    leaks, _, _ = audit(tmp_path, [*rows, other, same], config)
    declared = {f.kind: f for f in leaks if f.declared}
    assert declared["shared source media"].count == 2
    assert reason in declared["shared source media"].declared
    assert [(f.kind, f.count) for f in leaks if not f.declared] == [("repeated rows", 1)]


def test_media_shared_across_datasets_are_never_excused(tmp_path):
    reason = "published split by question by its authors"
    configs = [
        dataset("vqav2", tmp_path, split_unit="question", split_unit_reason=reason),
        dataset("gqa", tmp_path, split_unit="question", split_unit_reason=reason),
    ]
    rows = [sample(1), sample(1, "test", "gqa", question="Else?")]
    leaks, _, _ = audit(tmp_path, rows, *configs)
    assert [(f.kind, f.where, f.declared) for f in leaks] == [
        ("shared source media", "gqa test, vqav2 train", None)
    ]
    together, _, _ = audit(tmp_path, [sample(1), sample(1, "train", "gqa")], *configs)
    assert together == []


def test_image_source_counts_and_start_times_are_ignored(tmp_path):
    rows = [
        sample(1, source="youtube:abc@10", image_source="digits:7"),
        sample(2, "test", source="youtube:abc@90"),
        sample(3, "val", source="x:1", image_source="digits:7"),
    ]
    leaks, _, _ = audit(tmp_path, rows)
    assert sorted((f.where, f.examples) for f in leaks) == [
        ("vqav2: test, train", ("youtube:abc",)),
        ("vqav2: train, val", ("digits:7",)),
    ]


@pytest.mark.parametrize("where", ["id", "file name"])
def test_answers_in_names_are_found(tmp_path, where):
    rows = clean()
    for i in range(0, 200, 4):
        tail = f"{i:04d}_{rows[i].answer}"
        if where == "id":
            rows[i] = replace(rows[i], id=f"vqav2/{rows[i].split}/{tail}")
        else:
            rows[i] = replace(rows[i], image=MediaRef(Path(f"/d/{tail}.jpg")))
    (leak,), _, _ = audit(tmp_path, rows)
    assert where in leak.kind
    assert leak.count >= 50


def test_numbers_in_names_match_number_words(tmp_path):
    words = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
    rng = np.random.default_rng(0)
    rows = []
    for i in range(200):
        digit = int(rng.integers(10))
        rows.append(
            sample(i, answer=words[digit], answers=(words[digit],),
                   image=MediaRef(Path(f"/d/{digit}_theo_{i}.wav")))
        )  # fmt: skip
    (leak,), _, _ = audit(tmp_path, rows)
    assert leak.kind == "answers readable from the image file name"
    reason = "the publisher names files so; a model never sees a name"
    config = dataset("vqav2", tmp_path, names_carry_labels=reason)
    (declared,), _, _ = audit(tmp_path, rows, config)
    assert declared.declared == reason


def test_numbers_that_match_by_chance_are_no_leak(tmp_path):
    """Answers 0 to 9 with ids that contain numbers: matches are as frequent as by chance."""
    rng = np.random.default_rng(1)
    rows = [
        replace(sample(i), id=f"vqav2/train/{i % 50}-{i}", answer=str(a), answers=(str(a),))
        for i, a in enumerate(rng.integers(0, 10, 500))
    ]
    leaks, _, _ = audit(tmp_path, rows)
    assert leaks == []


def test_balance_is_computed_within_question_types_and_by_label(tmp_path):
    rows = [sample(i, answer="yes" if i % 6 else "no", question_type="is it") for i in range(120)]
    rows += [sample(1000 + i, answer="red", question_type="colour") for i in range(60)]
    rows += [sample(2000 + i, answer=f"{i}", question_type="rare") for i in range(10)]
    rows = [replace(r, labels={"side": "left" if i < 100 else "right"}) for i, r in enumerate(rows)]
    config = dataset("vqav2", tmp_path, label_fields=["answer", "side"])
    _, balances, _ = audit(tmp_path, rows, config)
    found = {(b.field, b.question_type): b for b in balances}
    assert found["answer", "is it"].ratio == 5.0
    assert found["answer", "is it"].counts == {"yes": 100, "no": 20}
    assert found["answer", "colour"].ratio == 60.0  # a single answer counts as maximally skewed
    assert not found["answer", "rare"].judged
    assert found["side", ""].ratio == pytest.approx(100 / 90)
    reason = "balanced by design elsewhere, see paper"
    intended = dataset("vqav2", tmp_path, intended_imbalance={"answer": reason})
    _, balances, _ = audit(tmp_path, rows, intended)
    assert not any(b.judged for b in balances)
    assert {b.intended for b in balances} == {reason}


def test_near_questions_on_the_same_media_are_near_rows(tmp_path):
    text = "How many of the small round things on the long table are red or green today?"
    rows = [
        *clean(30),
        sample(900, question=text, source="coco:x"),
        sample(901, "val", question=text.replace("?", "") + " ??", source="coco:x"),
        sample(902, "test", question=text, source="coco:y"),
    ]
    _, _, near = audit(tmp_path, rows)
    assert [(f.kind, f.count, f.declared) for f in near] == [
        ("near rows (same media, near question)", 1, None)
    ]


def test_captions_on_other_media_are_shown_and_not_counted(tmp_path):
    long = "a man speaks while a dog barks in the distance near running water"
    rows = [
        sample(1, task="caption", answers=(long, "rain"), image=None),
        sample(2, "val", task="caption", answers=(long + " again",), image=None),
        sample(3, "test", task="caption", answers=("Rain ", "wind"), image=None),
    ]
    _, _, near = audit(tmp_path, rows)
    assert {f.kind: f.count for f in near} == {
        "same caption on other media": 1,
        "near caption on other media": 1,
    }
    assert all(f.declared for f in near)


def test_sketch_agrees_with_datasketch_minhash():
    from datasketch import MinHash

    texts = [
        words_of("a man speaks and then some"),
        words_of("rain falls"),
        words_of("RAIN, falls!"),
    ]
    sketches = sketch(texts)
    for words, found in zip(texts, sketches, strict=True):
        own = MinHash(num_perm=64, seed=1)
        for word in words:
            own.update(word.encode())
        assert (own.hashvalues == found.hashvalues).all()
    assert sketches[1].jaccard(sketches[2]) == 1.0 == jaccard(texts[1], texts[2])
