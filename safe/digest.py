"""Content digests of files, of JSON values and of the code an experiment depends on."""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import json
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

from safe.errors import SafeError

PACKAGE = Path(__file__).resolve().parent
# Modules of this name are not part of code digests: a new section would rerun everything. The
# values of the config, defaults included, are in the digests of the sections that a rule reads.
NOT_COUNTED = "config"
# Derived from a node's position, or read only by type checkers.
IGNORED_FIELDS = frozenset({"ctx", "kind", "type_comment", "type_ignores"})


def digest_bytes(data: bytes) -> str:
    """SHA-256 of `data`, hex."""
    return hashlib.sha256(data).hexdigest()


def digest_json(value: Any) -> str:
    """SHA-256 of the canonical JSON of `value` (sorted keys; NaN raises ValueError)."""
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


@cache
def _package_folder(package: str) -> Path | None:
    """Return the folder of a top-level package, without importing it."""
    try:
        spec = importlib.util.find_spec(package)
    except (ImportError, ValueError):
        return None
    places = None if spec is None else spec.submodule_search_locations
    return Path(next(iter(places))) if places else None


def _module_file(module: str) -> Path | None:
    package, *parts = module.split(".")
    folder = PACKAGE if package == "safe" else _package_folder(package)
    if folder is None:
        return None
    path = folder.joinpath(*parts)
    if path.with_suffix(".py").is_file():
        return path.with_suffix(".py")
    return path / "__init__.py" if (path / "__init__.py").is_file() else None


def _counts(module: str) -> bool:
    return NOT_COUNTED not in module.split(".")


def parse_module(module: str) -> ast.Module | None:
    """Return the syntax tree of a module, or None if there is no such module.

    Raises:
        SafeError: its file is not valid Python.
    """
    file = _module_file(module)
    if file is None:
        return None
    try:
        return ast.parse(file.read_text(encoding="utf-8"))
    except SyntaxError as error:
        raise SafeError(
            f"not valid Python: {error.msg}",
            where=file,
            line=error.lineno,
            hint="correct the syntax at that line",
        ) from None


@cache
def _scan(module: str) -> tuple[frozenset[str], str | None]:
    """Return (imported modules of SAFE and of `module`'s own package, digest of its code)."""
    tree = parse_module(module)
    if tree is None:
        return frozenset(), None
    found: set[str] = set()
    ours = {"safe", module.split(".")[0]}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {a.name for a in node.names if a.name.split(".")[0] in ours}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in ours:
            assert node.module is not None
            found.add(node.module)
            found |= {f"{node.module}.{a.name}" for a in node.names}
    known = frozenset(m for m in found if _counts(m) and _module_file(m) is not None)
    return known, digest_bytes(_canonical(tree).encode())


def code_modules(module: str) -> list[str]:
    """Return `module` and all modules of SAFE and its own package that it imports, sorted.

    Indirect imports are included; config modules are not followed.
    """
    seen: set[str] = set()
    todo = [module]
    while todo:
        name = todo.pop()
        if name not in seen:
            seen.add(name)
            todo.extend(_scan(name)[0])
    return sorted(seen)


def _is_bare_string(node: Any) -> bool:
    """Return whether a node is a docstring or another string that is a statement."""
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


def _canonical(value: Any) -> str:
    """Convert a syntax tree to text, without docstrings, positions and empty fields.

    Unlike `ast.dump`, the text does not change when a newer Python adds an optional field.
    """
    if isinstance(value, ast.AST):
        fields = [
            f"{name}={_canonical(child)}"
            for name in value._fields
            if name not in IGNORED_FIELDS
            and (child := getattr(value, name, None)) not in (None, [])
        ]
        return f"{type(value).__name__}({','.join(fields)})"
    if isinstance(value, list):
        return f"[{','.join(_canonical(item) for item in value if not _is_bare_string(item))}]"
    return repr(value)


def digest_code(module: str, within: tuple[str, ...] = ("",)) -> str:
    """SHA-256 over the code of the modules that `code_modules` returns.

    Docstrings, comments, formatting and config modules do not affect it.

    Args:
        within: only modules whose names start with one of these are included.

    Raises:
        SafeError: one of the modules is not valid Python.
    """
    names = [name for name in code_modules(module) if name.startswith(within)]
    found = [(name, _scan(name)[1]) for name in names]
    return digest_json([[name, digest] for name, digest in found if digest is not None])
