"""Digests depend on content and imports, not on key order or formatting."""

import ast
import hashlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safe.digest import (
    _canonical,
    code_modules,
    digest_code,
    digest_file,
    digest_json,
    digest_tree,
)
from safe.errors import SafeError

JSON = st.dictionaries(st.text(max_size=5), st.integers() | st.text(max_size=5), max_size=5)


@given(JSON)
def test_key_order_does_not_matter(value: dict[str, object]) -> None:
    assert digest_json(value) == digest_json(dict(reversed(list(value.items()))))


@given(JSON, JSON)
def test_different_content_has_another_digest(a: dict[str, object], b: dict[str, object]) -> None:
    assert (digest_json(a) == digest_json(b)) == (a == b)


def test_nan_is_refused() -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        digest_json({"a": float("nan")})


def test_tree_digest_covers_contents_and_names(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x")
    assert digest_file(tmp_path / "a") == hashlib.sha256(b"x").hexdigest()
    before = digest_tree(tmp_path)
    (tmp_path / "a").rename(tmp_path / "b")
    assert digest_tree(tmp_path) != before


def test_code_digest_follows_imports_only() -> None:
    modules = code_modules("safe.pipeline.workflow")
    assert {"safe.pipeline.workflow", "safe.errors", "safe.gates.schema"} <= set(modules)
    assert "safe.cli" not in modules
    assert not [name for name in modules if name.startswith("safe.hearing.config")]
    assert digest_code("safe.errors") != digest_code("safe.files")


CODE = "def f(a, b=2):\n    return a * b\n"
SAME = '"""Doc."""\n# Comment.\ndef f(\n    a, b=2,\n):\n    """Doc."""\n    return (a * b)  # c\n'


def test_docstrings_and_formatting_do_not_change_the_code_digest() -> None:
    assert _canonical(ast.parse(SAME)) == _canonical(ast.parse(CODE))


@pytest.mark.parametrize(("old", "new"), [("2", "3"), ("2", "True"), ("* b", "* 'b'")])
def test_different_code_has_another_digest(old: str, new: str) -> None:
    assert _canonical(ast.parse(CODE.replace(old, new))) != _canonical(ast.parse(CODE))


def test_syntax_error_names_file_and_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "broken.py").write_text("a = 1\nb = (\n")
    monkeypatch.setattr("safe.digest.PACKAGE", tmp_path)
    with pytest.raises(SafeError, match=r"broken\.py:2: not valid Python"):
        digest_code("safe.broken")
