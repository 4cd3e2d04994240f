"""The RNN encoder-decoder with attention as a transformers model: encoder, decoder, model, output layer."""

from dataclasses import dataclass

import torch
from torch import nn
from transformers.generation import GenerationMixin
from transformers.modeling_outputs import (
    BaseModelOutputWithPastAndCrossAttentions,
    ModelOutput,
    Seq2SeqLMOutput,
    Seq2SeqModelOutput,
)
from transformers.utils.generic import can_return_tuple

from .configuration_rnn_seq2seq import RnnSeq2SeqConfig
from .modeling_attention import AdditiveAttention, DotAttention, GeneralAttention
from .modeling_bridge import Bridge
from .modeling_cache import RnnSeq2SeqCache
from .modeling_embedding import ScaledEmbedding
from .modeling_padding import RightPadding
from .modeling_pretrained import RnnSeq2SeqPreTrainedModel
from .modeling_readout import Readout
from .modeling_recurrence import RecurrentLayer, State


@dataclass
class RnnSeq2SeqEncoderOutput(ModelOutput):
    """What the encoder hands to the decoder. Every tensor is batch-first, so that `generate` can expand it.

    Attributes:
        last_hidden_state (`torch.Tensor` of shape `(B, S, M)`): the memory, 0 on padding.
        final_hidden (`torch.Tensor` of shape `(B, L, M)`): hidden state of each layer after its last source token;
            the backward direction's last token is the first of the sentence.
        final_cell (`torch.Tensor` of shape `(B, L, M)`, *optional*): cell of each layer there (LSTM).
        hidden_states (`tuple` of `torch.Tensor`, *optional*): embeddings `(B, S, E)` and each layer's outputs
            `(B, S, M)`.
    """

    last_hidden_state: torch.Tensor | None = None
    final_hidden: torch.Tensor | None = None
    final_cell: torch.Tensor | None = None
    hidden_states: tuple[torch.Tensor, ...] | None = None


class RnnSeq2SeqEncoder(RnnSeq2SeqPreTrainedModel):
    """Reads the source into a memory: one annotation per source token, exact under padding on either side."""

    _tied_weights_keys = {}

    def __init__(self, config: RnnSeq2SeqConfig):
        super().__init__(config)
        self.embed_tokens = _build_embedding(config, config.vocab_size)
        self.layers = nn.ModuleList(
            RecurrentLayer(
                cell_type=config.cell_type,
                input_size=config.memory_size if index else config.embedding_size,
                hidden_size=config.encoder_hidden_size,
                bidirectional=config.bidirectional,
            )
            for index in range(config.num_encoder_layers)
        )
        self.embedding_dropout = nn.Dropout(config.embedding_dropout)
        self.layer_dropout = nn.Dropout(config.layer_dropout)
        self.post_init()

    @can_return_tuple
    def forward(
        self,
        input_ids: torch.LongTensor | None = None,
        attention_mask: torch.Tensor | None = None,
        inputs_embeds: torch.Tensor | None = None,
        output_hidden_states: bool | None = None,
        **kwargs,
    ) -> RnnSeq2SeqEncoderOutput:
        """Encode source sentences.

        Args:
            input_ids (`torch.LongTensor` of shape `(B, S)`): source tokens.
            attention_mask (`torch.Tensor` of shape `(B, S)`, *optional*): 1 where a token stands, 0 on padding, on
                either side; every position counts as a token if not given.
            inputs_embeds (`torch.Tensor` of shape `(B, S, E)`, *optional*): embeddings in place of `input_ids`.
            output_hidden_states (`bool`, *optional*): also return the outputs of every layer.
        """
        embeds = _embed(self.embed_tokens, input_ids, inputs_embeds, name="")
        if attention_mask is not None and attention_mask.shape != embeds.shape[:2]:
            raise ValueError(
                f"`attention_mask` must have a value for each of {tuple(embeds.shape[:2])} source positions, got "
                f"shape {tuple(attention_mask.shape)}."
            )
        if output_hidden_states is None:
            output_hidden_states = self.config.output_hidden_states
        padding = None if attention_mask is None else RightPadding(attention_mask)
        hidden_states = [embeds]
        outputs = self.embedding_dropout(embeds)
        outputs = outputs if padding is None else padding.to_front(outputs)
        finals = []
        for layer in self.layers:
            outputs, final = layer(outputs, lengths=None if padding is None else padding.lengths)
            if padding is not None:
                outputs = padding.clear_empty_rows(outputs)
                final = tuple(padding.clear_empty_rows(tensor) for tensor in final)
            finals.append(final)
            if output_hidden_states:
                hidden_states.append(outputs if padding is None else padding.to_place(outputs))
            outputs = self.layer_dropout(outputs)
        final_hidden, *final_cell = (torch.stack(tensors, dim=1) for tensors in zip(*finals, strict=True))
        return RnnSeq2SeqEncoderOutput(
            last_hidden_state=outputs if padding is None else padding.to_place(outputs),
            final_hidden=final_hidden,
            final_cell=final_cell[0] if final_cell else None,
            hidden_states=tuple(hidden_states) if output_hidden_states else None,
        )


class RnnSeq2SeqDecoder(RnnSeq2SeqPreTrainedModel):
    """Writes the target: embeddings, recurrence and attention, up to the features before the output layer."""

    _tied_weights_keys = {}

    def __init__(self, config: RnnSeq2SeqConfig):
        super().__init__(config)
        self.embed_tokens = _build_embedding(config, config.decoder_vocab_size)
        # CODEPATH: what the first layer reads besides the embedding: nothing (luong), the attentional vector of the
        # step before (input_feeding), or the context (bahdanau)
        extra_size = {"luong": 0, "input_feeding": config.readout_size, "bahdanau": config.memory_size}
        hidden_size = config.decoder_hidden_size
        self.layers = nn.ModuleList(
            RecurrentLayer(
                cell_type=config.cell_type,
                input_size=hidden_size if index else config.embedding_size + extra_size[config.decoder_type],
                hidden_size=hidden_size,
            )
            for index in range(config.num_decoder_layers)
        )
        self.bridge = Bridge(
            memory_size=config.memory_size,
            hidden_size=hidden_size,
            num_layers=config.num_decoder_layers,
            has_cell=config.cell_type == "lstm",
        )
        self.attention = _build_attention(config)
        part_sizes = [config.memory_size, hidden_size]
        # CODEPATH: the deep output of bahdanau also sees the previous target embedding, luong's does not
        if config.decoder_type == "bahdanau":
            part_sizes.append(config.embedding_size)
        self.readout = Readout(part_sizes=part_sizes, readout_size=config.readout_size)
        self.embedding_dropout = nn.Dropout(config.embedding_dropout)
        self.layer_dropout = nn.Dropout(config.layer_dropout)
        self.output_dropout = nn.Dropout(config.output_dropout)
        self.post_init()

    @can_return_tuple
    def forward(
        self,
        input_ids: torch.LongTensor | None = None,
        encoder_outputs: RnnSeq2SeqEncoderOutput | None = None,
        encoder_attention_mask: torch.Tensor | None = None,
        past_key_values: RnnSeq2SeqCache | None = None,
        inputs_embeds: torch.Tensor | None = None,
        use_cache: bool | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        **kwargs,
    ) -> BaseModelOutputWithPastAndCrossAttentions:
        """Decode T target tokens, from the start or from where a cache stands.

        Args:
            input_ids (`torch.LongTensor` of shape `(B, T)`): target tokens, shifted right.
            encoder_outputs (`RnnSeq2SeqEncoderOutput`): what the encoder returned for the B sources.
            encoder_attention_mask (`torch.Tensor` of shape `(B, S)`, *optional*): 1 where a source token stands.
            past_key_values (`RnnSeq2SeqCache`, *optional*): state after earlier target tokens.
            inputs_embeds (`torch.Tensor` of shape `(B, T, E)`, *optional*): embeddings in place of `input_ids`.
            use_cache (`bool`, *optional*): return the state for the next call.
            output_attentions (`bool`, *optional*): return the attention weights, `(B, 1, T, S)`.
            output_hidden_states (`bool`, *optional*): return embeddings `(B, T, E)` and layer outputs `(B, T, H)`.

        Returns:
            `last_hidden_state` are the features of shape `(B, T, R)` that the output layer reads.
        """
        config = self.config
        use_cache = config.use_cache if use_cache is None else use_cache
        if output_attentions is None:
            output_attentions = config.output_attentions
        if output_hidden_states is None:
            output_hidden_states = config.output_hidden_states
        embeds = _embed(self.embed_tokens, input_ids, inputs_embeds, name="decoder_")
        memory = encoder_outputs.last_hidden_state
        memory_mask = None if encoder_attention_mask is None else encoder_attention_mask.bool()
        cache = self._check_cache(past_key_values)
        if cache is not None and cache.is_initialized:
            states, feed, keys = cache.states, cache.feed, cache.keys
        else:
            states, feed = self._start_states(encoder_outputs), None
            keys = self.attention.project_memory(memory)

        # CODEPATH: luong reads the whole target at once; the two others need the context of the step before
        decode = self._decode_at_once if config.decoder_type == "luong" else self._decode_step_by_step
        features, weights, layer_outputs, states, feed = decode(
            self.embedding_dropout(embeds), states, feed, memory, keys, memory_mask
        )
        if use_cache:
            cache = RnnSeq2SeqCache() if cache is None else cache
            cache.update(states, feed=feed, keys=keys, num_new_tokens=embeds.shape[1])
        return BaseModelOutputWithPastAndCrossAttentions(
            last_hidden_state=features,
            past_key_values=cache if use_cache else None,
            hidden_states=(embeds, *layer_outputs) if output_hidden_states else None,
            cross_attentions=(weights[:, None],) if output_attentions else None,
        )

    def _decode_at_once(self, embeds, states, feed, memory, keys, memory_mask):
        """Attention after the recurrence: each layer is one call over all T steps, then attention is one product."""
        outputs, layer_outputs, new_states = embeds, [], []
        for index, layer in enumerate(self.layers):
            outputs, state = layer(self.layer_dropout(outputs) if index else outputs, states[index])
            layer_outputs.append(outputs)
            new_states.append(state)
        context, weights = self.attention(outputs, memory, keys, memory_mask)
        features = self.output_dropout(self.readout(context, outputs))
        return features, weights, layer_outputs, new_states, None

    def _decode_step_by_step(self, embeds, states, feed, memory, keys, memory_mask):
        """Attention inside the recurrence: whatever does not depend on the step is computed before or after it."""
        is_input_feeding = self.config.decoder_type == "input_feeding"
        projected_embeds = self.layers[0].project_inputs(embeds)
        # cut, and under autocast cast, once for all steps
        extra_weight = self.layers[0].weight_after(embeds.shape[-1]).to(projected_embeds.dtype)
        if is_input_feeding and feed is None:
            feed = embeds.new_zeros(embeds.shape[0], self.config.readout_size)
        contexts, weights, step_features, layer_outputs = [], [], [], [[] for _ in self.layers]
        for projected in projected_embeds.unbind(1):
            if not is_input_feeding:
                # the query is the state before the step
                context, step_weights = self.attention(states[-1][0][:, None], memory, keys, memory_mask)
            extra = feed if is_input_feeding else context[:, 0]
            projected = projected + nn.functional.linear(extra, extra_weight)
            outputs, state = self.layers[0].step(projected, states[0])
            new_states = [state]
            layer_outputs[0].append(outputs)
            for index, layer in enumerate(self.layers[1:], start=1):
                outputs, state = layer.step(layer.project_inputs(self.layer_dropout(outputs)), states[index])
                new_states.append(state)
                layer_outputs[index].append(outputs)
            states = new_states
            if is_input_feeding:
                context, step_weights = self.attention(outputs[:, None], memory, keys, memory_mask)
                feed = self.output_dropout(self.readout(context[:, 0], outputs))
                step_features.append(feed)
            contexts.append(context)
            weights.append(step_weights)
        layer_outputs = [torch.stack(steps, dim=1) for steps in layer_outputs]
        if is_input_feeding:
            features = torch.stack(step_features, dim=1)
        else:
            features = self.output_dropout(self.readout(torch.cat(contexts, dim=1), layer_outputs[-1], embeds))
        return features, torch.cat(weights, dim=1), layer_outputs, states, feed

    def _start_states(self, encoder_outputs: RnnSeq2SeqEncoderOutput) -> list[State]:
        final_hidden, final_cell = encoder_outputs.get("final_hidden"), encoder_outputs.get("final_cell")
        if final_hidden is None or (self.bridge.cell_proj is not None and final_cell is None):
            raise ValueError(
                "`encoder_outputs` must carry the encoder's final states besides the memory, got only "
                f"{list(encoder_outputs.keys())}; pass what `model.get_encoder()(...)` returned."
            )
        return self.bridge(final_hidden, final_cell)

    def _check_cache(self, past_key_values) -> RnnSeq2SeqCache | None:
        # by name: a model loaded from a folder with its code has its own copy of the class
        if past_key_values is not None and type(past_key_values).__name__ != RnnSeq2SeqCache.__name__:
            raise ValueError(
                f"`past_key_values` must be a `RnnSeq2SeqCache`, got {type(past_key_values).__name__}; leave it out "
                "to start a new target."
            )
        return past_key_values


def _build_embedding(config: RnnSeq2SeqConfig, num_tokens: int) -> ScaledEmbedding:
    # CODEPATH: scaled in models trained here, unscaled in those of older toolkits
    scale = config.embedding_size**0.5 if config.scale_embedding else 1.0
    return ScaledEmbedding(num_tokens, config.embedding_size, config.pad_token_id, scale=scale)


def _embed(embed_tokens: nn.Embedding, ids, embeds, *, name: str) -> torch.Tensor:
    """Exactly one of token ids and embeddings, as embeddings; `name` is `""` or `"decoder_"` for messages."""
    names = f"`{name}input_ids` and `{name}inputs_embeds`"
    if (ids is None) == (embeds is None):
        raise ValueError(f"Exactly one of {names} must be given, got {'neither' if ids is None else 'both'}.")
    if embeds is None:
        try:
            embeds = embed_tokens(ids)
        except IndexError as error:
            raise ValueError(
                f"`{name}input_ids` must lie between 0 and {embed_tokens.num_embeddings - 1}, got {int(ids.min())} to "
                f"{int(ids.max())}; use the tokenizer that was saved with the model."
            ) from error
    if embeds.shape[1] == 0:
        raise ValueError(f"{names} must hold at least one position, got shape {tuple(embeds.shape[:2])}.")
    return embeds


def _build_attention(config: RnnSeq2SeqConfig) -> nn.Module:
    sizes = {"query_size": config.decoder_hidden_size, "memory_size": config.memory_size}
    # CODEPATH: general is the default recipe's, additive Bahdanau's, dot Luong's smallest
    if config.attention_type == "additive":
        return AdditiveAttention(**sizes, attention_size=config.attention_size)
    # CODEPATH: scaled in models trained here, unscaled in those of older toolkits
    scale = config.decoder_hidden_size**-0.5 if config.scale_attention else 1.0
    return {"general": GeneralAttention, "dot": DotAttention}[config.attention_type](**sizes, scale=scale)


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
        # CODEPATH: lstm has a cell, gru none
        cell = ["final_cell"] if self.config.cell_type == "lstm" else []
        names = ["last_hidden_state", "final_hidden", *cell, "hidden_states"]
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
    ) -> Seq2SeqModelOutput:
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
            output_attentions (`bool`, *optional*): return `cross_attentions`, one tensor `(B, 1, T, S)`.
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
        return Seq2SeqModelOutput(
            last_hidden_state=decoder_outputs.last_hidden_state,
            past_key_values=decoder_outputs.past_key_values,
            decoder_hidden_states=decoder_outputs.hidden_states,
            cross_attentions=decoder_outputs.cross_attentions,
            encoder_last_hidden_state=encoder_outputs.last_hidden_state,
            encoder_hidden_states=encoder_outputs.get("hidden_states"),
        )


class RnnSeq2SeqForConditionalGeneration(RnnSeq2SeqPreTrainedModel, GenerationMixin):
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
        **kwargs,
    ) -> Seq2SeqLMOutput:
        """Logits of every next target token, and the loss if `labels` are given.

        Args:
            labels (`torch.LongTensor` of shape `(B, T)`, *optional*): target tokens; -100 is ignored. Without
                `decoder_input_ids` they are shifted right to make them.
            logits_to_keep (`int`): compute logits of this many last positions only; 0 means all.
            kwargs: `num_items_in_batch` (number of labels of the whole optimizer step) divides the summed loss in
                place of this batch's own count, which makes gradient accumulation exact.

        The other arguments are those of [`RnnSeq2SeqModel.forward`].

        Returns:
            `logits` of shape `(B, T, V)`; `loss` in nats per target token.
        """
        if labels is not None:
            use_cache = False if use_cache is None else use_cache
            if decoder_input_ids is None and decoder_inputs_embeds is None:
                decoder_input_ids = self.prepare_decoder_input_ids_from_labels(labels)
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
            output_attentions=output_attentions,
            output_hidden_states=output_hidden_states,
        )
        kept = slice(-logits_to_keep, None) if isinstance(logits_to_keep, int) else logits_to_keep
        logits = self.lm_head(outputs.last_hidden_state[:, kept])
        loss = None
        if labels is not None:
            loss = self.loss_function(logits, labels, vocab_size=self.config.decoder_vocab_size, **kwargs)
        return Seq2SeqLMOutput(
            loss=loss,
            logits=logits,
            past_key_values=outputs.past_key_values,
            decoder_hidden_states=outputs.decoder_hidden_states,
            cross_attentions=outputs.cross_attentions,
            encoder_last_hidden_state=outputs.encoder_last_hidden_state,
            encoder_hidden_states=outputs.encoder_hidden_states,
        )


__all__ = [
    "RnnSeq2SeqEncoderOutput",
    "RnnSeq2SeqForConditionalGeneration",
    "RnnSeq2SeqModel",
    "RnnSeq2SeqPreTrainedModel",
]
