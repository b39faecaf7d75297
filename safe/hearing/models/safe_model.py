"""SafeModel: a frozen BLIP-2 with a frozen CLAP and a gate that decides per example.

Examples with the gate OFF are passed to the unmodified base with the caller's tensors and keyword
arguments; no other part of SAFE runs for them. Examples with the gate ON get k audio tokens after
their image tokens and run through the LoRA copy of the base's language model.

Shape legend: B examples, L prompt positions, T answer positions, V vocabulary.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any, Literal

import torch
from torch import Tensor, nn
from transformers import Blip2ForConditionalGeneration

from safe.errors import ModelError
from safe.hearing.config import AdapterConfig
from safe.hearing.models.audio import Audio, audio_faults, has_audio
from safe.hearing.models.audio_encoder import AudioEncoder
from safe.hearing.models.audio_summary import audio_summary
from safe.hearing.models.base_forward import read_question, run_base
from safe.hearing.models.fusion import Fused, fuse, image_tokens
from safe.hearing.models.gating import (
    BaseOutputs,
    GateLike,
    GateRequest,
    Tokens,
    as_gate,
    no_preview,
    tokens_heard,
)
from safe.hearing.models.lora import adapt, lora_dropouts
from safe.hearing.models.projector import build_projector, calibrate_projector
from safe.hearing.models.rows import (
    Batch,
    Consultation,
    SafeGeneration,
    SafeOutput,
    join,
    make_batch,
    plain_arguments,
    rows_of,
    take_rows,
)

OnBadAudio = Literal["refuse", "off"]


class SafeModel(nn.Module):
    """Base, audio encoder, projector and LoRA.

    Args:
        base: is frozen; its weights and modules are not changed.
        audio_encoder: is frozen.
        config: projector kind, number of audio tokens, LoRA settings.
        seed: seed of the new adapter's random weights.
        on_bad_audio: for an example with the gate ON whose audio is missing, silent or not finite,
            `refuse` raises, and `off` answers without audio and counts it in `turned_off`.

    Raises:
        ModelError: the language model lacks a LoRA target.
    """

    def __init__(
        self,
        base: Blip2ForConditionalGeneration,
        audio_encoder: AudioEncoder,
        config: AdapterConfig,
        *,
        seed: int = 0,
        on_bad_audio: OnBadAudio = "refuse",
    ) -> None:
        super().__init__()
        self.base = base.requires_grad_(False).eval()
        self.audio_encoder_model = audio_encoder.model.requires_grad_(False).eval()
        self.audio_encoder = audio_encoder
        self.config, self.seed, self.on_bad_audio = config, seed, on_bad_audio
        self.turned_off: Counter[str] = Counter()
        self.adapted = adapt(base.language_model, config.lora, seed=seed)
        table = base.get_input_embeddings()
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.projector = build_projector(
                config,
                embedding_width=audio_encoder.embedding_dim,
                sequence_width=audio_encoder.sequence_dim,
                width=table.embedding_dim,
            )
        if not table.weight.is_meta:
            self.embedding_norm = calibrate_projector(self.projector, table, seed=seed)
        self.projector.to(table.weight.device)
        self.train(False)

    # -- state ---------------------------------------------------------------------------------

    def train(self, mode: bool = True) -> SafeModel:
        """Set the mode of projector and LoRA dropout; all else stays in evaluation mode."""
        self.training = mode
        for frozen in (self.base, self.audio_encoder_model, self.adapted):
            frozen.train(False)
        self.projector.train(mode)
        for dropout in lora_dropouts(self.adapted):
            dropout.train(mode)
        return self

    @property
    def language_model(self) -> Any:
        """The LoRA copy of the base's language model, without PEFT's wrapper."""
        return self.adapted.base_model.model

    @property
    def device(self) -> torch.device:
        device: torch.device = self.base.get_input_embeddings().weight.device
        return device

    @property
    def decoder_only(self) -> bool:
        return bool(self.base.config.use_decoder_only_language_model)

    def trainable(self) -> dict[str, nn.Parameter]:
        """Return the parameters with `requires_grad`, by name."""
        return {n: p for n, p in self.named_parameters() if p.requires_grad}

    # -- the gate ------------------------------------------------------------------------------

    def _consult(
        self, gate: GateLike, batch: Batch, kwargs: dict[str, Any]
    ) -> tuple[Consultation, Batch]:
        """Run the gate.

        Returns:
            The decision, and the batch, with image tokens if the gate ran the base.
        """
        rows = len(batch)
        if batch.audio is not None and len(batch.audio) != rows:
            raise ModelError(
                f"{len(batch.audio)} sounds for {rows} examples",
                hint="pass one per example, None for an example without audio",
            )
        base_outputs: list[BaseOutputs] = []

        def look() -> BaseOutputs:
            if not base_outputs:
                interpolate = bool(kwargs.get("interpolate_pos_encoding"))
                base_outputs.append(run_base(self.base, batch, interpolate=interpolate))
            return base_outputs[0]

        def question() -> Tensor:
            return read_question(self.base, batch)

        def summary() -> Tensor:
            if batch.audio is None or isinstance(batch.audio, Tensor):
                return no_preview()
            return torch.from_numpy(audio_summary(batch.audio, self.audio_encoder.sampling_rate))

        request = GateRequest(rows, has_audio(batch.audio, rows), look, question, summary)
        counts = tokens_heard(as_gate(gate).decide(request), self.projector.audio_tokens)
        if base_outputs and batch.image is None:
            batch = replace(batch, image=base_outputs[0].image)
        on = [row for row, count in enumerate(counts) if count]
        turned_off = audio_faults(batch.audio, on) if on else {}
        on = [row for row in on if row not in turned_off]
        if turned_off and self.on_bad_audio == "refuse":
            rows_and_reasons = ", ".join(f"{r} ({why})" for r, why in sorted(turned_off.items()))
            raise ModelError(
                f"the audio of examples with the gate ON cannot be used: {rows_and_reasons}",
                hint="gate them OFF, repair the files, or use on_bad_audio='off'",
            )
        self.turned_off.update(turned_off.values())
        chosen = set(on)
        off = [r for r in range(rows) if r not in chosen]
        return Consultation(on, off, [counts[r] for r in on], turned_off), batch

    # -- gate OFF and ON -----------------------------------------------------------------------

    def _run_base(self, batch: Batch, kwargs: dict[str, Any]) -> Any:
        return self.base(**plain_arguments(batch), **kwargs)

    def hear(self, audio: Audio, rows: list[int]) -> Tensor:
        """Compute the audio tokens (len(rows), k, d) of these examples' waveforms or features."""
        if isinstance(audio, Tensor):
            features = audio[rows]
        else:
            encode = (
                self.audio_encoder.embed
                if self.projector.input_kind == "embedding"
                else self.audio_encoder.sequence
            )
            features = encode([audio[r] for r in rows])  # type: ignore[misc]
            features = features.clone()  # autograd cannot save inference tensors
        weight = next(self.projector.parameters())
        tokens: Tensor = self.projector(features.to(weight.device, weight.dtype))
        return tokens

    def _fuse(
        self, batch: Batch, rows: list[int], tokens: int, *, interpolate: bool = False
    ) -> Fused:
        """Build the language model's input for `rows` with the first `tokens` audio tokens."""
        assert batch.audio is not None
        ids = batch.input_ids[rows]
        mask = torch.ones_like(ids) if batch.attention_mask is None else batch.attention_mask[rows]
        with torch.no_grad():
            if batch.image is not None:
                image = batch.image[rows].to(ids.device)
            elif batch.pixel_values is not None:
                image = image_tokens(self.base, batch.pixel_values[rows], interpolate)
            else:
                raise ModelError("there is no image", hint="pass `pixel_values` or `image_tokens`")
            embeds = self.language_model.get_input_embeddings()(ids)
        token = self.base.config.image_token_index
        return fuse(
            input_ids=ids,
            attention_mask=mask,
            embeds=embeds,
            image=image,
            audio=self.hear(batch.audio, rows)[:, :tokens],
            image_token=token,
        )

    # -- calls ---------------------------------------------------------------------------------

    def forward(
        self,
        pixel_values: Tensor | None = None,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        *,
        gate: GateLike,
        audio: Audio | None = None,
        image_tokens: Tensor | None = None,
        **kwargs: Any,
    ) -> SafeOutput:
        """Compute logits of every prompt position.

        Args:
            pixel_values: (B, channels, height, width); not needed if the gate is ON for all
                examples and `image_tokens` is given.
            input_ids, attention_mask: (B, L), with the image placeholders.
            gate: a policy, one bool for all examples, or one bool per example.
            audio: B waveforms (or None) at the audio encoder's sampling rate, or the audio
                encoder's features.
            image_tokens: (B, q, d), cached output of `fusion.image_tokens`; used only with the
                gate ON.
            kwargs: passed to the base; with the gate ON, to the language model.

        Raises:
            ModelError: audio cannot be used with the gate ON, or the inputs are inconsistent.
        """
        batch = make_batch(pixel_values, input_ids, attention_mask, image_tokens, audio)
        consultation, batch = self._consult(gate, batch, kwargs)
        if not consultation.on:
            plain = self._run_base(batch, kwargs)
            return SafeOutput(plain.logits, plain.loss, consultation, base=plain)
        parts: list[tuple[list[int], Tensor]] = []
        if consultation.off:
            rows = consultation.off
            plain = self._run_base(take_rows(batch, rows), rows_of(kwargs, rows))
            parts.append((rows, plain.logits))
        for tokens, rows in consultation.by_tokens():
            parts.append((rows, self._on_logits(batch, rows, tokens, kwargs)))
        logits = join(parts, len(batch))
        labels = kwargs.get("labels")
        loss = None if labels is None else self._loss(logits, labels)
        return SafeOutput(logits, loss, consultation)

    def _on_logits(
        self, batch: Batch, rows: list[int], tokens: int, kwargs: dict[str, Any]
    ) -> Tensor:
        kwargs = rows_of(kwargs, rows)
        interpolate = bool(kwargs.pop("interpolate_pos_encoding", False))
        fused = self._fuse(batch, rows, tokens, interpolate=interpolate)
        if self.decoder_only:
            kwargs.pop("labels", None)  # they have no audio positions; see `_loss`
        out = self.language_model(inputs_embeds=fused.embeds, attention_mask=fused.mask, **kwargs)
        logits: Tensor = out.logits
        if not self.decoder_only:
            return logits
        left_out = fused.embeds.shape[1] - logits.shape[1]  # due to `logits_to_keep`
        at = fused.text_positions[:, -logits.shape[1] :] - left_out
        return logits.gather(1, at.unsqueeze(-1).expand(-1, -1, logits.shape[-1]))

    def _loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        labels = labels.to(logits.device)
        if self.decoder_only:
            loss: Tensor = self.base.loss_function(
                logits=logits[:, -labels.shape[1] :],
                labels=labels,
                vocab_size=self.base.config.text_config.vocab_size,
            )
            return loss
        return nn.functional.cross_entropy(logits.flatten(0, 1), labels.flatten())

    @torch.no_grad()
    def generate(
        self,
        pixel_values: Tensor | None = None,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        *,
        gate: GateLike,
        audio: Audio | None = None,
        image_tokens: Tensor | None = None,
        **kwargs: Any,
    ) -> SafeGeneration:
        """Generate answers. Arguments as in `forward`; `kwargs` as in the base's `generate`.

        Raises:
            ModelError: as in `forward`; or `num_return_sequences` or `return_dict_in_generate` is
                set and the gate is ON for an example.
        """
        batch = make_batch(pixel_values, input_ids, attention_mask, image_tokens, audio)
        consultation, batch = self._consult(gate, batch, kwargs)
        if not consultation.on:
            done = self.base.generate(**plain_arguments(batch), **kwargs)
            return SafeGeneration(getattr(done, "sequences", done), consultation)
        for name, allowed in (("num_return_sequences", 1), ("return_dict_in_generate", False)):
            if kwargs.get(name, allowed) not in (allowed, None):
                raise ModelError(
                    f"{name}={kwargs[name]!r} is not supported with the gate ON",
                    hint="remove the argument",
                )
        parts: list[tuple[list[int], Tensor]] = []
        if consultation.off:
            rows = consultation.off
            done = self.base.generate(
                **plain_arguments(take_rows(batch, rows)), **rows_of(kwargs, rows)
            )
            parts.append((rows, done))
        for tokens, rows in consultation.by_tokens():
            parts.append((rows, self._on_sequences(batch, rows, tokens, kwargs)))
        return SafeGeneration(join(parts, len(batch), fill=self._pad_token(kwargs)), consultation)

    def _on_sequences(
        self, batch: Batch, rows: list[int], tokens: int, kwargs: dict[str, Any]
    ) -> Tensor:
        kwargs = rows_of(kwargs, rows)
        interpolate = bool(kwargs.pop("interpolate_pos_encoding", False))
        fused = self._fuse(batch, rows, tokens, interpolate=interpolate)
        inputs = {"inputs_embeds": fused.embeds, "attention_mask": fused.mask}
        if not self.decoder_only:
            sequences: Tensor = self.language_model.generate(**inputs, **kwargs)
            return sequences
        sequences = self.language_model.generate(**inputs, input_ids=fused.ids, **kwargs)
        new = sequences[:, fused.ids.shape[1] :]
        return torch.cat([batch.input_ids[rows], new], dim=1)

    def _pad_token(self, kwargs: dict[str, Any]) -> int:
        settings = self.base.language_model.generation_config
        for value in (kwargs.get("pad_token_id"), settings.pad_token_id, settings.eos_token_id):
            if value is not None:
                return int(value[0] if isinstance(value, list) else value)
        return 0

    def answer_logits(
        self,
        pixel_values: Tensor | None = None,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        *,
        answer_ids: Tensor,
        answer_mask: Tensor,
        gate: GateLike,
        audio: Audio | None = None,
        image_tokens: Tensor | None = None,
    ) -> Tensor:
        """Compute (B, T, V), the logits that predict each token of the given answers.

        Args:
            input_ids, attention_mask: (B, L) prompts, padded on the left.
            answer_ids, answer_mask: (B, T), padded on the right.

        Raises:
            ModelError: prompts are padded on the right, or as in `forward`.
        """
        assert input_ids is not None
        mask = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        if not self.decoder_only:
            out = self.forward(
                pixel_values,
                input_ids,
                mask,
                gate=gate,
                audio=audio,
                image_tokens=image_tokens,
                labels=answer_ids.masked_fill(answer_mask == 0, -100),
            )
            return out.logits
        if not bool((mask[:, -1] == 1).all()):
            raise ModelError(
                "prompts are padded on the right", hint="set the tokenizer's padding_side to 'left'"
            )
        # As in `generate`, the gate uses the prompt only and not the answers.
        prompt = make_batch(pixel_values, input_ids, mask, image_tokens, audio)
        consultation, prompt = self._consult(gate, prompt, {})
        out = self.forward(
            pixel_values,
            torch.cat([input_ids, answer_ids], dim=1),
            torch.cat([mask, answer_mask.to(mask.dtype)], dim=1),
            gate=Tokens(tuple(consultation.counts())),
            audio=audio,
            image_tokens=prompt.image,
            logits_to_keep=answer_ids.shape[1] + 1,
        )
        return out.logits[:, :-1]

    def score(self, *args: Any, answer_ids: Tensor, answer_mask: Tensor, **kwargs: Any) -> Tensor:
        """Compute (B, T), the log-probability in nats of each answer token; 0 outside the mask.

        Arguments as in `answer_logits`.
        """
        logits = self.answer_logits(
            *args, answer_ids=answer_ids, answer_mask=answer_mask, **kwargs
        ).float()
        chosen = logits.log_softmax(-1).gather(-1, answer_ids.unsqueeze(-1)).squeeze(-1)
        return chosen.masked_fill(answer_mask == 0, 0.0)
