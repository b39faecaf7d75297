"""Decoding returns correct samples and pixels, or raises an error with the reason."""

import av
import numpy as np
import pytest
import soundfile
from PIL import Image

from safe.errors import MediaError
from safe.hearing.data.decode import load_audio, load_image
from safe.hearing.data.sample import MediaRef
from tests.tiny_data import RATE, picture, tone


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
