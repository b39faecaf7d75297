"""OFF equals the base bit for bit, ON uses audio, and a batch can contain both."""

import pytest
import torch

from safe.errors import ModelError
from safe.hearing.models.fusion import image_tokens
from safe.hearing.models.gating import AlwaysOff, AlwaysOn, WhereAudio
from safe.hearing.models.probe import installed_hooks, trace
from safe.hearing.models.weights import weight_digest
from tests.tiny_models import tiny_tone, tiny_vlm

PRECISIONS = {
    "float32": {"dtype": torch.float32},
    "bfloat16": {"dtype": torch.bfloat16},
    "bfloat16, Q-Former float32": {"dtype": torch.bfloat16, "wide_qformer": True},
}
MIXES = {
    "all off": [False] * 6,
    "mixed": [True, False, True, False, False, True],
    "one off": [True, True, True, True, False, True],
}


@pytest.fixture(scope="module", params=PRECISIONS)
def precision(request):
    return PRECISIONS[request.param]


@pytest.fixture(scope="module")
def safe(precision, build_safe):
    return build_safe(**precision)


@pytest.fixture(scope="module")
def plain_base(precision):
    """The same base loaded separately, so that SAFE is not compared with itself."""
    return tiny_vlm(**precision)


def rows_of(inputs, rows):
    return {name: value[rows] for name, value in inputs.items()}


@pytest.mark.parametrize("mix", MIXES)
@pytest.mark.parametrize("use_cache", [True, False])
class TestOffIsTheBase:
    def test_forward_equals_the_base(self, safe, plain_base, batch, mix, use_cache):
        gate = MIXES[mix]
        off = [r for r, on in enumerate(gate) if not on]
        with torch.no_grad():
            mine = safe(**batch.inputs, gate=gate, audio=batch.audio, use_cache=use_cache)
            plain = plain_base(**rows_of(batch.inputs, off), use_cache=use_cache)
        assert mine.consultation.off == off
        assert torch.equal(mine.logits[off], plain.logits)

    @pytest.mark.parametrize("sampling", [{}, {"do_sample": True, "temperature": 1.5}])
    def test_generate_equals_the_base(self, safe, plain_base, batch, mix, use_cache, sampling):
        gate = MIXES[mix]
        off = [r for r, on in enumerate(gate) if not on]
        options = {"max_new_tokens": 6, "use_cache": use_cache, **sampling}
        torch.manual_seed(11)
        mine = safe.generate(**batch.inputs, gate=gate, audio=batch.audio, **options).sequences
        torch.manual_seed(11)
        plain = plain_base.generate(**rows_of(batch.inputs, off), **options)
        assert torch.equal(mine[off, : plain.shape[1]], plain)
        assert bool((mine[off, plain.shape[1] :] == 1).all())


@pytest.mark.parametrize("mix", MIXES)
def test_off_rows_of_an_encoder_decoder_equal_the_base(build_safe, batch, mix):
    safe, gate = build_safe(t5=True), MIXES[mix]
    off = [r for r, on in enumerate(gate) if not on]
    labels = torch.randint(4, 30, (6, 3), generator=torch.Generator().manual_seed(0))
    mine = safe(**batch.inputs, gate=gate, audio=batch.audio, labels=labels)
    plain = safe.base(**rows_of(batch.inputs, off), labels=labels[off])
    assert torch.equal(mine.logits[off], plain.logits)
    mine = safe.generate(**batch.inputs, gate=gate, audio=batch.audio, max_new_tokens=4).sequences
    plain = safe.base.generate(**rows_of(batch.inputs, off), max_new_tokens=4)
    assert torch.equal(mine[off, : plain.shape[1]], plain)


def test_off_does_exactly_the_work_of_a_plain_call(build_safe, batch):
    """Compared with a base that was never wrapped by SAFE."""
    safe, plain_base = build_safe(), tiny_vlm()
    for mine, plain in (
        (
            lambda: safe(**batch.inputs, gate=False, audio=batch.audio),
            lambda: plain_base(**batch.inputs),
        ),
        (
            lambda: safe.generate(
                **batch.inputs, gate=AlwaysOff(), audio=batch.audio, max_new_tokens=3
            ),
            lambda: plain_base.generate(**batch.inputs, max_new_tokens=3),
        ),
    ):
        with torch.no_grad():
            ours, theirs = trace(mine, safe.base, wrapper=safe), trace(plain, plain_base)
        assert theirs.flops > 0
        assert ours.flops == theirs.flops
        assert ours.calls == theirs.calls
        assert installed_hooks(safe.base) == installed_hooks(plain_base) == 0


def test_trace_contains_audio_and_adapter_calls_when_on(build_safe, batch):
    safe = build_safe()
    with torch.no_grad():
        on, off = (
            trace(
                lambda gate=gate: safe(**batch.inputs, gate=gate, audio=batch.audio),
                safe.base,
                wrapper=safe,
            )
            for gate in (True, False)
        )
    assert on.flops > off.flops
    extra = on.calls - off.calls
    assert extra["+projector: MlpProjector"] == 1
    assert any(name.startswith("+audio_encoder_model.") for name in extra)
    assert any(".lora_A.default" in name for name in extra)


def test_all_off_passes_the_callers_tensors_unchanged(build_safe, batch, monkeypatch):
    safe, sent = build_safe(), {}
    real = type(safe.base).forward
    monkeypatch.setattr(
        type(safe.base), "forward", lambda self, **given: sent.update(given) or real(self, **given)
    )
    safe(**batch.inputs, gate=False, audio=batch.audio, use_cache=False)
    assert sent.keys() == {*batch.inputs, "use_cache"}
    assert all(sent[name] is value for name, value in batch.inputs.items())


def test_adapted_model_shares_all_weights_of_the_base(build_safe):
    safe = build_safe()
    mine = dict(safe.base.language_model.named_parameters())
    shared = {id(p) for p in safe.adapted.parameters()}
    assert all(id(p) in shared for p in mine.values())
    assert set(safe.base.modules()).isdisjoint(safe.adapted.modules())
    assert not any("lora" in n for n, _ in safe.base.named_modules())


def test_on_rows_depend_on_their_audio(safe, batch):
    with torch.no_grad():
        one = safe(**batch.inputs, gate=AlwaysOn(), audio=batch.audio).logits
        other = safe(**batch.inputs, gate=True, audio=batch.audio[::-1]).logits
        base = safe.base(**batch.inputs).logits
    assert one.shape == base.shape
    differs = (one[:, -1] != other[:, -1]).any(-1)
    assert bool(differs.all())


def test_on_rows_do_not_depend_on_other_rows(build_safe, batch):
    safe = build_safe()
    with torch.no_grad():
        mixed = safe(**batch.inputs, gate=MIXES["mixed"], audio=batch.audio).logits
        every = safe(**batch.inputs, gate=True, audio=batch.audio).logits
    on = [0, 2, 5]
    torch.testing.assert_close(mixed[on], every[on], rtol=1e-4, atol=1e-4)


def test_on_row_is_the_language_model_on_image_audio_text(build_safe, batch):
    """One row computed by hand: [image][audio][text] through the model with LoRA."""
    safe, row = build_safe(), 2
    with torch.no_grad():
        mine = safe(**rows_of(batch.inputs, [row]), gate=True, audio=[batch.audio[row]]).logits[0]
        ids, mask = batch.inputs["input_ids"][row], batch.inputs["attention_mask"][row]
        table = safe.base.get_input_embeddings()
        image = safe.base.get_image_features(batch.inputs["pixel_values"][[row]]).pooler_output[0]
        audio = safe.projector(safe.audio_encoder.embed([batch.audio[row]]))[0]
        embeds = torch.cat([image, audio, table(ids[4:])]).unsqueeze(0)
        wide = torch.cat([mask[:4], mask.new_ones(3), mask[4:]]).unsqueeze(0)
        expected = safe.language_model(inputs_embeds=embeds, attention_mask=wide).logits[0]
    torch.testing.assert_close(mine, torch.cat([expected[:4], expected[7:]]))


def test_image_tokens_are_those_of_the_base(safe, batch):
    with torch.no_grad():
        mine = image_tokens(safe.base, batch.inputs["pixel_values"])
        theirs = safe.base.get_image_features(batch.inputs["pixel_values"]).pooler_output
    assert torch.equal(mine, theirs)


def test_cached_features_give_the_same_logits_as_media(safe, batch):
    features = safe.audio_encoder.embed(batch.audio)
    image = image_tokens(safe.base, batch.inputs["pixel_values"])
    text = {n: batch.inputs[n] for n in ("input_ids", "attention_mask")}
    with torch.no_grad():
        live = safe(**batch.inputs, gate=True, audio=batch.audio).logits
        cached = safe(**text, gate=True, audio=features, image_tokens=image).logits
    assert torch.equal(live, cached)


def test_generated_on_rows_continue_the_prompt(safe, batch):
    mine = safe.generate(**batch.inputs, gate=True, audio=batch.audio, max_new_tokens=4).sequences
    length = batch.inputs["input_ids"].shape[1]
    assert torch.equal(mine[:, :length], batch.inputs["input_ids"])
    assert mine.shape[1] <= length + 4


def test_first_generated_token_is_the_argmax_of_forward(build_safe, batch):
    safe = build_safe()
    length = batch.inputs["input_ids"].shape[1]
    with torch.no_grad():
        best = safe(**batch.inputs, gate=True, audio=batch.audio).logits[:, -1].argmax(-1)
    new = safe.generate(**batch.inputs, gate=True, audio=batch.audio, max_new_tokens=1).sequences
    assert torch.equal(new[:, length], best)


class TestBadAudio:
    silent, broken = torch.zeros(4000).numpy(), torch.full((400,), float("nan")).numpy()

    def faulty(self, batch):
        return [self.silent, self.broken, None, batch.audio[3][:0], batch.audio[4], batch.audio[5]]

    def test_bad_audio_is_refused_by_row_and_reason(self, build_safe, batch):
        with pytest.raises(ModelError, match=r"0 \(silent\).*1 \(samples.*2 \(no audio\).*3 \(not"):
            build_safe()(**batch.inputs, gate=True, audio=self.faulty(batch))

    def test_bad_audio_can_turn_rows_off_and_is_counted(self, build_safe, batch):
        safe = build_safe(on_bad_audio="off")
        with torch.no_grad():
            mine = safe(**batch.inputs, gate=True, audio=self.faulty(batch))
            plain = safe.base(**rows_of(batch.inputs, [0, 1, 2, 3])).logits
        assert mine.consultation.on == [4, 5]
        assert set(mine.consultation.turned_off) == {0, 1, 2, 3}
        assert torch.equal(mine.logits[:4], plain)
        assert safe.turned_off["silent"] == 1
        assert safe.turned_off.total() == 4

    def test_bad_audio_of_off_rows_is_ignored(self, build_safe, batch):
        gate = [False, False, False, False, True, True]
        mine = build_safe()(**batch.inputs, gate=gate, audio=self.faulty(batch))
        assert mine.consultation.turned_off == {}

    def test_missing_features_are_missing_audio(self, build_safe, batch):
        safe = build_safe()
        features = safe.audio_encoder.embed(batch.audio).clone()
        features[1] = float("nan")
        with pytest.raises(ModelError, match=r"1 \(no audio features\)"):
            safe(**batch.inputs, gate=True, audio=features)
        assert safe(**batch.inputs, gate=WhereAudio(), audio=features).consultation.off == [1]


def test_invalid_arguments_are_named(build_safe, batch):
    safe = build_safe()
    with pytest.raises(ModelError, match="2 sounds for 6 examples"):
        safe(**batch.inputs, gate=True, audio=[tiny_tone(440)] * 2)
    with pytest.raises(ModelError, match="3 entries for 6 examples"):
        safe(**batch.inputs, gate=[True] * 3, audio=batch.audio)
    with pytest.raises(ModelError, match="bool tensor"):
        safe(**batch.inputs, gate=torch.ones(6), audio=batch.audio)
    with pytest.raises(ModelError, match="num_return_sequences"):
        safe.generate(**batch.inputs, gate=True, audio=batch.audio, num_return_sequences=2)
    text = {n: batch.inputs[n] for n in ("input_ids", "attention_mask")}
    with pytest.raises(ModelError, match="pixel_values"):
        safe(**text, gate=False)
    with pytest.raises(ModelError, match="image placeholders"):
        safe(
            batch.inputs["pixel_values"],
            batch.inputs["input_ids"][:, 4:],
            gate=True,
            audio=batch.audio,
        )


def test_logits_to_keep_returns_the_last_logits(build_safe, batch):
    safe = build_safe()
    with torch.no_grad():
        whole = safe(**batch.inputs, gate=MIXES["mixed"], audio=batch.audio).logits
        last = safe(**batch.inputs, gate=MIXES["mixed"], audio=batch.audio, logits_to_keep=3).logits
    torch.testing.assert_close(last, whole[:, -3:])


class TestScore:
    def answers(self):
        ids = torch.tensor([[10, 11, 2], [12, 2, 1], [13, 2, 1], [14, 2, 1], [2, 1, 1], [9, 8, 2]])
        return ids, (ids != 1).long()

    @pytest.mark.parametrize("gate", [False, MIXES["mixed"], True])
    def test_score_agrees_with_stepwise_forward(self, build_safe, batch, gate):
        safe = build_safe()
        ids, mask = self.answers()
        with torch.no_grad():
            scores = safe.score(
                **batch.inputs, answer_ids=ids, answer_mask=mask, gate=gate, audio=batch.audio
            )
            assert scores.shape == ids.shape
            assert bool((scores[mask == 0] == 0).all())
            step = safe(**batch.inputs, gate=gate, audio=batch.audio).logits[:, -1].log_softmax(-1)
        torch.testing.assert_close(scores[:, 0], step.gather(1, ids[:, :1])[:, 0])

    def test_score_of_off_rows_equals_the_base(self, build_safe, batch):
        safe = build_safe()
        ids, mask = self.answers()
        options = {"answer_ids": ids, "answer_mask": mask, "audio": batch.audio}
        with torch.no_grad():
            off = safe.score(**batch.inputs, gate=False, **options)
            long = safe.base(
                pixel_values=batch.inputs["pixel_values"],
                input_ids=torch.cat([batch.inputs["input_ids"], ids], 1),
                attention_mask=torch.cat([batch.inputs["attention_mask"], mask], 1),
                logits_to_keep=4,
            ).logits[:, :-1]
        expected = long.log_softmax(-1).gather(-1, ids.unsqueeze(-1)).squeeze(-1)
        assert torch.equal(off, expected.masked_fill(mask == 0, 0))

    def test_score_refuses_right_padded_prompts(self, build_safe, batch):
        ids, mask = self.answers()
        wrong = batch.inputs["attention_mask"].clone()
        wrong[1, -1] = 0
        inputs = {**batch.inputs, "attention_mask": wrong}
        with pytest.raises(ModelError, match="padded on the right"):
            build_safe().score(
                **inputs, answer_ids=ids, answer_mask=mask, gate=True, audio=batch.audio
            )

    def test_score_supports_an_encoder_decoder(self, build_safe, batch):
        safe = build_safe(t5=True)
        ids, mask = self.answers()
        for gate in (False, True, MIXES["mixed"]):
            scores = safe.score(
                **batch.inputs, answer_ids=ids, answer_mask=mask, gate=gate, audio=batch.audio
            )
            assert bool((scores[mask == 1] < 0).all())


@pytest.mark.parametrize("projector", ["mlp", "resampler"])
def test_training_step_changes_only_the_adapter(build_safe, batch, projector):
    safe = build_safe(projector=projector, trained=False)
    before = weight_digest(safe.base), weight_digest(safe.audio_encoder_model)
    plain = safe.base(**batch.inputs).logits
    start = {n: p.detach().clone() for n, p in safe.trainable().items()}
    safe.train()
    assert not safe.base.training
    assert not any(m.training for m in safe.audio_encoder_model.modules())
    optimizer = torch.optim.AdamW(safe.trainable().values(), lr=0.1)
    for _ in range(2):  # LoRA's A changes only after B is nonzero
        out = safe(
            **batch.inputs, gate=MIXES["mixed"], audio=batch.audio, labels=batch.inputs["input_ids"]
        )
        optimizer.zero_grad()
        out.loss.backward()
        optimizer.step()
    unmoved = [n for n, p in safe.trainable().items() if torch.equal(p, start[n])]
    assert unmoved == []
    assert (weight_digest(safe.base), weight_digest(safe.audio_encoder_model)) == before
    assert torch.equal(safe.base(**batch.inputs).logits, plain)


def test_loss_of_a_mixed_batch_is_the_mean_over_all_rows(build_safe, batch):
    safe = build_safe()
    labels = batch.inputs["input_ids"].masked_fill(batch.inputs["attention_mask"] == 0, -100)
    with torch.no_grad():
        out = safe(**batch.inputs, gate=MIXES["mixed"], audio=batch.audio, labels=labels)
        expected = torch.nn.functional.cross_entropy(
            out.logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten(), ignore_index=-100
        )
    torch.testing.assert_close(out.loss, expected)
