"""Pictures whose header states a wrong size are found; valid ones of any kind pass."""

import io
import struct
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from safe.errors import MediaError
from safe.hearing.data.decode import load_image
from safe.hearing.data.image_integrity import check_integrity
from safe.hearing.data.sample import MediaRef
from tests.paths import SHARED
from tests.tiny_data import picture
from tests.tiny_media import between_segments


def encoded(image, kind, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def claim(data: bytes, height: int) -> bytes:
    """Change the height in the header and update checksums."""
    changed = bytearray(data)
    if data.startswith(b"\x89PNG"):
        changed[20:24] = struct.pack(">I", height)
        changed[29:33] = struct.pack(">I", zlib.crc32(changed[12:29]))
    else:
        at = max(data.find(b"\xff\xc0"), data.find(b"\xff\xc2"))
        changed[at + 5 : at + 7] = struct.pack(">H", height)
    return bytes(changed)


sizes = st.tuples(st.integers(33, 160), st.integers(33, 160))


@settings(max_examples=40, deadline=None)
@given(sizes, st.integers(0, 99), st.sampled_from(["RGB", "L"]), st.integers(30, 95), st.booleans())
def test_valid_jpegs_pass_and_taller_claims_are_found(tmp_path_factory, size, seed, mode, q, prog):
    image = picture(seed, 64).convert(mode).resize(size)
    data = encoded(image, "JPEG", quality=q, progressive=prog)
    path = tmp_path_factory.mktemp("i") / "a.jpg"
    path.write_bytes(data)
    check_integrity(path)
    path.write_bytes(claim(data, size[1] * 3))
    with pytest.raises(MediaError, match="does not match its header"):
        check_integrity(path)


@settings(max_examples=40, deadline=None)
@given(sizes, st.integers(0, 99), st.sampled_from(["RGB", "L", "RGBA", "P", "1", "I;16"]))
def test_valid_pngs_pass_and_any_other_stated_height_is_found(tmp_path_factory, size, seed, mode):
    image = picture(seed, 64).resize(size)
    data = encoded(image.convert("I;16" if mode == "I;16" else mode), "PNG")
    path = tmp_path_factory.mktemp("i") / "a.png"
    path.write_bytes(data)
    check_integrity(path)
    for height in (size[1] + 1, size[1] - 1, size[1] * 9):
        path.write_bytes(claim(data, height))
        with pytest.raises(MediaError, match="does not match its header"):
            check_integrity(path)


def test_jpeg_with_hidden_rows_is_found(tmp_path):
    path = tmp_path / "a.jpg"
    path.write_bytes(claim(encoded(picture(3, 128), "JPEG"), 64))
    with pytest.raises(MediaError, match="continue after row 64"):
        check_integrity(path)


def test_damaged_png_chunk_is_found(tmp_path):
    data = bytearray(encoded(picture(3), "PNG"))
    data[len(data) // 2] ^= 1
    path = tmp_path / "a.png"
    path.write_bytes(data)
    with pytest.raises(MediaError, match="checksum"):
        check_integrity(path)


def test_other_formats_are_not_checked(tmp_path):
    picture(3).save(tmp_path / "a.bmp")
    check_integrity(tmp_path / "a.bmp")


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("inserted", [b"\xff", b"\xff" * 9, b"\0\1abc", b"abc\xff\0def"])
def test_bytes_between_jpeg_segments_are_skipped(tmp_path, inserted, progressive):
    data = encoded(picture(3, 96), "JPEG", progressive=progressive)
    (tmp_path / "a.jpg").write_bytes(data)
    data = between_segments(data, inserted)
    (tmp_path / "b.jpg").write_bytes(data)
    check_integrity(tmp_path / "b.jpg")
    images = [load_image(MediaRef(tmp_path / name)) for name in ("a.jpg", "b.jpg")]
    assert images[0].tobytes() == images[1].tobytes()
    (tmp_path / "b.jpg").write_bytes(claim(data, 300))
    with pytest.raises(MediaError, match="does not match its header"):
        check_integrity(tmp_path / "b.jpg")


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_bytes_after_the_picture_are_ignored(tmp_path, kind):
    data = encoded(picture(3, 64), kind)
    for tail in (b"x" * 50, data):
        (tmp_path / "a").write_bytes(data + tail)
        check_integrity(tmp_path / "a")


@pytest.mark.parametrize("name", ["jpeg_fill_bytes.jpg", "jpeg_bytes_between_segments.jpg"])
def test_real_jpegs_are_read(name):
    path = SHARED / "cases" / name
    if not path.exists():
        pytest.skip("shared/cases is absent")
    check_integrity(path)
    assert load_image(MediaRef(path)).size == (320, 200)
