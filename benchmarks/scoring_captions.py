"""Time and peak memory of `safe score captions`, compared with direct use of pycocoevalcap.

    python benchmarks/scoring_captions.py

Computes BLEU, ROUGE-L and CIDEr-D of 5,000 generated items with five references each. Both use the
official tokenizer, which needs Java; METEOR and SPICE are omitted. Each turn is a separate process,
including interpreter start and reading the file; turns alternate. Both must give the same figures.
"""

from __future__ import annotations

import argparse
import csv
import json
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
METRICS = "bleu_1,bleu_2,bleu_3,bleu_4,rouge_l,cider_d"
SOUNDS = [
    "a dog barks",
    "birds chirp",
    "a man speaks",
    "a woman laughs",
    "rain falls",
    "an engine idles",
    "water runs",
    "a crowd applauds",
    "a siren wails",
    "wind blows",
    "music plays",
    "a bell rings",
    "a door slams",
    "a baby cries",
]
PLACES = [
    "nearby",
    "in the distance",
    "in a large hall",
    "on a metal roof",
    "indoors",
    "by a busy road",
]
JOINS = ["then", "and", "while", "followed by", "as"]

PLAIN = """
import csv, json, sys
from pycocoevalcap.bleu.bleu import Bleu
from pycocoevalcap.cider.cider import Cider
from pycocoevalcap.rouge.rouge import Rouge
from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer

rows = list(csv.DictReader(open(sys.argv[1], encoding="utf-8", newline="")))
references = {
    i: [{"caption": row[f"caption_{k}"]} for k in range(1, 6)] for i, row in enumerate(rows)
}
candidates = {i: [{"caption": row["caption_predicted"]}] for i, row in enumerate(rows)}
references, candidates = (PTBTokenizer().tokenize(c) for c in (references, candidates))
bleu = Bleu(4).compute_score(references, candidates, verbose=0)[0]
figures = dict(zip(("bleu_1", "bleu_2", "bleu_3", "bleu_4"), map(float, bleu)))
figures["rouge_l"] = float(Rouge().compute_score(references, candidates)[0])
figures["cider_d"] = float(Cider().compute_score(references, candidates)[0])
print(json.dumps({"figures": figures}))
"""
# Runs its arguments; then prints seconds and peak memory of the process, including Java.
WATCH = """
import resource, subprocess, sys, time
started = time.perf_counter()
done = subprocess.run(sys.argv[1:], check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
seconds = time.perf_counter() - started
peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
print(done.stdout.decode().replace(chr(10), " "))
print(seconds, peak * (1 if sys.platform == "darwin" else 1024))
"""


def caption(rng: random.Random) -> str:
    """Generate a caption of a sound."""
    first, second = rng.sample(SOUNDS, 2)
    return f"{first} {rng.choice(PLACES)} {rng.choice(JOINS)} {second}{rng.choice(('', '.'))}"


def write_captions(path: Path, items: int, seed: int) -> None:
    """Write a CSV file with columns `caption_predicted,caption_1,...,caption_5`."""
    rng = random.Random(seed)
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(["caption_predicted", *(f"caption_{k}" for k in range(1, 6))])
        for _ in range(items):
            references = [caption(rng) for _ in range(5)]
            given = rng.choice(references) if rng.random() < 0.2 else caption(rng)
            table.writerow([given, *references])


def watched(command: list[str]) -> tuple[dict[str, float], float, float]:
    """Run the command; return figures, seconds, and peak memory in bytes of its largest process."""
    done = subprocess.run(
        [sys.executable, "-c", WATCH, *command],
        check=True,
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    output, numbers = done.stdout.strip().rsplit("\n", 1)
    seconds, peak = map(float, numbers.split())
    return json.loads(output)["figures"], seconds, peak


def measure_captions(items: int = 5_000, repeats: int = 3, seed: int = 0) -> None:
    """Print the median seconds and memory of both, and the ratio of the seconds."""
    if shutil.which("java") is None:
        sys.exit("pycocoevalcap's tokenizer needs Java; install it")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "captions.csv"
        write_captions(path, items, seed)
        command = [sys.executable, "-m", "safe", "score", "captions", "--json"]
        command += ["--references", str(path), "--metrics", METRICS]
        plain = [sys.executable, "-c", PLAIN, str(path)]
        ours, theirs = [], []
        for _ in range(repeats):
            ours.append(watched(command))
            theirs.append(watched(plain))
            for name, value in theirs[-1][0].items():
                if abs(ours[-1][0][name] - value) > 1e-9:
                    sys.exit(f"{name} is {ours[-1][0][name]}, but {value} with pycocoevalcap")
    ratios = [t[1] / o[1] for o, t in zip(ours, theirs, strict=True)]
    print(f"captions, {items} items, CIDEr-D {ours[0][0]['cider_d']:.4f}, median of {repeats}:")
    for name, runs in (("safe score", ours), ("pycocoevalcap", theirs)):
        seconds, peak = (statistics.median(run[i] for run in runs) for i in (1, 2))
        print(f"  {name:<13} {seconds:6.2f} s, peak {peak / 1e6:.0f} MB")
    least, most = min(ratios), max(ratios)
    print(f"  ratio         {statistics.median(ratios):6.2f}  ({least:.2f} to {most:.2f})")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--items", type=int, default=5_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    measure_captions(options.items, options.repeats, options.seed)


if __name__ == "__main__":
    main()
