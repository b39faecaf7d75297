"""Draw the imports between packages as docs/imports.svg; needs Graphviz (`dot`).

    python benchmarks/import_graph.py

The number on an edge is the number of modules that import across it. The contracts in
pyproject.toml forbid edges that point upwards.
"""

from __future__ import annotations

import subprocess
from collections import Counter
from pathlib import Path

import grimp

ROOT = Path(__file__).resolve().parents[1]
OUT = ROOT / "docs" / "imports.svg"
# Modules that nearly every package imports; their edges would clutter the graph.
EVERYWHERE = {"", "console", "digest", "errors", "files", "processes", "reading"}


def package_of(module: str) -> str:
    """Return the package: `safe.hearing.data.decode` -> `hearing.data`, `safe.cli` -> `cli`."""
    parts = module.split(".")[1:]
    return ".".join(parts[:2] if parts[:1] == ["hearing"] else parts[:1])


def edges() -> Counter[tuple[str, str]]:
    """Return (importing package, imported package) -> number of importing modules."""
    graph = grimp.build_graph("safe")
    found: Counter[tuple[str, str]] = Counter()
    for module in graph.modules:
        here = package_of(module)
        there = {package_of(m) for m in graph.find_modules_directly_imported_by(module)}
        if here not in EVERYWHERE:
            found.update((here, package) for package in there - EVERYWHERE - {here})
    return found


def main() -> None:
    lines = ["digraph {", '  node [shape=box fontname="sans" fontsize=10]; edge [fontsize=8];']
    lines += [f'  "{a}" -> "{b}" [label="{n}"];' for (a, b), n in sorted(edges().items())]
    drawn = subprocess.run(
        ["dot", "-Tsvg"], input="\n".join([*lines, "}"]), capture_output=True, text=True, check=True
    )
    OUT.write_text(drawn.stdout, encoding="utf-8")
    print(f"{len(edges())} edges: {OUT.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
