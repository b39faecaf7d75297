"""The streaming JSON reader agrees with `json.loads` for every chunk size."""

import json
import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from safe.errors import DataError
from safe.hearing.data.annotations.json_stream import stream_array, stream_object

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=4)
    | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=8,
)  # fmt: skip


def written(text: str) -> Path:
    number, name = tempfile.mkstemp(suffix=".json")
    os.close(number)
    Path(name).write_text(text, encoding="utf-8", newline="")
    return Path(name)


@settings(max_examples=80, deadline=None)
@given(st.lists(values, max_size=8), st.integers(1, 9), st.sampled_from([None, 1]), st.booleans())
def test_array_agrees_with_json(items, chunk, indent, escaped):
    path = written(json.dumps(items, indent=indent, ensure_ascii=escaped))
    try:
        found = list(stream_array(path, chunk=chunk))
    finally:
        path.unlink()
    assert [value for _, value in found] == items
    lines = [line for line, _ in found]
    assert lines == sorted(lines)
    if indent is None:
        assert set(lines) <= {1}


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(st.text(max_size=6), values, max_size=6), st.integers(1, 9))
def test_object_and_key_agree_with_json(record, chunk):
    record["wanted"] = [1, {"a": "]"}, "x"]
    path = written(json.dumps(record))
    try:
        found = {key: value for _, key, value in stream_object(path, chunk=chunk)}
        items = [value for _, value in stream_array(path, "wanted", chunk=chunk)]
    finally:
        path.unlink()
    assert found == record
    assert items == record["wanted"]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.dictionaries(st.text("ab", max_size=2), st.integers(), max_size=3), min_size=1),
       st.data())  # fmt: skip
def test_truncated_file_is_always_refused(items, data):
    text = json.dumps(items, indent=1)
    cut = data.draw(st.integers(0, len(text) - 1))
    path = written(text[:cut])
    try:
        with pytest.raises(DataError, match=r"broken JSON"):
            list(stream_array(path, chunk=7))
    finally:
        path.unlink()


def test_line_of_a_fault_is_named(tmp_path):
    path = tmp_path / "a.json"
    path.write_text('[\n {"a": 1},\n {"a": oops}\n]')
    with pytest.raises(DataError, match=r"a\.json:3"):
        list(stream_array(path))


def test_missing_key_wrong_encoding_and_trailing_text_are_refused(tmp_path):
    path = tmp_path / "a.json"
    path.write_text('{"info": {}}')
    with pytest.raises(DataError, match="no list under the key 'questions'"):
        list(stream_array(path, "questions"))
    path.write_bytes('["é"]'.encode("latin-1"))
    with pytest.raises(DataError, match="not UTF-8"):
        list(stream_array(path))
    path.write_text("[1] x")
    with pytest.raises(DataError, match="text after the end"):
        list(stream_array(path))


def test_byte_order_mark_is_accepted(tmp_path):
    path = tmp_path / "a.json"
    path.write_bytes(b"\xef\xbb\xbf[1, 2]")
    assert [value for _, value in stream_array(path)] == [1, 2]
