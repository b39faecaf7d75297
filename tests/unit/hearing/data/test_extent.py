"""A file that was cut or joined is refused with the reason, whatever its container."""

import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import correlate

from safe.errors import MediaError
from safe.hearing.data.decode import load_image, read_audio
from safe.hearing.data.extent import extent_fault, mp3_frame_bytes
from safe.hearing.data.sample import MediaRef
from tests.paths import SHARED
from tests.tiny_media import encoded, id3, pcm16, sound_bytes, sweep, wav

AV = {"audio": "aac", "video": "libx264"}
OPUS = {"audio": "libopus", "video": "libvpx", "rate": 48000}
FILES = {
    "wav": lambda: sound_bytes("WAV"),
    "rifx": lambda: sound_bytes("WAV", endian="BIG"),
    "rf64": lambda: sound_bytes("RF64"),
    "aiff": lambda: sound_bytes("AIFF"),
    "flac": lambda: sound_bytes("FLAC"),
    "vorbis": lambda: sound_bytes("OGG", "VORBIS"),
    "opus": lambda: sound_bytes("OGG", "OPUS"),
    "ogg flac": lambda: encoded("ogg", audio="flac"),
    "mp3": lambda: sound_bytes("MP3"),
    "mp4": lambda: encoded("mp4", **AV),
    "mp4 faststart": lambda: encoded("mp4", options={"movflags": "faststart"}, **AV),
    "mp4 fragments": lambda: encoded("mp4", options={"movflags": "frag_keyframe+empty_moov"}, **AV),
    "m4a": lambda: encoded("ipod", audio="alac", options={"movflags": "faststart"}),
    "mkv": lambda: encoded("matroska", **AV),
    "mkv live": lambda: encoded("matroska", options={"live": "1"}, **AV),
    "webm": lambda: encoded("webm", **OPUS),
    "avi": lambda: encoded("avi", audio="libmp3lame", video="mpeg4"),
}


@pytest.mark.parametrize("kind", FILES)
def test_cut_sound_is_refused_or_complete(tmp_path, kind):
    whole, part = tmp_path / "whole", tmp_path / "part"
    data = FILES[kind]()
    whole.write_bytes(data)
    sound, _ = read_audio(MediaRef(whole))
    reasons = []
    for length in (
        *(len(data) * n // 20 for n in range(1, 20)),
        *(len(data) - n for n in (9, 2, 1)),
    ):
        part.write_bytes(data[:length])
        try:
            found, _ = read_audio(MediaRef(part))
        except MediaError as error:
            reasons.append(error.what)
        else:  # only a part behind the samples is missing
            assert np.array_equal(found, sound)
    assert len(reasons) > 15
    for reason in reasons:
        assert reason.startswith(("cut off", "damaged", "cannot be decoded", "there is no sound"))


@pytest.mark.parametrize("kind", ["mp4 faststart", "mkv", "mkv live", "webm", "avi"])
def test_cut_video_gives_no_picture(tmp_path, kind):
    path = tmp_path / "a"
    data = FILES[kind]()
    path.write_bytes(data[: len(data) * 6 // 10])
    for second in (0.5, 2.8):
        with pytest.raises(MediaError) as caught:
            load_image(MediaRef(path, frame=second))
        assert caught.value.what.startswith("cut off")


@pytest.mark.parametrize(
    "name", ["whole_60.mkv", "faststart_60.mp4", "whole_60.ogg", "loud_then_quiet_no_xing.mp3"]
)
def test_real_files(name):
    path = SHARED / "cases" / name
    if not path.exists():
        pytest.skip("shared/cases is absent")
    if name.endswith("mp3"):
        sound, rate = read_audio(MediaRef(path))
        assert len(sound) / rate == pytest.approx(10.03, abs=0.01)
    else:
        with pytest.raises(MediaError) as caught:
            read_audio(MediaRef(path))
        assert caught.value.what.startswith("cut off")


@pytest.mark.parametrize("kind", ["wav", "aiff", "mp4", "mkv", "avi"])
def test_joined_files_are_refused_where_only_the_first_is_decoded(tmp_path, kind):
    data = FILES[kind]()
    (tmp_path / "a").write_bytes(data + data)
    with pytest.raises(MediaError) as caught:
        read_audio(MediaRef(tmp_path / "a"))
    assert f"joined to the end (byte {len(data)})" in caught.value.what


@pytest.mark.parametrize("kind", ["flac", "vorbis", "opus", "ogg flac", "mp3"])
def test_joined_files_are_decoded_where_frames_follow(tmp_path, kind):
    data = FILES[kind]()
    (tmp_path / "one").write_bytes(data)
    (tmp_path / "two").write_bytes(data + data)
    one, _ = read_audio(MediaRef(tmp_path / "one"))
    two, rate = read_audio(MediaRef(tmp_path / "two"))
    assert len(two) / rate == pytest.approx(2 * len(one) / rate, abs=0.2)  # encoders pad
    second = two[len(two) // 2 :]
    match = correlate(one, second, "full").max()
    assert match > 0.95 * np.linalg.norm(one) * np.linalg.norm(second)


@pytest.mark.parametrize("stated", [0, 0x7FFFFFFF, 0x7FFFF000, 0xFFFFFFFF, 0x80000000, 0xFFFFFFD8])
def test_streamed_wav_is_read_to_its_end(tmp_path, stated):
    path = tmp_path / "a.wav"
    path.write_bytes(wav(pcm16(), stated=stated, riff=(stated + 36) & 0xFFFFFFFF))
    sound, _ = read_audio(MediaRef(path))
    assert np.abs(sound - sweep()[:, 0]).max() < 1e-4


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1))
def test_wav_with_any_stated_length_is_whole_or_refused(tmp_path_factory, stated, riff):
    path = tmp_path_factory.mktemp("w") / "a.wav"
    present = pcm16(sweep(0.1))
    path.write_bytes(wav(present, stated=stated, riff=riff))
    if len(present) < stated < 0x7FFF0000:
        assert extent_fault(path) == f"cut off: {len(present)} of {stated} bytes are present"
    elif stated >= 0x7FFF0000:
        assert len(read_audio(MediaRef(path))[0]) == len(present) // 2


@pytest.mark.parametrize("kind", ["wav", "flac", "vorbis", "mp3", "mp4", "mkv", "avi"])
def test_bytes_after_the_end_and_tags_before_the_beginning_change_nothing(tmp_path, kind):
    data = FILES[kind]()
    (tmp_path / "a").write_bytes(data)
    sound, _ = read_audio(MediaRef(tmp_path / "a"))
    variants = [data + b"TAG" + bytes(125)]
    if kind in ("wav", "flac", "mp3"):
        variants.append(id3(padding=3000) + data)
    for changed in variants:
        (tmp_path / "b").write_bytes(changed)
        assert np.array_equal(read_audio(MediaRef(tmp_path / "b"))[0], sound)


def test_missing_page_of_an_ogg_is_found(tmp_path):
    data = FILES["ogg flac"]()
    at = [n for n in range(len(data)) if data[n : n + 4] == b"OggS"]
    assert len(at) > 4
    (tmp_path / "a").write_bytes(data[: at[3]] + data[at[4] :])
    assert extent_fault(tmp_path / "a") == f"damaged: pages are missing before byte {at[3]}"


def test_mp3_frame_lengths_follow_the_header():
    # 128 kbit/s at 44.1 kHz: 417 bytes, 418 with padding (ISO/IEC 11172-3, 2.4.3.1).
    assert mp3_frame_bytes(b"\xff\xfb\x90\x00") == 417
    assert mp3_frame_bytes(b"\xff\xfb\x92\x00") == 418
    assert mp3_frame_bytes(b"\xff\xf3\x40\x00") == 104  # MPEG-2, 32 kbit/s, 22.05 kHz
    assert mp3_frame_bytes(b"RIFF") == 0
    for layer, codec in ((2, "mp2"), (3, "libmp3lame")):
        for rate in (16000, 22050, 44100, 48000):
            data = encoded("mp2", audio="mp2", rate=rate) if layer == 2 else encoded(
                "mp3", audio=codec, rate=rate, options={"write_xing": "0", "id3v2_version": "0"}
            )  # fmt: skip
            at = 0
            while at < len(data):
                at += mp3_frame_bytes(data[at : at + 4])
                assert at == len(data) or data[at] == 0xFF


def test_lengths_of_a_live_recording_are_followed(tmp_path):
    """Unknown lengths of the segment and of a cluster, as browsers write them."""

    def element(name: int, body: bytes, *, is_open: bool = False) -> bytes:
        size = b"\x01" + b"\xff" * 7 if is_open else struct.pack(">I", 0x10000000 | len(body))
        return name.to_bytes((name.bit_length() + 7) // 8, "big") + size + body

    block = element(0xA3, bytes(500))
    cluster = element(0x1F43B675, block * 3, is_open=True)
    path = tmp_path / "a"
    whole = element(0x1A45DFA3, b"") + element(0x18538067, cluster, is_open=True)
    path.write_bytes(whole)
    assert extent_fault(path) is None
    path.write_bytes(whole[:-100])
    assert extent_fault(path) == "cut off: 400 of 500 bytes of element A3 are present"
