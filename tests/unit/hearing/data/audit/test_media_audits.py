"""Duplicates, recall, alignment, sheets and plots on generated files."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr
from PIL import Image, ImageOps

from safe.errors import DataError
from safe.hearing.config import PreflightConfig
from safe.hearing.data.audit import duplicates
from safe.hearing.data.audit.alignment import find_pairs, read_verdicts, time_overlap
from safe.hearing.data.audit.base import connect
from safe.hearing.data.audit.plots import draw_contact_sheet, draw_histograms
from safe.hearing.data.audit.recall import IMAGES, SOUNDS, TEXTS, measure_recall
from safe.hearing.data.audit.sheet import write_sheet
from safe.hearing.data.manifest import load_samples
from safe.hearing.data.sample import Sample
from safe.hearing.prepare.data import prepare_data
from tests import tiny_data
from tests.tiny_data import RATE, dataset, picture, run_config, tone

SETTINGS = PreflightConfig(recall_copies=12)


def melody(seed: int, seconds: float = 1.5) -> np.ndarray:
    rng = np.random.default_rng(seed)
    pitch = np.repeat(rng.uniform(200, 1800, 6), int(seconds * RATE / 6))
    return (0.3 * np.sin(2 * np.pi * np.cumsum(pitch) / RATE)).astype(np.float32)


@pytest.fixture
def config(tmp_path):
    """12 sounds and 12 pictures in train, 6 and 6 in val, all different."""
    sounds, pictures = tmp_path / "sounds", tmp_path / "pictures"
    for split, numbers in (("train", range(1, 13)), ("val", range(21, 27))):
        tiny_data.write_audiocaps(
            sounds, split, [(i, f"clip{i}", 0, f"the sound of thing {i}") for i in numbers]
        )
        for i in numbers:
            soundfile.write(sounds / "audio" / f"clip{i}_0.wav", melody(i), RATE)
        rows = [(i, i, "what is it", f"thing {i % 3}") for i in numbers]
        tiny_data.write_vqav2(pictures, split, rows)
    splits = {"train": "train", "val": "val"}
    names = [dataset("audiocaps", sounds, splits=splits), dataset("vqav2", pictures, splits=splits)]
    return run_config(tmp_path, names)


def opened(config):
    prepare_data(config)
    folder = config.folder / "data"
    base = connect(folder / "manifest.parquet", config.datasets, folder / "media.parquet")
    duplicates.prepare_places(base)
    return base


def near(base):
    """Near copies across splits."""
    return [
        *duplicates.find_near_images(base, SETTINGS)[0],
        *duplicates.find_near_audio(base, SETTINGS)[0],
    ]


def test_different_media_are_no_duplicates(config):
    with opened(config) as base:
        assert duplicates.find_exact(base) == []
        assert near(base) == []


def test_exact_copies_are_found_in_any_container(config):
    sounds, pictures = (d.root for d in config.datasets)
    (sounds / "audio" / "clip21_0.wav").unlink()
    wave, _ = soundfile.read(sounds / "audio" / "clip3_0.wav", dtype="int16")
    soundfile.write(sounds / "audio" / "clip21_0.flac", wave, RATE, subtype="PCM_16")
    name = "COCO_{0}_{1:012d}.png"
    picture(4).save(pictures / "val" / name.format("val", 22), compress_level=1)
    with opened(config) as base:
        found = {f.kind: (f.count, f.where, f.examples) for f in duplicates.find_exact(base)}
        assert near(base) == []
    assert found == {
        "exact audio duplicates": (1, "audiocaps: train, val", ("clip3_0.wav = clip21_0.flac",)),
        "exact image duplicates": (
            1,
            "vqav2: train, val",
            (f"{name.format('train', 4)} = {name.format('val', 22)}",),
        ),
    }


@pytest.mark.parametrize("kind", ["OGG", "MP3"])
def test_re_encoded_copies_are_found(config, kind):
    sounds, pictures = (d.root for d in config.datasets)
    (sounds / "audio" / "clip21_0.wav").unlink()
    path = sounds / "audio" / f"clip21_0.{kind.lower()}"
    soundfile.write(path, melody(3) * 0.6, RATE, format=kind)
    (pictures / "val" / "COCO_val_000000000022.png").unlink()
    copy = picture(4).resize((48, 48), Image.Resampling.BICUBIC)
    copy.save(pictures / "val" / "COCO_val_000000000022.jpg", quality=70)
    with opened(config) as base:
        assert duplicates.find_exact(base) == []
        findings = duplicates.as_findings(near(base))
    assert [(f.kind, f.count) for f in findings] == [
        ("near audio duplicates", 1),
        ("near image duplicates", 1),
    ]
    assert "clip3_0.wav" in findings[0].examples[0]


def test_copies_within_one_split_do_not_count(config):
    sounds = config.datasets[0].root
    soundfile.write(sounds / "audio" / "clip5_0.wav", melody(3), RATE)
    with opened(config) as base:
        assert duplicates.find_exact(base) == []


def test_file_in_two_splits_counts_unless_declared(config):
    sounds = config.datasets[0].root
    with (sounds / "val.csv").open("a") as table:
        table.write("90,clip3,0,another caption of it\n")
    with opened(config) as base:
        (found,) = duplicates.find_exact(base)
        assert (found.count, found.declared) == (1, None)
        assert found.examples == ("clip3_0.wav = clip3_0.wav",)
    declared = config.datasets[0].model_copy(
        update={"split_unit": "question", "split_unit_reason": "published split by caption"}
    )
    config = config.model_copy(update={"datasets": [declared, config.datasets[1]]})
    with opened(config) as base:
        (found,) = duplicates.find_exact(base)
        assert "published split by caption" in found.declared


def test_changed_copies_are_found(config):
    """A cropped picture, a mirrored one, a faster sound and one without its ends."""
    sounds, pictures = (d.root for d in config.datasets)
    name = "COCO_val_{0:012d}.png"
    picture(4).crop((1, 1, 31, 31)).save(pictures / "val" / name.format(22))
    ImageOps.mirror(picture(7)).convert("L").save(pictures / "val" / name.format(23))
    faster = soxr.resample(melody(3), RATE * 1.02, RATE)
    soundfile.write(sounds / "audio" / "clip21_0.wav", faster, RATE)
    cut = melody(5)[int(0.04 * 1.5 * RATE) : int(0.95 * 1.5 * RATE)]
    soundfile.write(sounds / "audio" / "clip22_0.wav", cut, RATE)
    with opened(config) as base:
        found = {(Path(p.first).stem, Path(p.second).stem) for p in near(base)}
    assert found == {
        ("COCO_train_000000000004", "COCO_val_000000000022"),
        ("COCO_train_000000000007", "COCO_val_000000000023"),
        ("clip3_0", "clip21_0"),
        ("clip5_0", "clip22_0"),
    }


def test_copies_of_other_sources_within_a_held_out_split_are_found(config):
    sounds, pictures = (d.root for d in config.datasets)
    soundfile.write(sounds / "audio" / "clip21_0.wav", melody(22), RATE)
    picture(23).resize((40, 40)).save(pictures / "val" / "COCO_val_000000000024.png")
    with opened(config) as base:
        exact = duplicates.find_exact_within(base)
        images = duplicates.find_near_images(base, SETTINGS)[1]
    assert [(f.kind, f.count, f.where) for f in exact] == [("exact audio copies", 1, "val")]
    assert [Path(p.first).stem[-2:] + Path(p.second).stem[-2:] for p in images] == ["2324"]


def test_recall_is_measured_for_each_kind_of_change(config):
    with opened(config) as base:
        recalls = measure_recall(base, SETTINGS, seed=0)
    assert {r.change for r in recalls} >= {*IMAGES, *SOUNDS}
    for recall in recalls:
        assert recall.copies == 12 or recall.detector == "near text"
        assert recall.found >= 0.8 * recall.copies, recall


@pytest.mark.parametrize(
    ("settings", "detector"),
    [
        ({"near_audio_similarity": 1.0}, "near audio"),
        ({"near_image_similarity": 1.0}, "near image"),
    ],
)
def test_recall_of_a_detector_that_finds_little_is_low(config, settings, detector):
    strict = SETTINGS.model_copy(update=settings)
    with opened(config) as base:
        recalls = [r for r in measure_recall(base, strict, seed=0) if r.detector == detector]
    assert min(r.found for r in recalls) <= 2


@pytest.mark.parametrize("change", TEXTS)
def test_changed_texts_differ_in_at_most_one_word(change):
    text = " ".join(f"word{i}" for i in range(40))
    words = set(TEXTS[change](text, np.random.default_rng(0)).lower().split()) - {"."}
    assert len(set(text.split()) - words) <= 1
    assert len(words - set(text.split())) <= 1


@pytest.mark.parametrize(
    ("events", "activity", "expected"),
    [
        ([(0, 1)], [(0, 1)], (1.0, 0.0)),
        ([(0, 1)], [(1, 2)], (0.0, 1.0)),
        ([(0, 2)], [(0, 1)], (0.5, None)),
        ([(0, 1), (0.5, 1)], [], (0.0, 0.0)),
    ],
)
def test_overlap_of_known_intervals(events, activity, expected):
    assert time_overlap(events, activity, 2.0) == pytest.approx(expected)


KINDS = {"low": 150, "middle": 600, "high": 1500}


def write_labelled(root, labels, shift=0.0):
    """90 clips of three kinds of tone, with events from 0.2 to 0.8 s."""
    (root / "audio").mkdir(parents=True)
    lines, table = ["Category&VideoID&Quality&StartTime&EndTime"], []
    kinds = list(KINDS)
    for i in range(90):
        wave = tone(KINDS[kinds[i % 3]] * (1 + i / 900), 1.6, 0.2 + shift, 0.8 + shift)
        soundfile.write(root / "audio" / f"v{i}_0.wav", wave, RATE)
        lines.append(f"{labels[i]}&v{i}&good&0.2&0.8")
        table.append(f"{i},v{i},0,a tone")
    (root / "Annotations.txt").write_text("\n".join(lines) + "\n")
    (root / "train.csv").write_text(
        "audiocap_id,youtube_id,start_time,caption\n" + "\n".join(table) + "\n"
    )
    return dataset("audiocaps", root, options={"events": "Annotations.txt"})


def pairs_of(tmp_path, labels, shift=0.0):
    config = run_config(tmp_path, [write_labelled(tmp_path / "d", labels, shift)])
    with opened(config) as base:
        return find_pairs(base, seed=0)


TRUE = [list(KINDS)[i % 3] for i in range(90)]


def test_true_annotations_agree_with_the_sound(tmp_path):
    pairs = pairs_of(tmp_path, TRUE)
    assert len(pairs) == 90
    assert all(pair.aligned and pair.label_ok for pair in pairs)
    assert not any(pair.obvious for pair in pairs)


def test_shifted_sounds_are_misaligned(tmp_path):
    pairs = pairs_of(tmp_path, TRUE, shift=0.65)
    assert not any(pair.time_ok for pair in pairs)
    assert all("no sound" in pair.obvious for pair in pairs)


def test_each_wrong_label_is_found(tmp_path):
    wrong = {4: "low", 20: "low", 33: "high"}
    labels = [wrong.get(i, label) for i, label in enumerate(TRUE)]
    pairs = pairs_of(tmp_path, labels)
    off = {pair.id for pair in pairs if pair.label_ok is False}
    assert off == {f"audiocaps/train/{i}" for i in wrong}
    assert {pair.id for pair in pairs if pair.obvious} == off


def test_verdicts_are_read_only_when_signed(tmp_path):
    path = tmp_path / "v.json"
    good = {"signed_by": "A. Person", "date": "2025-01-01", "verdicts": {"a": "matched"}}
    path.write_text(json.dumps(good))
    assert read_verdicts(path) == ("A. Person", {"a": False})
    for bad in (good | {"signed_by": " "}, good | {"verdicts": {"a": "maybe"}}, [1]):
        path.write_text(json.dumps(bad))
        with pytest.raises(DataError, match="sheet"):
            read_verdicts(path)
    with pytest.raises(DataError, match="cannot be read"):
        read_verdicts(tmp_path / "none.json")


def test_sheet_escapes_html_in_the_data(config):
    with opened(config):
        samples = load_samples(config.folder / "data" / "manifest.parquet", limit=2)
    script = "<script>alert(1)</script>"
    values = {f: getattr(samples[0], f) for f in Sample.__dataclass_fields__}
    values |= {"question": script, "answers": (script, '"><img src=x>')}
    path = config.folder / "sheet.html"
    write_sheet([Sample(**values), samples[1]], path, script)
    text = path.read_text()
    assert script not in text
    assert "<img src=x>" not in text
    assert text.count("&lt;script&gt;") == 4  # title twice, question, answer
    assert text.count("<audio controls") == 2


def test_plots_are_drawn_with_and_without_media(config):
    with opened(config) as base:
        folder = config.folder / "plots"
        names = ["audiocaps", "vqav2"]
        files = draw_histograms(base, names, folder, media=True)
        assert draw_contact_sheet(base, "vqav2", folder / "sheet.png", 0)
        assert not draw_contact_sheet(base, "audiocaps", folder / "none.png", 0)
    for file in [*files, folder / "sheet.png"]:
        image = np.asarray(Image.open(file).convert("L"))
        assert image.std() > 5  # not blank
    assert not (folder / "none.png").exists()
