"""Content digests: of files, of JSON values, and of the code an experiment depends on."""

from __future__ import annotations

import ast
import hashlib
import json
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

PACKAGE = Path(__file__).resolve().parent


def digest_bytes(data: bytes) -> str:
    """SHA-256 of `data`, hex."""
    return hashlib.sha256(data).hexdigest()


def digest_json(value: Any) -> str:
    """SHA-256 of the canonical JSON of `value` (sorted keys; NaN refused)."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False, default=str)
    return digest_bytes(text.encode())


def digest_file(path: Path) -> str:
    """SHA-256 of a file's content, read in blocks."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def digest_tree(root: Path, patterns: Iterable[str] = ("**/*",)) -> str:
    """SHA-256 over relative path and content of every file below `root` that matches."""
    files = sorted({p for pattern in patterns for p in root.glob(pattern) if p.is_file()})
    return digest_json([[str(p.relative_to(root)), digest_file(p)] for p in files])


def _module_file(module: str) -> Path | None:
    parts = module.split(".")[1:]
    path = PACKAGE.joinpath(*parts)
    if path.with_suffix(".py").is_file():
        return path.with_suffix(".py")
    return path / "__init__.py" if (path / "__init__.py").is_file() else None


@cache
def _imports(module: str) -> frozenset[str]:
    """The `safe.*` modules that `module` imports, anywhere in its text (static)."""
    file = _module_file(module)
    if file is None:
        return frozenset()
    found: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {a.name for a in node.names if a.name.startswith("safe.")}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "safe":
            assert node.module is not None
            found.add(node.module)
            found |= {f"{node.module}.{a.name}" for a in node.names}
    return frozenset(m for m in found if _module_file(m) is not None)


def code_modules(module: str) -> list[str]:
    """`module` and every `safe.*` module it reaches through imports, sorted."""
    seen: set[str] = set()
    todo = [module]
    while todo:
        name = todo.pop()
        if name not in seen:
            seen.add(name)
            todo.extend(_imports(name))
    return sorted(seen)


def digest_code(module: str, within: tuple[str, ...] = ("safe",)) -> str:
    """SHA-256 over the source of `module` and all `safe.*` modules it depends on.

    Args:
        within: count only modules whose names begin with one of these.
    """
    files = [(n, _module_file(n)) for n in code_modules(module) if n.startswith(within)]
    return digest_json([[name, digest_file(file)] for name, file in files if file])
