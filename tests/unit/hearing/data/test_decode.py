"""Decoding returns correct samples and pixels, or raises an error with the reason."""

import av
import numpy as np
import pytest
import soundfile
from PIL import Image

from safe.errors import MediaError
from safe.hearing.data.decode import load_audio, load_image
from safe.hearing.data.sample import MediaRef
from tests.paths import SHARED
from tests.tiny_data import RATE, picture, tone
from tests.tiny_media import png


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "mp3"])
def test_every_format_is_decoded_at_the_requested_rate(tmp_path, suffix):
    path, wave = tmp_path / f"a.{suffix}", tone(440)
    soundfile.write(path, wave, RATE, format=suffix.upper())
    found = load_audio(MediaRef(path), RATE)
    assert found.dtype == np.float32
    assert found.ndim == 1
    lossless = suffix in ("wav", "flac")
    if lossless:
        assert len(found) == len(wave)
        assert np.abs(found - wave).max() < 1e-4
    again = load_audio(MediaRef(path), 16000)
    assert abs(len(again) - 2 * len(found)) <= 2
    peak = np.abs(np.fft.rfft(again)).argmax() * 16000 / len(again)
    assert abs(peak - 440) < 3


def test_channels_are_averaged_and_a_clip_is_cut(tmp_path):
    path = tmp_path / "a.wav"
    left = np.arange(RATE) / RATE
    soundfile.write(path, np.stack([left, -left / 2], axis=1), RATE, subtype="FLOAT")
    found = load_audio(MediaRef(path, start=0.25, duration=0.5), RATE)
    assert np.allclose(found, (left / 4)[RATE // 4 : RATE // 4 + RATE // 2], atol=1e-6)


def write_video(path, colours, wave=None, late=0.0):
    """One frame a second in each colour, and the wave as AAC from `late` seconds on."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=1)
        stream.width = stream.height = 64
        stream.pix_fmt = "yuv420p"
        track = container.add_stream("aac", rate=16000, layout="mono") if wave is not None else None
        for colour in colours:
            frame = av.VideoFrame.from_image(Image.new("RGB", (64, 64), colour))
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        if track is not None:
            block = av.AudioFrame.from_ndarray(wave[None].astype(np.float32), "fltp", "mono")
            block.sample_rate, block.pts = 16000, int(late * 16000)
            container.mux(track.encode(block))
            container.mux(track.encode(None))


def test_video_returns_its_frame_at_a_time_and_its_sound(tmp_path):
    path = tmp_path / "a.mp4"
    wave = np.sin(2 * np.pi * 440 * np.arange(48000) / 16000) * 0.5
    write_video(path, ["red", "lime", "blue"], wave)
    for second, channel in ((0.0, 0), (1.0, 1), (2.0, 2), (99.0, 2)):
        pixel = np.asarray(load_image(MediaRef(path, frame=second)))[32, 32]
        assert pixel.argmax() == channel
        assert pixel[channel] > 200
    sound = load_audio(MediaRef(path), 16000)
    assert abs(len(sound) - 48000) <= 2048
    peak = np.abs(np.fft.rfft(sound)).argmax() * 16000 / len(sound)
    assert abs(peak - 440) < 2
    part = load_audio(MediaRef(path, start=1.0, duration=0.5), 16000)
    assert len(part) == 8000


@pytest.mark.parametrize("suffix", ["flac", "ogg", "mp3"])
def test_truncated_sound_is_refused(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    soundfile.write(path, tone(300, 2.0), RATE, format=suffix.upper())
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(MediaError):
        load_audio(MediaRef(path), RATE)


def test_late_sound_track_keeps_its_offset(tmp_path):
    path = tmp_path / "a.mp4"
    wave = np.sin(2 * np.pi * 440 * np.arange(16000) / 16000) * 0.5
    write_video(path, ["red", "lime", "blue"], wave, late=1.0)
    sound = load_audio(MediaRef(path), 16000)
    begins = int(np.flatnonzero(np.abs(sound) > 0.1)[0]) / 16000
    assert abs(begins - 1.0) < 0.1


def test_video_without_sound_is_named(tmp_path):
    write_video(tmp_path / "a.mp4", ["red"])
    with pytest.raises(MediaError, match="no sound track"):
        load_audio(MediaRef(tmp_path / "a.mp4"), 16000)


def header_only(path):
    soundfile.write(path, np.zeros(0, np.float32), RATE)


def cut_wav(path):
    soundfile.write(path, tone(300), RATE)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])


def not_finite(path):
    soundfile.write(path, np.array([0.0, np.nan, 0.1], np.float32), RATE, subtype="FLOAT")


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda p: None, "missing"),
        (lambda p: p.touch(), "empty"),
        (header_only, "header without samples"),
        (lambda p: p.write_bytes(b"no sound at all" * 99), "cannot be decoded"),
        (not_finite, "not finite"),
        (cut_wav, r"cut off: \d+ of 16000 bytes"),
    ],
)
def test_unusable_sound_is_refused_with_the_reason(tmp_path, make, reason):
    path = tmp_path / "a.wav"
    make(path)
    with pytest.raises(MediaError, match=reason) as caught:
        load_audio(MediaRef(path), 16000)
    assert str(path) in str(caught.value)
    assert "hint:" in str(caught.value)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda p: None, "missing"),
        (lambda p: p.touch(), "empty"),
        (lambda p: p.write_bytes(b"\x89PNG no picture"), "unknown or damaged format"),
        (lambda p: p.write_bytes(_jpeg()[:600]), "cannot be decoded"),
    ],
)
def test_unusable_picture_is_refused_with_the_reason(tmp_path, make, reason):
    path = tmp_path / "a.jpg"
    make(path)
    with pytest.raises(MediaError, match=reason):
        load_image(MediaRef(path))


def _jpeg():
    import io

    buffer = io.BytesIO()
    picture(1, 128).save(buffer, "JPEG")
    return buffer.getvalue()


def test_decompression_bomb_is_refused_before_decoding(tmp_path, monkeypatch):
    monkeypatch.setattr("safe.hearing.data.decode.MAX_PIXELS", 1000)
    picture(1).save(tmp_path / "a.png")
    with pytest.raises(MediaError, match="claims 32 x 32 pixels"):
        load_image(MediaRef(tmp_path / "a.png"))


def test_grey_and_transparent_pictures_become_rgb(tmp_path):
    for mode in ("L", "RGBA", "P", "1"):
        path = tmp_path / f"{mode}.png"
        picture(2).convert(mode).save(path)
        assert load_image(MediaRef(path)).mode == "RGB"


TURNS = {
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", TURNS)
def test_exif_orientation_is_applied(tmp_path, orientation, kind):
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = picture(4, 48).resize((48, 32))
    image.save(tmp_path / "a", kind, exif=exif)
    image.save(tmp_path / "b", kind)
    wanted, turn = Image.open(tmp_path / "b").convert("RGB"), TURNS[orientation]
    wanted = wanted if turn is None else wanted.transpose(turn)
    assert load_image(MediaRef(tmp_path / "a")).tobytes() == wanted.tobytes()


@pytest.mark.parametrize(("kind", "suffix"), [("PNG", "png"), ("TIFF", "tif"), ("PPM", "pgm")])
def test_grey_of_16_bits_keeps_its_levels(tmp_path, kind, suffix):
    path = tmp_path / f"a.{suffix}"
    grey = np.arange(0, 65536, 64, dtype=np.uint16).reshape(8, 128)
    Image.fromarray(grey).save(path, kind)
    found = np.asarray(load_image(MediaRef(path)))
    assert np.array_equal(found, np.repeat((grey >> 8).astype(np.uint8)[..., None], 3, axis=2))


PNG_DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}


@pytest.mark.parametrize(("colour", "bits"), [(c, b) for c in PNG_DEPTHS for b in PNG_DEPTHS[c]])
def test_every_png_depth_and_colour_type_is_read(tmp_path, colour, bits):
    samples = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour]
    values = np.random.default_rng(0).integers(0, 2**bits, (24, 32, samples))
    if bits == 16:
        rows = values.astype(">u2").view(np.uint8).reshape(24, -1)
    else:
        planes = (values.reshape(24, -1, 1) >> np.arange(bits)[::-1]) & 1
        rows = np.packbits(planes.reshape(24, -1), axis=1)
    (tmp_path / "a.png").write_bytes(png(rows, colour, bits))
    grey = {3: values, 0: values * 255 // (2**bits - 1)}.get(colour, values >> max(0, bits - 8))
    if colour == 0 and bits == 16:
        grey = values >> 8
    if colour == 3:  # the palette of `png`
        grey = np.array([[(3 * v + n) % 256 for n in range(3)] for v in values.ravel()])
        grey = grey.reshape(24, 32, 3)
    wanted = np.broadcast_to(grey[..., : 3 if colour in (2, 3, 6) else 1], (24, 32, 3))
    assert np.array_equal(np.asarray(load_image(MediaRef(tmp_path / "a.png"))), wanted)


def test_grey_without_a_stated_range_is_refused(tmp_path):
    for mode in ("F", "I"):
        path = tmp_path / f"{mode}.tif"
        picture(2).convert(mode).save(path)
        with pytest.raises(MediaError) as caught:
            load_image(MediaRef(path))
        assert caught.value.what == "has greys without a stated range"


@pytest.mark.parametrize(("name", "size"), [("exif_orientation_6.jpg", (200, 320))])
def test_real_turned_picture(name, size):
    path = SHARED / "cases" / name
    if not path.exists():
        pytest.skip("shared/cases is absent")
    assert load_image(MediaRef(path)).size == size


def test_real_gradient_and_streamed_wav():
    if not (SHARED / "cases").exists():
        pytest.skip("shared/cases is absent")
    image = load_image(MediaRef(SHARED / "cases" / "gradient16.png"))
    assert len(np.unique(np.asarray(image))) == 256
    assert len(load_audio(MediaRef(SHARED / "cases" / "stream_7fffffff.wav"), 16000)) == 16000
