"""The RNN encoder-decoder as a transformers model: encoder and decoder together, and the output layer."""

from dataclasses import dataclass

import torch
from torch import nn
from transformers.generation import GenerationMixin
from transformers.modeling_outputs import ModelOutput, Seq2SeqLMOutput, Seq2SeqModelOutput
from transformers.utils.generic import can_return_tuple

from .configuration_rnn_seq2seq import RnnSeq2SeqConfig
from .modeling_cache import RnnSeq2SeqCache
from .modeling_copy import mix_copies, summed_coverage_loss
from .modeling_decoder import RnnSeq2SeqDecoder
from .modeling_encoder import RnnSeq2SeqEncoder, RnnSeq2SeqEncoderOutput
from .modeling_fast_paths import compute_dtype, has_fast_paths, is_as_built
from .modeling_loss import LinearCrossEntropy, summed_cross_entropy
from .modeling_pretrained import RnnSeq2SeqPreTrainedModel
from .modeling_search import SearchMixin


@dataclass
class RnnSeq2SeqModelOutput(Seq2SeqModelOutput):
    """As its base, and what copying needs.

    Attributes:
        copy_gate (`torch.Tensor` of shape `(B, T, 1)`, *optional*): logit of generating rather than copying.
        source_ids (`torch.LongTensor` of shape `(B, S)`, *optional*): source tokens, to copy from.
    """

    copy_gate: torch.Tensor | None = None
    source_ids: torch.Tensor | None = None


class RnnSeq2SeqModel(RnnSeq2SeqPreTrainedModel):
    """Encoder and decoder, without the output layer."""

    def __init__(self, config: RnnSeq2SeqConfig):
        super().__init__(config)
        # CODEPATH: a joint tokenizer shares the matrix, two tokenizers cannot
        shared = config.share_encoder_decoder_embeddings
        self._tied_weights_keys = {"decoder.embed_tokens.weight": "encoder.embed_tokens.weight"} if shared else {}
        self.encoder = RnnSeq2SeqEncoder(config)
        self.decoder = RnnSeq2SeqDecoder(config)
        self.post_init()

    def get_input_embeddings(self) -> nn.Embedding:
        return self.encoder.embed_tokens

    def set_input_embeddings(self, value: nn.Embedding):
        self.encoder.embed_tokens = value
        # CODEPATH: as in __init__
        if self.config.share_encoder_decoder_embeddings:
            self.decoder.embed_tokens = value

    def _name_encoder_outputs(self, outputs: tuple) -> RnnSeq2SeqEncoderOutput:
        """A tuple has no place for what is None: GRUs have no cell."""
        # CODEPATH: lstm has a cell, a pyramid a mask of its own, a copying model its source
        cell = ["final_cell"] if self.config.cell_type == "lstm" else []
        # CODEPATH: as above
        mask = ["memory_mask"] if self.config.encoder_stride > 1 else []
        # CODEPATH: as above
        source = ["source_ids"] if self.config.copy_attention else []
        names = ["last_hidden_state", "final_hidden", *cell, *mask, *source, "hidden_states"]
        return RnnSeq2SeqEncoderOutput(**dict(zip(names, outputs, strict=False)))

    @can_return_tuple
    def forward(
        self,
        input_ids: torch.LongTensor | None = None,
        attention_mask: torch.Tensor | None = None,
        decoder_input_ids: torch.LongTensor | None = None,
        decoder_attention_mask: torch.Tensor | None = None,
        encoder_outputs: RnnSeq2SeqEncoderOutput | tuple | None = None,
        past_key_values: RnnSeq2SeqCache | None = None,
        inputs_embeds: torch.Tensor | None = None,
        decoder_inputs_embeds: torch.Tensor | None = None,
        use_cache: bool | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        **kwargs,
    ) -> RnnSeq2SeqModelOutput:
        """Encode the source, unless `encoder_outputs` are given, and decode the target.

        Args:
            input_ids (`torch.LongTensor` of shape `(B, S)`): source tokens.
            attention_mask (`torch.Tensor` of shape `(B, S)`, *optional*): 1 where a source token stands.
            decoder_input_ids (`torch.LongTensor` of shape `(B, T)`): target tokens, shifted right.
            decoder_attention_mask (`torch.Tensor` of shape `(B, T)`, *optional*): 1 where a target token stands.
                Padding on the right changes nothing before it; padding on the left is refused.
            encoder_outputs (*optional*): what the encoder returned earlier for the same source.
            past_key_values (`RnnSeq2SeqCache`, *optional*): state after earlier target tokens.
            inputs_embeds (`torch.Tensor` of shape `(B, S, E)`, *optional*): in place of `input_ids`.
            decoder_inputs_embeds (`torch.Tensor` of shape `(B, T, E)`, *optional*): in place of `decoder_input_ids`.
            use_cache (`bool`, *optional*): return the decoder's state for the next call.
            output_attentions (`bool`, *optional*): return `cross_attentions`, one tensor `(B, N, T, S)` for N
                heads; None without attention.
            output_hidden_states (`bool`, *optional*): return the outputs of every layer of both sides.

        Returns:
            `last_hidden_state` are the features of shape `(B, T, R)` that the output layer reads.
        """
        if decoder_attention_mask is not None and (decoder_attention_mask.long().diff(dim=1) > 0).any():
            raise ValueError(
                "`decoder_attention_mask` must have its padding on the right, got a 0 before a 1; set "
                '`tokenizer.padding_side="right"` for targets.'
            )
        if encoder_outputs is None:
            encoder_outputs = self.encoder(
                input_ids=input_ids,
                attention_mask=attention_mask,
                inputs_embeds=inputs_embeds,
                output_hidden_states=output_hidden_states,
            )
        elif not isinstance(encoder_outputs, ModelOutput):
            encoder_outputs = self._name_encoder_outputs(encoder_outputs)
        decoder_outputs = self.decoder(
            input_ids=decoder_input_ids,
            encoder_outputs=encoder_outputs,
            encoder_attention_mask=attention_mask,
            past_key_values=past_key_values,
            inputs_embeds=decoder_inputs_embeds,
            use_cache=use_cache,
            output_attentions=output_attentions,
            output_hidden_states=output_hidden_states,
        )
        return RnnSeq2SeqModelOutput(
            last_hidden_state=decoder_outputs.last_hidden_state,
            past_key_values=decoder_outputs.past_key_values,
            decoder_hidden_states=decoder_outputs.hidden_states,
            cross_attentions=decoder_outputs.cross_attentions,
            encoder_last_hidden_state=encoder_outputs.last_hidden_state,
            encoder_hidden_states=encoder_outputs.get("hidden_states"),
            copy_gate=decoder_outputs.copy_gate,
            source_ids=encoder_outputs.get("source_ids"),
        )


class RnnSeq2SeqForConditionalGeneration(RnnSeq2SeqPreTrainedModel, SearchMixin, GenerationMixin):
    """The RNN encoder-decoder with its output layer: translation and every other text-to-text task."""

    def __init__(self, config: RnnSeq2SeqConfig):
        super().__init__(config)
        # labels are not shifted against the logits; transformers names that loss after masked language models
        self.loss_type = "ForMaskedLM"
        target_embedding = "model.decoder.embed_tokens.weight"
        self._tied_weights_keys = {}
        # CODEPATH: one matrix for all three (joint recipe), one for target and output (2-way), or none tied
        if config.share_encoder_decoder_embeddings:
            self._tied_weights_keys[target_embedding] = target_embedding = "model.encoder.embed_tokens.weight"
        if config.tie_word_embeddings:
            self._tied_weights_keys["lm_head.weight"] = target_embedding
        self.model = RnnSeq2SeqModel(config)
        self.lm_head = nn.Linear(config.readout_size, config.decoder_vocab_size)
        self.post_init()

    def get_encoder(self, modality: str | None = None) -> RnnSeq2SeqEncoder:
        return self.model.encoder

    def get_decoder(self) -> RnnSeq2SeqDecoder:
        return self.model.decoder

    def get_input_embeddings(self) -> nn.Embedding:
        return self.model.get_input_embeddings()

    def set_input_embeddings(self, value: nn.Embedding):
        self.model.set_input_embeddings(value)

    def get_output_embeddings(self) -> nn.Linear:
        return self.lm_head

    def set_output_embeddings(self, new_embeddings: nn.Linear):
        self.lm_head = new_embeddings

    def prepare_decoder_input_ids_from_labels(self, labels: torch.LongTensor) -> torch.LongTensor:
        """Target tokens shifted right: `decoder_start_token_id` in front, the last label dropped, -100 as padding.

        Args:
            labels (`torch.LongTensor` of shape `(B, T)`): target tokens, -100 where the loss looks away.

        Raises:
            ValueError: if the config has no `decoder_start_token_id` or no `pad_token_id`.
        """
        start, pad = self.config.decoder_start_token_id, self.config.pad_token_id
        if start is None or pad is None:
            raise ValueError(
                "`decoder_start_token_id` and `pad_token_id` of the config must be set to train, got "
                f"{start} and {pad}; take them from the target tokenizer (start: its `bos_token_id`)."
            )
        shifted = torch.cat([torch.full_like(labels[:, :1], start), labels[:, :-1]], dim=1)
        return shifted.masked_fill(shifted == -100, pad)

    @can_return_tuple
    def forward(
        self,
        input_ids: torch.LongTensor | None = None,
        attention_mask: torch.Tensor | None = None,
        decoder_input_ids: torch.LongTensor | None = None,
        decoder_attention_mask: torch.Tensor | None = None,
        encoder_outputs: RnnSeq2SeqEncoderOutput | tuple | None = None,
        past_key_values: RnnSeq2SeqCache | None = None,
        inputs_embeds: torch.Tensor | None = None,
        decoder_inputs_embeds: torch.Tensor | None = None,
        labels: torch.LongTensor | None = None,
        use_cache: bool | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        logits_to_keep: int | torch.Tensor = 0,
        num_items_in_batch: float | torch.Tensor | None = None,
        smoothing: float = 0.0,
        skip_logits: bool = False,
        **kwargs,
    ) -> Seq2SeqLMOutput:
        """Logits of every next target token, and the loss if `labels` are given.

        Args:
            labels (`torch.LongTensor` of shape `(B, T)`, *optional*): target tokens; -100 is ignored. Without
                `decoder_input_ids` they are shifted right to make them.
            logits_to_keep (`int`): compute logits of this many last positions only; 0 means all.
            num_items_in_batch (`float`, *optional*): number of labels of the whole optimizer step; divides the summed
                loss in place of this batch's own count, which makes gradient accumulation exact.
            smoothing (`float`): share of each target spread evenly over the vocabulary.
            skip_logits (`bool`): return the loss without logits (None), which is faster and needs less memory; needs
                `labels`.

        The other arguments are those of [`RnnSeq2SeqModel.forward`].

        Returns:
            `logits` of shape `(B, T, V)`, log-probabilities if the model copies; `loss` in nats per target token,
            in training the coverage loss included.

        Raises:
            ValueError: if `labels` and the decoder's input differ in shape, `skip_logits` comes without `labels`, or
                `smoothing` to a model whose `loss_function` has been replaced.
        """
        has_own_loss = "_loss_function" in vars(self)
        if skip_logits and labels is None:
            raise ValueError("`skip_logits=True` needs `labels` to compute a loss from, got none.")
        if smoothing and has_own_loss:
            raise ValueError(f"`smoothing` is for the model's own loss, got {smoothing}; let `loss_function` smooth.")
        if labels is not None:
            use_cache = False if use_cache is None else use_cache
            if decoder_input_ids is None and decoder_inputs_embeds is None:
                decoder_input_ids = self.prepare_decoder_input_ids_from_labels(labels)
        has_coverage_loss = labels is not None and self.training and self.config.coverage_loss_weight > 0
        if output_attentions is None:
            output_attentions = self.config.output_attentions
        outputs = self.model(
            input_ids=input_ids,
            attention_mask=attention_mask,
            decoder_input_ids=decoder_input_ids,
            decoder_attention_mask=decoder_attention_mask,
            encoder_outputs=encoder_outputs,
            past_key_values=past_key_values,
            inputs_embeds=inputs_embeds,
            decoder_inputs_embeds=decoder_inputs_embeds,
            use_cache=use_cache,
            output_attentions=output_attentions or has_coverage_loss or self.config.copy_attention,
            output_hidden_states=output_hidden_states,
        )
        features = outputs.last_hidden_state
        if labels is not None and labels.shape != features.shape[:2]:
            raise ValueError(
                f"`labels` must be of the shape of the decoder's input, {tuple(features.shape[:2])}, got "
                f"{tuple(labels.shape)}."
            )
        is_fused = skip_logits and not (has_own_loss or kwargs) and self._can_fuse_loss(features)
        logits = loss = None
        if not is_fused:
            kept = slice(-logits_to_keep, None) if isinstance(logits_to_keep, int) else logits_to_keep
            logits = self.lm_head(features[:, kept])
            # CODEPATH: see2017 copies; its logits are log-probabilities
            if self.config.copy_attention:
                weights = outputs.cross_attentions[0].mean(1)
                logits = mix_copies(logits, outputs.copy_gate[:, kept], weights[:, kept], outputs.source_ids)
        if labels is not None:
            num_items = (labels != -100).sum() if num_items_in_batch is None else num_items_in_batch
            if is_fused:
                loss = self._compute_loss_without_logits(features, labels, num_items, smoothing)
            elif smoothing:
                loss = summed_cross_entropy(logits, labels, smoothing) / num_items
            else:
                sizes = {"vocab_size": self.config.decoder_vocab_size, "num_items_in_batch": num_items}
                loss = self.loss_function(logits, labels, **sizes, **kwargs)
            # CODEPATH: see2017 is also taught not to look twice
            if has_coverage_loss:
                summed = summed_coverage_loss(outputs.cross_attentions[0], labels)
                loss = loss + self.config.coverage_loss_weight * summed / num_items
        return Seq2SeqLMOutput(
            loss=loss,
            logits=None if skip_logits else logits,
            past_key_values=outputs.past_key_values,
            decoder_hidden_states=outputs.decoder_hidden_states,
            cross_attentions=outputs.cross_attentions if output_attentions else None,
            encoder_last_hidden_state=outputs.encoder_last_hidden_state,
            encoder_hidden_states=outputs.encoder_hidden_states,
        )

    def _can_fuse_loss(self, features: torch.Tensor) -> bool:
        # CODEPATH: copying mixes in probabilities that no output layer has
        is_linear = is_as_built(self.lm_head, nn.Linear) and not self.config.copy_attention
        return is_linear and has_fast_paths(features)

    def _compute_loss_without_logits(self, features, labels, num_items, smoothing) -> torch.Tensor:
        places = (labels.flatten() != -100).nonzero()[:, 0]
        tensors = features.flatten(0, 1).index_select(0, places), self.lm_head.weight, self.lm_head.bias
        if not torch.is_grad_enabled():
            # a function is not told that nobody will ask for gradients
            tensors = (None if tensor is None else tensor.detach() for tensor in tensors)
        return LinearCrossEntropy.apply(
            *tensors,
            labels.flatten()[places],
            float(num_items),
            smoothing,
            compute_dtype(features),
        )


__all__ = [
    "RnnSeq2SeqEncoderOutput",
    "RnnSeq2SeqForConditionalGeneration",
    "RnnSeq2SeqModel",
    "RnnSeq2SeqPreTrainedModel",
]
