"""A learned gate: features, decisions and file."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from safe.errors import ModelError
from safe.hearing.models import safe_model
from safe.hearing.models.audio_summary import NAMES, audio_summary
from safe.hearing.models.base_forward import run_base
from safe.hearing.models.gating import POLICIES
from safe.hearing.models.policy import (
    GLANCE,
    LOOK,
    QUESTION,
    VIEWS,
    LearnedGate,
    PolicyRecord,
    feature_names,
    features_of,
    load_policy,
    save_policy,
)
from tests.tiny_models import RATE, tiny_tone

BASE, ADAPTER, DATA = "a" * 64, "b" * 64, "c" * 64


def make_gate(width: int, *, actions=(0, 1, 3), seed: int = 0, view: str = GLANCE) -> LearnedGate:
    names = feature_names(width, view)
    record = PolicyRecord(
        actions=actions, features=names, price=0.5, base=BASE, adapter=ADAPTER, trained_on=DATA
    )
    rng = torch.Generator().manual_seed(seed)
    return LearnedGate(
        record,
        torch.zeros(len(names), dtype=torch.float64),
        torch.ones(len(names), dtype=torch.float64),
        torch.randn(len(actions), len(names), generator=rng, dtype=torch.float64),
        torch.zeros(len(actions), dtype=torch.float64),
    )


@pytest.fixture(scope="module")
def safe(build_safe):
    return build_safe()


@pytest.fixture(scope="module")
def width(safe):
    return safe.base.get_input_embeddings().embedding_dim


class FeatureRecorder:
    """Records the features of a request and always skips."""

    def __init__(self, *, without: tuple[str, ...] = ()):
        self.without = without

    def decide(self, request):
        self.look, self.question = request.look(), request.question()
        self.features = {v: features_of(request, v) for v in VIEWS if v not in self.without}
        return torch.zeros(request.rows, dtype=torch.bool)


def test_base_outputs_and_question_are_those_of_the_plain_base(safe, batch):
    recorder = FeatureRecorder()
    with torch.no_grad():
        safe(**batch.inputs, gate=recorder, audio=batch.audio)
        plain = safe.base(**batch.inputs)
        image = safe.base.get_image_features(batch.inputs["pixel_values"]).pooler_output
    torch.testing.assert_close(recorder.look.logits, plain.logits[:, -1])
    torch.testing.assert_close(recorder.look.image, image)
    table = safe.base.get_input_embeddings()
    token = safe.base.config.image_token_index
    for row, (ids, mask) in enumerate(
        zip(batch.inputs["input_ids"], batch.inputs["attention_mask"], strict=True)
    ):
        words = [i for i, m in zip(ids.tolist(), mask.tolist(), strict=True) if m and i != token]
        expected = table(torch.tensor(words)).mean(dim=0)
        torch.testing.assert_close(recorder.question[row], expected, rtol=1e-5, atol=1e-6)


def test_features_match_their_names(safe, batch, width):
    recorder = FeatureRecorder()
    with torch.no_grad():
        safe(**batch.inputs, gate=recorder, audio=batch.audio)
    found, names = recorder.features[GLANCE], feature_names(width)
    assert found.shape == (6, len(names))
    assert found.dtype == torch.float64
    for kind, policy in POLICIES.items():
        torch.testing.assert_close(found[:, names.index(kind)], policy.score(recorder.look.logits))
    summary = audio_summary(batch.audio, RATE)
    np.testing.assert_allclose(found[:, names.index(NAMES[0]) :].numpy(), summary)
    at = names.index("image 0")
    torch.testing.assert_close(found[:, at : at + width], recorder.look.image.double().mean(dim=1))
    torch.testing.assert_close(found[:, :width], recorder.question.double())
    for view in VIEWS:  # each view extends the previous one
        assert feature_names(width, view) == names[: recorder.features[view].shape[1]]
        torch.testing.assert_close(
            recorder.features[view], found[:, : recorder.features[view].shape[1]]
        )


def test_gate_takes_the_action_of_highest_preference(safe, batch, width):
    gate, recorder = make_gate(width), FeatureRecorder()
    with torch.no_grad():
        done = safe(**batch.inputs, gate=gate, audio=batch.audio)
        safe(**batch.inputs, gate=recorder, audio=batch.audio)
    features = recorder.features[GLANCE].numpy()
    best = (features @ gate.weight.numpy().T).argmax(axis=1)
    assert done.consultation.counts() == [gate.record.actions[i] for i in best]


def test_ties_take_the_fewest_audio_tokens(width):
    gate = make_gate(width)
    same = LearnedGate(gate.record, gate.mean, gate.scale, gate.weight * 0, gate.bias)
    assert same.preferences(torch.ones(4, len(gate.mean))).argmax(dim=1).tolist() == [0] * 4


@pytest.mark.parametrize("scale", [1.0, 1e30])
def test_audio_summary_agrees_with_numpy(scale):
    wave = (np.linspace(0.1, 1, 1001) * scale * np.where(np.arange(1001) % 2, 1, -1)).astype("f4")
    wide = wave.astype(np.float64)
    halves = [10 * np.log10(np.mean(half**2)) for half in (wide[:501], wide[501:])]
    expected = (
        10 * np.log10(np.mean(wide**2)),
        20 * np.log10(np.abs(wide).max()),
        1000 / (1001 / 1000) / 1000,
        halves[1] - halves[0],
    )
    np.testing.assert_allclose(audio_summary([wave], 1000), [expected], rtol=1e-9)


def test_features_of_another_width_are_refused(width):
    with pytest.raises(ModelError, match=r"needs \d+ features"):
        make_gate(width).preferences(torch.ones(1, 3))


def test_glance_view_without_a_waveform_is_refused(safe, batch, width):
    sounds = safe.audio_encoder.embed(batch.audio)
    for audio in (None, sounds):
        with pytest.raises(ModelError, match="needs waveforms"):
            safe(**batch.inputs, gate=make_gate(width), audio=audio)


@pytest.mark.parametrize("view", [QUESTION, LOOK])
def test_other_views_need_no_waveform(safe, batch, width, view):
    gate, recorder = make_gate(width, view=view), FeatureRecorder(without=(GLANCE,))
    assert gate.view == view
    sounds = safe.audio_encoder.embed(batch.audio)
    with torch.no_grad():
        done = safe(**batch.inputs, gate=gate, audio=sounds)
        safe(**batch.inputs, gate=recorder, audio=sounds)
    best = (recorder.features[view].numpy() @ gate.weight.numpy().T).argmax(axis=1)
    assert done.consultation.counts() == [gate.record.actions[i] for i in best]


def test_question_view_does_not_run_the_base(safe, batch, width, monkeypatch):
    runs = []
    monkeypatch.setattr(safe_model, "run_base", lambda *a, **k: runs.append(1) or run_base(*a, **k))
    with torch.no_grad():
        for view in VIEWS:
            safe(**batch.inputs, gate=make_gate(width, view=view), audio=batch.audio)
            assert len(runs) == VIEWS.index(view)


def test_preferences_use_normalised_features(width):
    names = feature_names(width, QUESTION)
    gate = make_gate(width, view=QUESTION)
    rng = torch.Generator().manual_seed(3)
    mean, features = (torch.randn(r, len(names), generator=rng).double() for r in (1, 5))
    scale, bias = torch.rand(len(names), generator=rng).double() + 0.1, torch.arange(3).double()
    whole = LearnedGate(gate.record, mean[0], scale, gate.weight, bias)
    expected = torch.nn.functional.linear((features - mean) / scale, gate.weight, bias)
    torch.testing.assert_close(whole.preferences(features), expected)


# the file --------------------------------------------------------------------------------------


def test_saved_policy_is_loaded_unchanged(tmp_path, width):
    gate = make_gate(width)
    path = save_policy(tmp_path / "policy.safetensors", gate)
    found = load_policy(path, base=BASE, adapter=ADAPTER)
    assert found.record == gate.record
    for name in ("mean", "scale", "weight", "bias"):
        assert torch.equal(getattr(found, name), getattr(gate, name))
    assert path.stat().st_size < 20_000


@pytest.mark.parametrize("what", ["base", "adapter"])
def test_another_base_or_adapter_is_refused(tmp_path, width, what):
    path = save_policy(tmp_path / "policy.safetensors", make_gate(width))
    with pytest.raises(ModelError, match=f"trained with the {what}"):
        load_policy(path, **{what: "d" * 64})


@pytest.mark.parametrize(
    "change",
    [
        {"weight": torch.zeros(2, 3, dtype=torch.float64)},
        {"scale": torch.zeros(1, dtype=torch.float64)},
        {"bias": torch.full((3,), float("nan"), dtype=torch.float64)},
    ],
)
def test_weights_of_wrong_shape_or_value_are_refused(tmp_path, width, change):
    gate = make_gate(width)
    values = {n: getattr(gate, n) for n in ("mean", "scale", "weight", "bias")} | change
    path = save_policy(tmp_path / "p.safetensors", LearnedGate(gate.record, **values))
    with pytest.raises(ModelError, match="not valid for 3 ascending actions"):
        load_policy(path)


def test_features_of_no_view_are_refused(tmp_path, width):
    gate = make_gate(width)
    reordered = gate.record.model_copy(update={"features": gate.record.features[::-1]})
    other = LearnedGate(reordered, gate.mean, gate.scale, gate.weight, gate.bias)
    path = save_policy(tmp_path / "p.safetensors", other)
    with pytest.raises(ModelError, match="belong to no view"):
        load_policy(path)
    with pytest.raises(ModelError, match="belong to no view"):
        other.view  # noqa: B018


@pytest.mark.parametrize("actions", [(1, 2, 3), (0, 3, 1)])
def test_actions_must_start_with_skip_and_ascend(tmp_path, width, actions):
    path = save_policy(tmp_path / "p.safetensors", make_gate(width, actions=actions))
    with pytest.raises(ModelError, match="ascending actions from 0"):
        load_policy(path)


@pytest.mark.parametrize("content", [b"", b"{}", b"\x00" * 64, b"\xff" * 16])
def test_damaged_file_is_named(tmp_path, content):
    path = tmp_path / "p.safetensors"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=r"p\.safetensors"):
        load_policy(path)


def test_missing_file_and_file_without_a_record_are_named(tmp_path):
    from safetensors.torch import save_file

    with pytest.raises(ModelError, match="there is no policy"):
        load_policy(tmp_path / "none.safetensors")
    save_file({"mean": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(ModelError, match="not a policy"):
        load_policy(tmp_path / "other.safetensors")


# audio summary ---------------------------------------------------------------------------------


def test_audio_summary_of_a_tone():
    time = np.arange(RATE) / RATE
    tone = (0.5 * np.sin(2 * np.pi * 440 * time)).astype(np.float32)
    [[loud, peak, crossings, change]] = audio_summary([tone], RATE)
    assert loud == pytest.approx(20 * np.log10(0.5 / np.sqrt(2)), abs=0.01)
    assert peak == pytest.approx(20 * np.log10(0.5), abs=0.01)
    assert crossings == pytest.approx(0.88, abs=0.01)  # twice a period
    assert change == pytest.approx(0, abs=0.1)


def test_audio_summary_of_a_fading_sound_and_of_silence():
    tone = tiny_tone(300).astype(np.float32)
    faded = tone.copy()
    faded[len(tone) // 2 :] *= 0.1
    assert audio_summary([faded], RATE)[0, 3] == pytest.approx(-20, abs=0.5)
    assert audio_summary([np.zeros(100, dtype=np.float32)], RATE)[0, 0] == pytest.approx(-120)


@settings(deadline=None)
@given(st.floats(0.01, 1), st.integers(0, 5))
def test_scaled_sound_has_the_level_changed_by_the_factor(factor, seed):
    wave = np.random.default_rng(seed).uniform(-1, 1, 500)
    one, other = audio_summary([wave, wave * factor], RATE)
    assert other[0] - one[0] == pytest.approx(20 * np.log10(factor), abs=1e-6)
    assert other[2] == one[2]


@pytest.mark.parametrize("wave", [None, np.zeros(0), np.zeros((2, 9)), np.array([0.0, np.nan])])
def test_missing_or_invalid_sound_is_refused(wave):
    with pytest.raises(ModelError, match="example 1 of the batch"):
        audio_summary([np.ones(9), wave], RATE)
