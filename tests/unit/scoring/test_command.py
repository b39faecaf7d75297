"""`safe score` as users and scripts call it."""

import json
import subprocess
import sys

from typer.testing import CliRunner

from safe.cli import app
from tests.unit.scoring.files import gqa_row, music_row, results_file, vqa_file, vqa_row, write


def call(*arguments: object):
    return CliRunner().invoke(app, ["score", *map(str, arguments)])


def test_vqav2_as_text_and_as_json(tmp_path):
    annotations = vqa_file(tmp_path, [vqa_row(1, ["yes"] * 10), vqa_row(2, ["no"] * 10)])
    files = ("--annotations", annotations, "--results", results_file(tmp_path, {1: "yes", 2: "x"}))
    text = call("vqav2", *files)
    assert text.exit_code == 0
    assert text.stdout.startswith("vqav2: 2 items\n  accuracy   50.00 %  of 2\nby_answer_type\n")
    found = json.loads(call("vqav2", *files, "--json").stdout)
    assert found["figures"]["accuracy"] == 50
    assert found["figures"]["by_answer_type.other"] == 50
    assert found["sizes"]["by_answer_type.other"] == 2
    assert found["counts"] == {"unanswered": 0, "unknown": 0}


def test_gqa_and_music_avqa_as_json(tmp_path):
    questions = write(tmp_path / "questions.json", {"01": gqa_row("yes", "verify")})
    results = write(tmp_path / "gqa.json", [{"questionId": "01", "prediction": "yes"}])
    found = call("gqa", "--annotations", questions, "--results", results, "--json")
    assert json.loads(found.stdout)["figures"]["by_answer_type.binary"] == 100
    questions = write(tmp_path / "avqa-test.json", [music_row(1, "two")])
    results = results_file(tmp_path, {1: "two"})
    found = call("music-avqa", "--annotations", questions, "--results", results, "--json")
    assert json.loads(found.stdout)["figures"]["by_modality.Audio"] == 100


def safe(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "safe", "score", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_missing_answers_exit_with_2_unless_allowed(tmp_path):
    annotations = vqa_file(tmp_path, [vqa_row(1, ["yes"] * 10), vqa_row(2, ["no"] * 10)])
    files = ("--annotations", annotations, "--results", results_file(tmp_path, {1: "yes"}))
    found = safe("vqav2", *files)
    assert found.returncode == 2
    assert found.stdout == ""
    assert "1 of 2 questions have no answer (2)" in found.stderr
    assert "Traceback" not in found.stderr
    allowed = safe("vqav2", *files, "--allow-incomplete")
    assert allowed.returncode == 0
    assert "vqav2: 2 items (1 unanswered)\n  accuracy   50.00 %" in allowed.stdout


def test_scoring_and_the_command_line_load_no_torch():
    script = (
        "import sys; import safe.cli; light = set(sys.modules);"
        "import safe.scoring.accuracy;"
        "print('torch' in sys.modules, 'transformers' in sys.modules,"
        "'safe.hearing.config' in light,"
        "'safe.scoring.accuracy' in light, 'numpy' in light)"
    )
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert found.stdout.split() == ["False"] * 5, found.stderr
