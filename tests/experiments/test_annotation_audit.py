"""`safe audit` on annotation files without media: small files and the published ones."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from safe.cli import app
from safe.errors import ConfigError, DataError
from safe.hearing.experiments.data_preflight.annotations import (
    as_text,
    audit_annotations,
    guess_split,
)
from tests import tiny_data
from tests.paths import ROOT

CRITERIA = ROOT / "config" / "hearing" / "criteria"
SHARED = ROOT.parent / "shared" / "data"
REASON = "published split by question, as the authors describe"


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("train.csv", "train"),
        ("avqa-val.json", "val"),
        ("v2_mscoco_val2014_annotations.json", "val"),
        ("testdev_balanced_questions.json", "test"),
        ("Dev.csv", "val"),
        ("clotho_captions_development.csv", "train"),
        ("clotho_captions_validation.csv", "val"),
        ("clotho_captions_evaluation.csv", "test"),
    ],
)
def test_guess_split_from_file_name(name, split):
    assert guess_split(Path(name)) == split


@pytest.mark.parametrize("name", ["captions.csv", "train_and_test.csv", "latest.csv"])
def test_file_name_without_a_clear_split_is_refused(name):
    with pytest.raises(DataError, match="does not name a split"):
        guess_split(Path(name))


def audio_files(tmp_path, shared=0):
    train = [(i, f"a{i}", 0, f"caption {i}") for i in range(120)]
    test = [(500 + i, f"b{i}" if i >= shared else f"a{i}", 0, "x") for i in range(20)]
    tiny_data.write_audiocaps(tmp_path, "train", train, media=False)
    tiny_data.write_audiocaps(tmp_path, "test", test, media=False)
    return [tmp_path / "train.csv", tmp_path / "test.csv"]


def test_criteria_that_need_media_or_a_curriculum_are_unavailable_and_never_go(tmp_path):
    audit = audit_annotations("audiocaps", audio_files(tmp_path), criteria=CRITERIA)
    verdicts = {j.id: j.verdict for j in audit.decision.criteria}
    assert verdicts.pop("01.no_leakage") == verdicts.pop("01.all_rows_read") == "pass"
    assert set(verdicts.values()) == {"unavailable"}
    assert audit.decision.verdict == "NO-GO"
    assert "no problem found; unavailable:" in as_text(audit)


def test_leak_is_counted_and_shown(tmp_path):
    audit = audit_annotations("audiocaps", audio_files(tmp_path, shared=3), criteria=CRITERIA)
    text = as_text(audit)
    assert "FAIL  01.no_leakage: 3 count" in text
    assert "youtube:a0; youtube:a1; youtube:a2" in text


def test_audit_accepts_a_folder_and_names_faulty_input(tmp_path):
    audio_files(tmp_path)
    assert audit_annotations("audiocaps", [tmp_path], criteria=CRITERIA).rows == 140
    with pytest.raises(DataError, match="no annotation layout"):
        audit_annotations("digits", [tmp_path], criteria=CRITERIA)
    both = [tmp_path / "test.csv", tmp_path / "test.csv"]
    with pytest.raises(DataError, match="given by two files"):
        audit_annotations("audiocaps", both, criteria=CRITERIA)
    with pytest.raises(ConfigError, match="needs split_unit_reason"):
        audit_annotations("audiocaps", [tmp_path], criteria=CRITERIA, split_unit="question")
    with pytest.raises(DataError, match="is missing"):
        audit_annotations("audiocaps", [tmp_path / "val.csv"], criteria=CRITERIA)


def left_out(audit):
    return [
        name for p in audit.problems if p.what.startswith("files left out") for name in p.examples
    ]


def test_vqa_folder_as_unzipped_is_audited_and_other_files_are_named(tmp_path):
    for split in ("train2014", "val2014"):
        tiny_data.write_vqav2(tmp_path, split, [(1, 7, "is it", "yes")], media=False)
        (tmp_path / f"v2_mscoco_{split}_complementary_pairs.json").write_text("[[1, 2]]")
    (tmp_path / "v2_OpenEnded_mscoco_test2015_questions.json").write_text('{"questions": []}')
    audit = audit_annotations("vqav2", [tmp_path], criteria=CRITERIA)
    assert audit.rows == 2
    assert left_out(audit) == [
        "v2_OpenEnded_mscoco_test2015_questions.json",
        "v2_mscoco_train2014_complementary_pairs.json",
        "v2_mscoco_val2014_complementary_pairs.json",
    ]
    assert "note: 3 files left out" in as_text(audit)


def test_gqa_folder_with_all_beside_balanced_is_audited(tmp_path):
    row = {"imageId": "n1", "question": "Is it red?", "answer": "yes"}
    for split, kinds in (("train", "all balanced"), ("val", "all"), ("testdev", "all balanced")):
        for number, kind in enumerate(kinds.split()):
            rows = {f"{split}{n}": row for n in range(3 - number)}
            path = tmp_path / f"{split}_{kind}_questions.json"
            path.write_text(json.dumps(rows))
    (tmp_path / "test_balanced_questions.json").write_text("{}")
    (tmp_path / "val_sceneGraphs.json").write_text("{}")
    audit = audit_annotations("gqa", [tmp_path], criteria=CRITERIA)
    assert {row["split"]: row["rows"] for row in audit.counts} == {"train": 2, "val": 3, "test": 2}
    assert left_out(audit) == [
        "test_balanced_questions.json",
        "testdev_all_questions.json",
        "train_all_questions.json",
        "val_sceneGraphs.json",
    ]


def test_real_vqa_folder_is_audited():
    folder = SHARED.parent / "cases" / "vqa_trainval"
    if not folder.is_dir():
        pytest.skip("shared/cases is absent")
    assert audit_annotations("vqav2", [folder], criteria=CRITERIA).rows == 10


def run(*arguments: str):
    return CliRunner().invoke(app, ["audit", *arguments, "--criteria", str(CRITERIA)])


def shared(name: str) -> str:
    if not (SHARED / name).is_dir():
        pytest.skip(f"the published annotations of {name} are not on this machine")
    return str(SHARED / name)


def test_published_music_avqa_shares_videos_between_val_and_test():
    found = run("--layout", "music_avqa", shared("music_avqa"), "--json")
    assert found.exit_code == 1
    audit = json.loads(found.stdout)
    assert audit["verdict"] == "NO-GO"
    criteria = {c["id"]: c for c in audit["criteria"]}
    assert criteria["01.no_leakage"]["value"] == 2296
    assert criteria["01.no_leakage"]["verdict"] == "fail"
    assert criteria["01.class_balance"]["value"] == 571
    metrics = {m["name"]: m for m in audit["metrics"]}
    (leak,) = metrics["no_leakage"]["detail"]["findings"]
    assert leak["kind"] == "shared source media"
    assert len(leak["examples"]) == 5
    assert {p["split"]: p["count"] for p in audit["problems"]} == {"val": 27, "test": 55}
    assert "files_load" in audit["unavailable"]


def test_declared_split_by_question_is_accepted_and_shown():
    folder = shared("music_avqa")
    found = run("--layout", "music_avqa", folder, "--split-unit", "question", "--reason", REASON)
    assert found.exit_code == 1  # the answers are still skewed
    assert "pass  01.no_leakage: 0 count" in found.stdout
    assert f"[declared: split by question: {REASON}]" in found.stdout
    assert "2,296 shared source media" in found.stdout


def test_published_audiocaps_shares_captions_but_no_clips():
    found = run("--layout", "audiocaps", shared("audiocaps"), "--json")
    assert found.exit_code == 1
    audit = json.loads(found.stdout)
    assert audit["rows"] == 51308  # 57,188 captions of as many clips
    assert {c["id"]: c["verdict"] for c in audit["criteria"]}["01.no_leakage"] == "pass"
    metrics = {m["name"]: m for m in audit["metrics"]}
    findings = metrics["cross_split_duplicates"]["detail"]["findings"]
    same = {f["where"]: f["count"] for f in findings if f["kind"].startswith("same")}
    assert same == {
        "audiocaps: val, train": 141,
        "audiocaps: test, train": 266,
        "audiocaps: val, test": 21,
    }
