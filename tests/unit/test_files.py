"""Files are written atomically, and paths stay below their root."""

import errno
import os
import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safe.errors import SafeError
from safe.files import atomic, resolve_below, write_json, write_text


def test_failed_write_keeps_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_json(path, {"a": 1})
    with pytest.raises(ValueError, match="JSON"):
        write_json(path, {"a": float("nan")})
    with pytest.raises(UnicodeEncodeError):
        write_text(path, "half \ud800")
    assert path.read_text() == '{\n  "a": 1\n}\n'
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]


@pytest.mark.parametrize(
    ("code", "word"), [(errno.ENOSPC, "full"), (errno.EACCES, "permission"), (errno.EROFS, "read")]
)
def test_disk_errors_give_a_hint(tmp_path: Path, code: int, word: str) -> None:
    with pytest.raises(SafeError, match=word), atomic(tmp_path / "a"):
        raise OSError(code, os.strerror(code))


def test_full_disk_is_reported_for_a_real_device() -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("this system has no /dev/full")
    with pytest.raises(SafeError, match="free some space"), atomic(full.parent / "shm" / "x"):
        full.write_text("a")


def test_full_disk_is_recognised_in_errors_of_other_types(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)
    with pytest.raises(RuntimeError, match="System error"), atomic(tmp_path / "a"):
        raise RuntimeError("System error")  # there is space, so the error is not changed
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=0))
    with pytest.raises(SafeError, match="free some space"), atomic(tmp_path / "a"):
        raise RuntimeError("System error")


@given(st.text(alphabet="ab./\\ ", min_size=1, max_size=12))
def test_no_path_leaves_its_root(relative: str) -> None:
    root = Path("some/root")
    inside = not Path(relative).is_absolute() and (root.resolve() / relative).resolve()
    if inside and inside.is_relative_to(root.resolve()):
        assert resolve_below(root, relative) == inside
    else:
        with pytest.raises(SafeError, match="is outside its folder"):
            resolve_below(root, relative)


def test_ids_that_leave_the_root_are_refused(tmp_path: Path) -> None:
    for bad in ("../../x", "/etc/passwd", "a/../../b"):
        with pytest.raises(SafeError, match="is outside its folder"):
            resolve_below(tmp_path, bad)
    write_text(tmp_path / "x" / "y.txt", "ok")
    assert resolve_below(tmp_path, "x/y.txt").read_text() == "ok"
