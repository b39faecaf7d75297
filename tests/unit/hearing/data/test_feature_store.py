"""The feature store: round trip, detection of damage, and recovery after a kill."""

import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from safe.errors import MediaError
from safe.hearing.data.feature_store import FeatureStore, FeatureWarning, media_digest
from safe.hearing.data.sample import MediaRef

SHAPE = (2, 3)


def arrays(keys):
    return {k: np.full(SHAPE, i, np.float32) for i, k in enumerate(keys)}


def computing(values, requested):
    def compute(keys):
        requested.append(list(keys))
        yield from ((k, values[k]) for k in keys)

    return compute


def test_stored_features_are_read_back_by_a_new_store(tmp_path):
    values = {f"k{i}": np.random.default_rng(i).normal(size=SHAPE).astype("f4") for i in range(9)}
    FeatureStore(tmp_path / "s", SHAPE, shard_entries=4).add(values.items())
    again = FeatureStore(tmp_path / "s", SHAPE)
    assert len(again) == 9
    assert len(list((tmp_path / "s").glob("*.arrow"))) == 3
    for key, value in values.items():
        assert np.array_equal(again.read(key), value)
    assert again.read("other") is None
    assert "other" not in again


def test_only_missing_features_are_computed(tmp_path):
    store, requested = FeatureStore(tmp_path, SHAPE), []
    values = arrays("abcde")
    assert store.ensure(["a", "b", "a"], computing(values, requested)) == 2
    assert store.ensure(["b", "c", "a"], computing(values, requested)) == 1
    assert store.ensure(["b", "c", "a"], computing(values, requested)) == 0
    assert requested == [["a", "b"], ["c"]]


@settings(max_examples=25, deadline=None)
@given(where=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_flipped_bit_never_changes_a_feature(tmp_path_factory, where, bit):
    """At any position, the entry is either correct or missing and computed again."""
    folder = tmp_path_factory.mktemp("store")
    values = arrays("abcd")
    FeatureStore(folder, SHAPE).add(values.items())
    (file,) = folder.glob("*.arrow")
    data = bytearray(file.read_bytes())
    data[int(where * len(data))] ^= 1 << bit
    file.write_bytes(data)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        store = FeatureStore(folder, SHAPE)
        for key, value in values.items():
            found = store.read(key)
            assert found is None or np.array_equal(found, value)
        store.ensure(list(values), computing(values, []))
    for key, value in values.items():
        assert np.array_equal(store.read(key), value)


def test_damaged_entry_is_computed_again_with_a_warning(tmp_path):
    values = arrays("ab")
    FeatureStore(tmp_path, SHAPE).add(values.items())
    (file,) = tmp_path.glob("*.arrow")
    data = file.read_bytes()
    at = data.index(values["b"].tobytes())
    file.write_bytes(data[:at] + b"\x01" + data[at + 1 :])
    requested = []
    with pytest.warns(FeatureWarning, match="entry 1 is damaged"):
        assert FeatureStore(tmp_path, SHAPE).ensure(["a", "b"], computing(values, requested)) == 1
    assert requested == [["b"]]
    with warnings.catch_warnings():  # the shard's name decides whether it is read again
        warnings.simplefilter("ignore", FeatureWarning)
        assert np.array_equal(FeatureStore(tmp_path, SHAPE).read("b"), values["b"])


def test_truncated_shard_is_renamed(tmp_path):
    values = arrays("abc")
    FeatureStore(tmp_path, SHAPE).add(values.items())
    (file,) = tmp_path.glob("*.arrow")
    file.write_bytes(file.read_bytes()[:40])
    with pytest.warns(FeatureWarning, match="not a readable shard"):
        store = FeatureStore(tmp_path, SHAPE)
    assert len(store) == 0
    assert file.with_suffix(".damaged").exists()


def test_entry_moved_to_another_key_is_damaged(tmp_path):
    """The digest covers the key, so a feature cannot be read as that of another sample."""
    values = arrays(["first", "other"])
    FeatureStore(tmp_path, SHAPE).add(values.items())
    (file,) = tmp_path.glob("*.arrow")
    data = file.read_bytes().replace(b"firstother", b"otherfirst")
    file.write_bytes(data)
    with pytest.warns(FeatureWarning):
        assert FeatureStore(tmp_path, SHAPE).missing(["first", "other"]) == ["first", "other"]


def test_killed_writer_leaves_only_complete_shards(tmp_path):
    def dies():
        yield from list(arrays("abcd").items())
        raise KeyboardInterrupt

    store = FeatureStore(tmp_path, SHAPE, shard_entries=2)
    with pytest.raises(KeyboardInterrupt):
        store.add(dies())
    assert FeatureStore(tmp_path, SHAPE).missing("abcde") == ["e"]


def test_several_writers_share_a_store(tmp_path):
    def work(n):
        FeatureStore(tmp_path, SHAPE).add(arrays([f"{n}-{i}" for i in range(5)]).items())

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    assert len(FeatureStore(tmp_path, SHAPE)) == 20


@pytest.mark.parametrize("bad", [np.zeros((3, 2)), np.full(SHAPE, np.nan), np.full(SHAPE, np.inf)])
def test_wrong_shape_or_non_finite_feature_is_refused(tmp_path, bad):
    with pytest.raises(ValueError, match="finite"):
        FeatureStore(tmp_path, SHAPE).add([("a", bad)])


def test_media_digest_depends_on_content_and_excerpt_only(tmp_path):
    one, copy, other = (tmp_path / n for n in ("a.wav", "b.wav", "c.wav"))
    one.write_bytes(b"x")
    copy.write_bytes(b"x")
    other.write_bytes(b"y")
    assert media_digest(MediaRef(one)) == media_digest(MediaRef(copy))
    refs = [MediaRef(one), MediaRef(other), MediaRef(one, start=1.0), MediaRef(one, frame=1.0)]
    assert len({media_digest(r) for r in refs}) == 4
    with pytest.raises(MediaError, match=r"none\.wav"):
        media_digest(MediaRef(tmp_path / "none.wav"))
