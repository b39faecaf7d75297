"""Speed of `safe score` on full-size files, compared with a plain loop.

    python benchmarks/scoring.py

VQA: 50,000 generated questions with ten human answers each. The time of the command includes
interpreter start and reading the files; the plain loop, written after the official code
(`tests/unit/hearing/evaluation/plain_vqa.py`), only reads and scores them. Both must give the same
accuracy. Turns alternate. Captions are also measured if `benchmarks/scoring_captions.py` exists.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT)]

WORDS = ("red", "blue", "dog", "cat", "man", "tennis", "street", "left", "kitchen", "two", "none")
SPELLINGS = ("{}", "{}", "{}", "the {}", "a {}.", "{} and {}", "{}, {}", "{}!", "don't {}")


def answer(rng: random.Random) -> str:
    """Generate an answer, sometimes with punctuation, articles and numbers."""
    if rng.random() < 0.4:
        return rng.choice(("yes", "no", "1", "2"))
    spelling = rng.choice(SPELLINGS)
    return spelling.format(*rng.choices(WORDS, k=2)) + (
        f" {rng.randrange(5000)}" if rng.random() < 0.1 else ""
    )


def write_vqa(folder: Path, items: int, seed: int) -> tuple[Path, Path]:
    """Write annotations and results of `items` questions; return their paths."""
    rng = random.Random(seed)
    rows, results = [], []
    for number in range(items):
        likely = [answer(rng) for _ in range(rng.choice((1, 2, 3, 6)))]
        humans = rng.choices(likely, k=10)
        rows.append(
            {
                "question_id": number,
                "image_id": number,
                "question_type": f"type {rng.randrange(65)}",
                "answer_type": rng.choice(("yes/no", "number", "other")),
                "multiple_choice_answer": humans[0],
                "answers": [
                    {"answer": human, "answer_confidence": "yes", "answer_id": i + 1}
                    for i, human in enumerate(humans)
                ],
            }
        )
        given = rng.choice(humans) if rng.random() < 0.7 else answer(rng)
        results.append({"question_id": number, "answer": given})
    rng.shuffle(results)
    annotations = folder / "annotations.json"
    annotations.write_text(json.dumps({"annotations": rows}), encoding="utf-8")
    answers = folder / "results.json"
    answers.write_text(json.dumps(results), encoding="utf-8")
    return annotations, answers


def by_command(annotations: Path, results: Path) -> float:
    """Return the accuracy in % of `safe score vqav2`."""
    command = [sys.executable, "-m", "safe", "score", "vqav2", "--json"]
    command += ["--annotations", str(annotations), "--results", str(results)]
    found = subprocess.run(command, check=True, capture_output=True, cwd=ROOT)
    return float(json.loads(found.stdout)["figures"]["accuracy"])


def by_plain_loop(annotations: Path, results: Path) -> float:
    """Return the accuracy in % of the plain loop."""
    from tests.unit.hearing.evaluation.plain_vqa import accuracy

    rows = json.loads(annotations.read_text(encoding="utf-8"))["annotations"]
    given = {row["question_id"]: row["answer"] for row in json.loads(results.read_text())}
    scores = [
        accuracy(given[row["question_id"]], [human["answer"] for human in row["answers"]])
        for row in rows
    ]
    return 100 * sum(scores) / len(scores)


def measure_vqa(items: int, repeats: int, seed: int) -> None:
    """Print the median seconds of both, and their ratio."""
    with tempfile.TemporaryDirectory() as folder:
        files = write_vqa(Path(folder), items, seed)
        seconds: dict[str, list[float]] = {"command": [], "plain": []}
        for _ in range(repeats):
            found = {}
            for name, call in (("command", by_command), ("plain", by_plain_loop)):
                started = time.perf_counter()
                found[name] = call(*files)
                seconds[name].append(time.perf_counter() - started)
            if abs(found["command"] - found["plain"]) > 1e-6:
                sys.exit(f"the command and the plain loop differ: {found}")
    command, plain = (statistics.median(seconds[name]) for name in ("command", "plain"))
    ratios = [p / c for c, p in zip(seconds["command"], seconds["plain"], strict=True)]
    print(f"vqav2, {items} items, accuracy {found['command']:.4f} %, median of {repeats}:")
    print(f"  safe score  {command:6.2f} s")
    print(f"  plain loop  {plain:6.2f} s")
    print(
        f"  ratio       {statistics.median(ratios):6.2f}  ({min(ratios):.2f} to {max(ratios):.2f})"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--items", type=int, default=50_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    measure_vqa(options.items, options.repeats, options.seed)
    if (Path(__file__).parent / "scoring_captions.py").is_file():
        from benchmarks.scoring_captions import measure_captions

        measure_captions()


if __name__ == "__main__":
    main()
