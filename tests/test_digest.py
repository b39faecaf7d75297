"""Digests: content decides, order of keys does not, and imports are followed."""

import hashlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safe.digest import code_modules, digest_code, digest_file, digest_json, digest_tree

JSON = st.dictionaries(st.text(max_size=5), st.integers() | st.text(max_size=5), max_size=5)


@given(JSON)
def test_key_order_does_not_matter(value: dict[str, object]) -> None:
    assert digest_json(value) == digest_json(dict(reversed(list(value.items()))))


@given(JSON, JSON)
def test_other_content_has_another_digest(a: dict[str, object], b: dict[str, object]) -> None:
    assert (digest_json(a) == digest_json(b)) == (a == b)


def test_nan_is_refused() -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        digest_json({"a": float("nan")})


def test_file_and_tree(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x")
    assert digest_file(tmp_path / "a") == hashlib.sha256(b"x").hexdigest()
    before = digest_tree(tmp_path)
    (tmp_path / "a").rename(tmp_path / "b")
    assert digest_tree(tmp_path) != before


def test_code_digest_follows_imports_and_stays_off_the_rest() -> None:
    modules = code_modules("safe.workflow")
    assert {"safe.workflow", "safe.config", "safe.errors", "safe.gates.schema"} <= set(modules)
    assert "safe.cli" not in modules
    assert digest_code("safe.errors") != digest_code("safe.config")
