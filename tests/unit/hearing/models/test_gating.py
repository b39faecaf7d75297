"""Uncertainty gates: scores, decisions, files, and their use in SafeModel."""

import json
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy.special import softmax
from scipy.stats import entropy

from safe.errors import ModelError
from safe.hearing.models.base_forward import run_base
from safe.hearing.models.fusion import image_tokens
from safe.hearing.models.gate_file import ChosenOn, items_digest, load_gate, read_gate, save_gate
from safe.hearing.models.gating import (
    POLICIES,
    AlwaysOn,
    BaseOutputs,
    EntropyGate,
    GateRequest,
    MarginGate,
    MaxProbabilityGate,
)
from safe.hearing.models.probe import trace
from tests.tiny_models import tiny_vlm

LOGITS = arrays.arrays(
    np.float32,
    st.tuples(st.integers(1, 5), st.integers(2, 9)),
    elements=st.floats(-30, 30, width=32),
)


def by_hand(logits):
    """The three statistics by scipy and a sort."""
    p = softmax(logits.astype(np.float64), axis=-1)
    ordered = np.sort(p, axis=-1)
    return {
        "entropy": entropy(p, axis=-1),
        "max_probability": ordered[:, -1],
        "margin": ordered[:, -1] - ordered[:, -2],
    }


def decide(gate, logits):
    rows, nothing = len(logits), torch.zeros(len(logits), 1)
    has_audio = torch.zeros(rows, dtype=torch.bool)
    return gate.decide(GateRequest(rows, has_audio, lambda: BaseOutputs(logits, nothing)))


class TestPolicies:
    @settings(deadline=None, max_examples=60)
    @given(LOGITS)
    def test_scores_agree_with_scipy(self, logits):
        for kind, expected in by_hand(logits).items():
            found = POLICIES[kind].score(torch.from_numpy(logits))
            assert found.dtype == torch.float64
            np.testing.assert_allclose(found.numpy(), expected, atol=1e-12)

    @settings(deadline=None, max_examples=60)
    @given(LOGITS, st.floats(0, 1))
    def test_uncertain_rows_consult(self, logits, threshold):
        scores = by_hand(logits)
        tensor = torch.from_numpy(logits)
        for kind, uncertain in (
            ("entropy", scores["entropy"] > threshold),
            ("max_probability", scores["max_probability"] < threshold),
            ("margin", scores["margin"] < threshold),
        ):
            near = np.abs(scores[kind] - threshold) < 1e-9  # rounding may go either way
            found = decide(POLICIES[kind](threshold), tensor).numpy()
            assert (found == uncertain)[~near].all()

    @settings(deadline=None, max_examples=30)
    @given(LOGITS)
    def test_extreme_thresholds_are_always_on_and_always_off(self, logits):
        tensor = torch.from_numpy(logits)
        for on in (EntropyGate(-1.0), MaxProbabilityGate(1.1), MarginGate(1.1)):
            assert bool(decide(on, tensor).all())
        most = math.log(logits.shape[1]) + 1e-9
        for off in (EntropyGate(most), MaxProbabilityGate(0.0), MarginGate(0.0)):
            assert not bool(decide(off, tensor).any())

    @pytest.mark.parametrize("kind", POLICIES)
    @pytest.mark.parametrize("fault", [math.nan, math.inf])
    def test_logits_without_a_distribution_are_an_error(self, kind, fault):
        logits = torch.zeros(3, 4)
        logits[1, 2] = fault
        with pytest.raises(ModelError, match=r"examples \[1\]"):
            decide(POLICIES[kind](0.5), logits)

    def test_logit_of_minus_infinity_is_allowed(self):
        logits = torch.tensor([[0.0, -math.inf, 0.0]])
        assert float(EntropyGate.score(logits)) == pytest.approx(math.log(2))

    @pytest.mark.parametrize("threshold", [math.nan, math.inf])
    def test_non_finite_threshold_is_refused(self, threshold):
        with pytest.raises(ModelError, match="finite"):
            EntropyGate(threshold)


class TestFile:
    on = ChosenOn(
        run="default",
        split="val",
        items=2,
        digest=items_digest("default", ["b", "a"]),
        table="selection.parquet",
        base="0" * 64,
    )

    @pytest.mark.parametrize("kind", POLICIES)
    def test_saved_gate_is_loaded_unchanged(self, tmp_path, kind):
        path = save_gate(tmp_path / "gate.json", POLICIES[kind](0.1 + 0.2), self.on)
        assert load_gate(path) == POLICIES[kind](0.1 + 0.2)
        assert read_gate(path).chosen_on == self.on
        assert load_gate(path, base="0" * 64) == POLICIES[kind](0.1 + 0.2)

    def test_another_base_is_refused(self, tmp_path):
        path = save_gate(tmp_path / "gate.json", EntropyGate(0.5), self.on)
        with pytest.raises(ModelError, match="this base has 1111"):
            load_gate(path, base="1" * 64)

    @pytest.mark.parametrize(
        ("change", "key"),
        [
            ({"threshold": "0.5"}, "threshold"),
            ({"threshold": None}, "threshold"),
            ({"kind": "random"}, "kind"),
            ({"treshold": 1.0}, "treshold"),
            ({"schema_version": 2}, "schema_version"),
            ({"chosen_on": {}}, "chosen_on.run"),
        ],
    )
    def test_invalid_or_unknown_fields_are_refused(self, tmp_path, change, key):
        path = save_gate(tmp_path / "gate.json", EntropyGate(0.5), self.on)
        path.write_text(json.dumps(json.loads(path.read_text()) | change))
        with pytest.raises(ModelError, match=key):
            load_gate(path)

    def test_missing_or_truncated_file_is_named(self, tmp_path):
        with pytest.raises(ModelError, match="there is no gate"):
            load_gate(tmp_path / "gate.json")
        (tmp_path / "gate.json").write_text('{"kind": "ent')
        with pytest.raises(ModelError, match="not a gate"):
            load_gate(tmp_path / "gate.json")

    def test_digest_covers_run_and_ids_and_ignores_order(self):
        assert items_digest("r", ["a", "b"]) == items_digest("r", ["b", "a"])
        assert items_digest("r", ["a", "b"]) != items_digest("s", ["a", "b"])
        assert items_digest("r", ["a"]) != items_digest("r", ["a", "b"])


def scores_of(base, batch):
    with torch.no_grad():
        return EntropyGate.score(base(**batch.inputs).logits[:, -1])


@pytest.fixture(scope="module")
def half(batch):
    """A threshold between the third and the fourth of the six examples."""
    ordered = scores_of(tiny_vlm(), batch).sort().values
    return EntropyGate(float(ordered[2:4].mean()))


class TestInSafeModel:
    def test_off_rows_equal_the_base_on_exactly_those_rows(self, build_safe, batch, half):
        safe, plain_base = build_safe(), tiny_vlm()
        expected = [bool(s <= half.threshold) for s in scores_of(plain_base, batch)]
        off = [row for row, skipped in enumerate(expected) if skipped]
        assert len(off) == 3
        subset = {name: value[off] for name, value in batch.inputs.items()}
        with torch.no_grad():
            mine = safe(**batch.inputs, gate=half, audio=batch.audio)
            assert mine.consultation.off == off
            assert torch.equal(mine.logits[off], plain_base(**subset).logits)
        mine = safe.generate(**batch.inputs, gate=half, audio=batch.audio, max_new_tokens=4)
        plain = plain_base.generate(**subset, max_new_tokens=4)
        assert mine.consultation.off == off
        assert torch.equal(mine.sequences[off, : plain.shape[1]], plain)

    def test_on_rows_answer_as_with_a_fixed_gate(self, build_safe, batch, half):
        safe = build_safe()
        options = {"audio": batch.audio, "max_new_tokens": 4}
        by_gate = safe.generate(**batch.inputs, gate=half, **options)
        told = safe.generate(**batch.inputs, gate=by_gate.consultation.mask(), **options)
        assert torch.equal(by_gate.sequences, told.sequences)

    def test_pictures_of_consulting_rows_are_encoded_once(self, build_safe, batch):
        safe = build_safe()
        seen = {}
        for name, gate in (("told", True), ("gated", EntropyGate(-1.0)), ("off", EntropyGate(9.0))):
            with torch.no_grad():
                seen[name] = trace(
                    lambda gate=gate: safe(**batch.inputs, gate=gate, audio=batch.audio),
                    safe.base,
                    wrapper=safe,
                ).calls
        for part in ("vision_model: Blip2VisionModel", "qformer: Blip2QFormerModel"):
            assert (seen["told"][part], seen["gated"][part], seen["off"][part]) == (1, 1, 2)

    def test_no_audio_is_encoded_before_or_without_consulting(self, build_safe, batch):
        safe = build_safe()
        with torch.no_grad():
            calls = trace(
                lambda: safe(**batch.inputs, gate=EntropyGate(9.0), audio=batch.audio),
                safe.base,
                wrapper=safe,
            ).calls
        assert not [name for name in calls if name.startswith("+")]

    def test_reused_image_tokens_are_those_of_the_base(self, build_safe, batch):
        for options in ({}, {"dtype": torch.bfloat16, "wide_qformer": True}):
            safe = build_safe(**options)
            with torch.no_grad():
                mine = run_base(safe.base, self.as_batch(batch)).image
                theirs = image_tokens(safe.base, batch.inputs["pixel_values"])
            assert torch.equal(mine, theirs)

    def as_batch(self, batch):
        from safe.hearing.models.rows import make_batch

        return make_batch(*(batch.inputs[n] for n in ("pixel_values", "input_ids")),
                          batch.inputs["attention_mask"], None, None)  # fmt: skip

    @pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
    def test_run_base_logits_are_those_that_generate_answers_from(self, build_safe, batch, dtype):
        """Bit for bit, with `logits_to_keep=1` as in `generate`."""
        safe, plain_base = build_safe(dtype=dtype), tiny_vlm(dtype=dtype)
        mine = run_base(safe.base, self.as_batch(batch)).logits
        done = plain_base.generate(
            **batch.inputs, max_new_tokens=1, return_dict_in_generate=True, output_logits=True
        )
        assert torch.equal(mine.float(), done.logits[0].float())
        whole = plain_base(**batch.inputs).logits[:, -1]
        torch.testing.assert_close(mine, whole, rtol=1e-4, atol=1e-4)

    def test_base_runs_once_for_several_requests_of_a_policy(self, build_safe, batch):
        safe, counted = build_safe(), []
        safe.base.vision_model.register_forward_hook(lambda *_: counted.append(1))

        class Twice:
            def decide(self, request):
                first = EntropyGate(0.5).decide(request)
                assert torch.equal(first, EntropyGate(0.5).decide(request))
                return torch.ones(request.rows, dtype=torch.bool)

        safe(**batch.inputs, gate=Twice(), audio=batch.audio)
        assert len(counted) == 1

    def test_score_decides_on_the_prompt_as_generate_does(self, build_safe, batch, half):
        safe = build_safe()
        ids = torch.tensor([[10, 11, 2], [12, 2, 1], [13, 2, 1], [14, 2, 1], [2, 1, 1], [9, 8, 2]])
        options = {"answer_ids": ids, "answer_mask": (ids != 1).long(), "audio": batch.audio}
        told = safe.generate(**batch.inputs, gate=half, audio=batch.audio, max_new_tokens=1)
        mask = told.consultation.mask()
        assert sum(mask) == 3
        with torch.no_grad():
            mine = safe.score(**batch.inputs, gate=half, **options)
            expected = safe.score(**batch.inputs, gate=mask, **options)
        torch.testing.assert_close(mine, expected)

    def test_encoder_decoder_is_supported(self, build_safe, batch):
        safe = build_safe(t5=True)
        for threshold, rows in ((-1.0, 6), (99.0, 0)):
            mine = safe.generate(
                **batch.inputs, gate=EntropyGate(threshold), audio=batch.audio, max_new_tokens=2
            )
            assert len(mine.consultation.on) == rows

    def test_base_with_nan_logits_is_an_error(self, build_safe, batch):
        safe = build_safe()
        with torch.no_grad():
            safe.base.language_projection.bias.fill_(math.nan)
        with pytest.raises(ModelError, match="NaN or infinity"):
            safe(**batch.inputs, gate=EntropyGate(0.5), audio=batch.audio)

    def test_right_padded_prompts_are_refused(self, build_safe, batch):
        wrong = batch.inputs["attention_mask"].clone()
        wrong[1, -1] = 0
        inputs = {**batch.inputs, "attention_mask": wrong}
        with pytest.raises(ModelError, match="padded on the right"):
            build_safe()(**inputs, gate=EntropyGate(0.5), audio=batch.audio)
        build_safe()(**inputs, gate=AlwaysOn(), audio=batch.audio)
