"""Tracks of containers: content decides, not the suffix; times, turns and tags are respected."""

import struct

import av
import numpy as np
import pytest
import soundfile

from safe.errors import MediaError
from safe.hearing.data.decode import load_image, read_audio
from safe.hearing.data.sample import MediaRef
from tests.tiny_media import (
    colours,
    encoded,
    id3_picture,
    pcm16,
    sound_bytes,
    sweep,
    turned_video,
    wav,
)

AV = {"audio": "aac", "video": "libx264"}
CODECS = {
    "GSM 6.10": lambda: sound_bytes("WAV", "GSM610"),
    "MP3 in WAV": lambda: encoded("wav", audio="libmp3lame"),
    "IMA ADPCM": lambda: sound_bytes("WAV", "IMA_ADPCM"),
    "MS ADPCM": lambda: sound_bytes("WAV", "MS_ADPCM"),
    "float": lambda: sound_bytes("WAV", "DOUBLE"),
    "big-endian": lambda: sound_bytes("WAV", endian="BIG"),
    "W64": lambda: sound_bytes("W64"),
    "CAF": lambda: sound_bytes("CAF"),
    "AIFF": lambda: sound_bytes("AIFF"),
    "Ogg FLAC": lambda: encoded("ogg", audio="flac"),
    "Ogg Vorbis": lambda: sound_bytes("OGG", "VORBIS"),
    "ALAC": lambda: encoded("ipod", audio="alac"),
    "AAC in M4A": lambda: encoded("ipod", audio="aac"),
    "AAC frames": lambda: encoded("adts", audio="aac"),
    "MP3": lambda: encoded("mp3", audio="libmp3lame"),
    "MP3 without Xing": lambda: encoded("mp3", audio="libmp3lame", options={"write_xing": "0"}),
    "MP2": lambda: encoded("mp2", audio="mp2"),
    "FLAC in Matroska": lambda: encoded("matroska", audio="flac"),
    "PCM in MOV": lambda: encoded("mov", audio="pcm_s16le"),
    "PCM in AVI": lambda: encoded("avi", audio="pcm_s16le", video="mjpeg"),
}


@pytest.mark.parametrize("suffix", ["", ".mp3", ".WAV"])
@pytest.mark.parametrize("codec", CODECS)
def test_every_codec_is_decoded_whatever_the_suffix(tmp_path, codec, suffix):
    path = tmp_path / f"a{suffix}"
    path.write_bytes(CODECS[codec]())
    sound, rate = read_audio(MediaRef(path))
    source = sweep()[:, 0]
    assert rate == 16000
    assert 0 <= len(sound) - len(source) < 2400  # encoders pad the last block, AAC and MP3 twice
    size = 1 << 17
    product = np.fft.rfft(sound, size) * np.fft.rfft(source, size).conj()
    found = np.fft.irfft(product).max() / np.linalg.norm(sound) / np.linalg.norm(source)
    assert found > 0.98


def test_mp3_with_cover_and_without_xing_is_read_to_its_end(tmp_path):
    wave = np.concatenate([sweep(2.0), 0.02 * sweep(8.0)])
    data = encoded("mp3", audio="libmp3lame", wave=wave, options={"write_xing": "0"})
    for number, tag in enumerate((b"", id3_picture(next(colours(1)).resize((400, 400))))):
        path = tmp_path / f"{number}.mp3"
        path.write_bytes(tag + data)
        sound, rate = read_audio(MediaRef(path))
        assert len(sound) / rate == pytest.approx(10.0, abs=0.11)


def test_mp3_of_which_the_beginning_is_missing_is_read_from_the_first_frame(tmp_path):
    data = encoded("mp3", audio="libmp3lame", options={"write_xing": "0"})
    (tmp_path / "a.mp3").write_bytes(data[len(data) // 2 :])
    sound, rate = read_audio(MediaRef(tmp_path / "a.mp3"))
    assert len(sound) / rate == pytest.approx(1.5, abs=0.1)


def test_rate_and_channels_may_change_between_joined_files(tmp_path):
    one = encoded("mp3", audio="libmp3lame")
    two = encoded("mp3", audio="libmp3lame", wave=sweep(2.0, 2, 44100), rate=44100)
    (tmp_path / "a.mp3").write_bytes(one + two)
    sound, rate = read_audio(MediaRef(tmp_path / "a.mp3"))
    assert rate == 16000
    assert len(sound) / rate == pytest.approx(5.0, abs=0.15)


@pytest.mark.parametrize("container", ["mp4", "mov", "matroska", "avi"])
def test_tag_in_another_encoding_than_utf8_is_ignored(tmp_path, container):
    codecs = AV if container != "avi" else {"audio": "libmp3lame", "video": "mpeg4"}
    data = encoded(container, metadata={"title": "Caf_e"}, **codecs)
    data = data.replace(b"Caf_e", b"Caf\xe9e")
    assert b"Caf\xe9e" in data
    path = tmp_path / "a"
    path.write_bytes(data)
    assert len(read_audio(MediaRef(path))[0]) > 40000
    assert load_image(MediaRef(path, frame=1.0)).size == (64, 64)


@pytest.mark.parametrize("codec", ["flac", "libopus"])
def test_comment_of_an_ogg_or_stream_in_another_encoding_is_ignored(tmp_path, codec):
    path = tmp_path / "a.mka"
    data = encoded("matroska", audio=codec, rate=48000, metadata={"artist": "Bj_rk"})
    path.write_bytes(data.replace(b"Bj_rk", b"Bj\xf6rk"))
    assert len(read_audio(MediaRef(path))[0]) == 3 * 48000


def test_playlist_is_not_followed(tmp_path):
    soundfile.write(tmp_path / "secret.wav", sweep(0.5), 16000)
    path = tmp_path / "a.mp3"
    path.write_text("ffconcat version 1.0\nfile secret.wav\n")
    with pytest.raises(MediaError) as caught:
        read_audio(MediaRef(path))
    assert caught.value.what.startswith("cannot be decoded")


def test_more_channels_than_eight_are_averaged(tmp_path):
    wave = sweep(0.5) * np.linspace(0.1, 1, 16)
    soundfile.write(tmp_path / "a", wave, 16000, format="CAF", subtype="FLOAT")
    sound, _ = read_audio(MediaRef(tmp_path / "a"))
    assert np.allclose(sound, wave.mean(axis=1), atol=1e-6)


def test_unknown_codec_is_named(tmp_path):
    sound, path = bytearray(wav(pcm16())), tmp_path / "a"
    sound[20:22] = b"\xee\xee"  # the format tag
    path.write_bytes(sound)
    with pytest.raises(MediaError) as caught:
        read_audio(MediaRef(path))
    assert caught.value.what == "cannot be decoded: unknown codec"
    path.write_bytes(encoded("mp4", video="libx264").replace(b"avc1\0\0\0\0", b"zzz1\0\0\0\0"))
    with pytest.raises(MediaError) as caught:
        load_image(MediaRef(path, frame=1.0))
    assert caught.value.what == "cannot be decoded: unknown codec"


@pytest.mark.parametrize("kind", ["flac", "ogg"])
def test_damage_inside_is_found(tmp_path, kind):
    data = bytearray(sound_bytes("FLAC") if kind == "flac" else encoded("ogg", audio="flac"))
    data[len(data) // 2] ^= 0xFF
    path = tmp_path / "a"
    path.write_bytes(data)
    with pytest.raises(MediaError) as caught:
        read_audio(MediaRef(path))
    assert "damaged" in caught.value.what


@pytest.mark.parametrize("kind", ["mp4", "wav", "flac"])
def test_clip_is_a_section_and_not_after_the_end(tmp_path, kind):
    path = tmp_path / "a"
    path.write_bytes(
        encoded("mp4", **AV) if kind == "mp4" else sound_bytes(kind.upper())
    )  # fmt: skip
    whole, rate = read_audio(MediaRef(path))
    part, _ = read_audio(MediaRef(path, 1.0, 0.5))
    assert np.array_equal(part, whole[rate : rate * 3 // 2])
    assert len(read_audio(MediaRef(path, 2.0, 99.0))[0]) == len(whole) - 2 * rate
    with pytest.raises(MediaError) as caught:
        read_audio(MediaRef(path, start=9.0, duration=1.0))
    assert caught.value.what == "the clip begins at 9.0 s, after the end"


TURNS = {  # a, b, c, d of the display matrix -> what it does to an array of rows
    (1, 0, 0, 1): lambda p: p,
    (0, 1, -1, 0): lambda p: np.rot90(p, -1),
    (-1, 0, 0, -1): lambda p: np.rot90(p, 2),
    (0, -1, 1, 0): np.rot90,
    (-1, 0, 0, 1): np.fliplr,
    (1, 0, 0, -1): np.flipud,
    (0, 1, 1, 0): lambda p: p.transpose(1, 0, 2),
}


@pytest.mark.parametrize("turn", TURNS)
def test_turn_stated_by_a_video_is_applied(tmp_path, turn):
    data = encoded("mp4", video="libx264")
    upright = tmp_path / "upright.mp4"
    upright.write_bytes(data)
    (tmp_path / "a.mp4").write_bytes(turned_video(data, turn))
    found = np.asarray(load_image(MediaRef(tmp_path / "a.mp4", frame=1.0)))
    wanted = TURNS[turn](np.asarray(load_image(MediaRef(upright, frame=1.0))))
    assert np.array_equal(found, wanted)


@pytest.mark.parametrize(
    ("container", "codecs"),
    [
        ("mp4", AV),
        ("matroska", {"audio": "flac", "video": "ffv1"}),
        ("avi", {"audio": "pcm_s16le", "video": "mjpeg"}),
        ("webm", {"audio": "libopus", "video": "libvpx", "rate": 48000}),
    ],
)
def test_frame_is_the_first_at_or_after_a_time(tmp_path, container, codecs):
    path = tmp_path / "a"
    path.write_bytes(encoded(container, seconds=6.0, **codecs))
    source = [np.asarray(image).astype(int) for image in colours(60)]
    for second in (0.0, 0.55, 1.95, 2.45, 4.25, 5.85, 99.0):
        found = np.asarray(load_image(MediaRef(path, frame=second))).astype(int)
        nearest = min(range(60), key=lambda n: np.abs(found - source[n]).mean())
        assert nearest == min(59, int(np.ceil(second * 10)))


def test_cover_picture_is_not_taken_for_the_video(tmp_path):
    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as out:
        cover = out.add_stream("mjpeg", rate=1)
        cover.width, cover.height, cover.pix_fmt = 32, 32, "yuvj420p"
        cover.disposition = av.stream.Disposition.attached_pic
        video = out.add_stream("libx264", rate=10)
        video.width, video.height, video.pix_fmt = 64, 64, "yuv420p"
        still = next(colours(1)).resize((32, 32))
        packets = cover.encode(av.VideoFrame.from_image(still).reformat(format="yuvj420p"))
        for image in colours(20):
            packets += video.encode(av.VideoFrame.from_image(image))
        for packet in [*packets, *cover.encode(None), *video.encode(None)]:
            out.mux(packet)
    assert load_image(MediaRef(path, frame=1.0)).size == (64, 64)


def test_wav_without_a_length_in_an_odd_place_is_whole(tmp_path):
    odd = b"junk" + struct.pack("<I", 5) + b"abcde\0"
    (tmp_path / "a.wav").write_bytes(wav(pcm16(), extra=odd, after=b"LIST\x04\0\0\0INFO"))
    assert len(read_audio(MediaRef(tmp_path / "a.wav"))[0]) == 48000


def test_caf_without_a_length_is_read_to_its_end(tmp_path):
    data = bytearray(sound_bytes("CAF"))
    at = data.index(b"data") + 4
    data[at : at + 8] = struct.pack(">q", -1)
    (tmp_path / "a.caf").write_bytes(data)
    assert np.abs(read_audio(MediaRef(tmp_path / "a.caf"))[0] - sweep()[:, 0]).max() < 1e-4


def test_avi_that_was_written_to_a_pipe_is_read_to_its_end(tmp_path):
    data = bytearray(encoded("avi", audio="pcm_s16le", video="mjpeg"))
    (tmp_path / "a.avi").write_bytes(data)
    data[4:8] = b"\xff\xff\xff\xff"
    at = data.index(b"avih") + 8 + 16  # total frames
    data[at : at + 4] = struct.pack("<I", 100_000)
    (tmp_path / "b.avi").write_bytes(data)
    sounds = [read_audio(MediaRef(tmp_path / name))[0] for name in ("a.avi", "b.avi")]
    assert np.array_equal(*sounds)
