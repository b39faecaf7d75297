"""CSV tables: round trip with line numbers, and faults named by line."""

import csv
import io
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from safe.errors import DataError
from safe.hearing.data.annotations.tables import read_table

text = st.text(st.characters(exclude_characters="\r\x00", exclude_categories=("Cs",)), max_size=12)


@settings(max_examples=80, deadline=None)
@given(st.lists(st.tuples(text, text), max_size=8), st.booleans())
def test_output_of_the_csv_module_is_read_back(rows, mark):
    rows = [row for row in rows if row != ("", "")]
    buffer = io.StringIO()
    table = csv.writer(buffer, lineterminator="\n", quoting=csv.QUOTE_ALL)
    table.writerow(("one", "two"))
    table.writerows(rows)
    with tempfile.NamedTemporaryFile(suffix=".csv") as handle:
        handle.write((b"\xef\xbb\xbf" if mark else b"") + buffer.getvalue().encode())
        handle.flush()
        found = list(read_table(Path(handle.name), ("one", "two")))
    assert [(row["one"], row["two"]) for _, row in found] == rows


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"one\na\n", r"t\.csv:1 \[two\]: the column 'two' is missing"),
        (b"", "found: nothing"),
        (b"one,two\na,b\nc,d\0e\n", r"t\.csv:3: contains a NUL character"),
        (b"one,two\na,b\nc\n", r"t\.csv:3: 1 fields where the header has 2"),
        (b'one,two\na,b\n"c,d\n', r"t\.csv:3: broken row"),
        ("one,two\na,\xe9\n".encode("latin-1"), r"t\.csv:2: not UTF-8 \(byte 0xe9\)"),
        ("one,two\n".encode("utf-16"), "it looks like UTF-16"),
    ],
)
def test_faults_name_file_and_line(tmp_path, content, message):
    path = tmp_path / "t.csv"
    path.write_bytes(content)
    with pytest.raises(DataError, match=message):
        list(read_table(path, ("one", "two")))


def test_missing_file_is_named(tmp_path):
    with pytest.raises(DataError, match="no such file"):
        list(read_table(tmp_path / "t.csv", ("one",)))


def test_table_of_another_layout_is_named(tmp_path):
    path = tmp_path / "t.csv"
    known = {"first": ("one", "two"), "second": ("three",)}
    path.write_text("three\na\n")
    with pytest.raises(DataError) as caught:
        list(read_table(path, known["first"], known=known))
    assert caught.value.hint == "this is a table of the layout `second`"
    path.write_text("four\na\n")
    with pytest.raises(DataError) as caught:
        list(read_table(path, known["first"], known=known))
    assert caught.value.key == "one"
    assert "second: three" in caught.value.hint
