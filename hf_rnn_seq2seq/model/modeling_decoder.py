"""The decoder: target tokens, recurrence and attention, up to the features before the output layer."""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import nn
from transformers.modeling_outputs import BaseModelOutputWithPastAndCrossAttentions
from transformers.utils.generic import can_return_tuple

from .configuration_rnn_seq2seq import RnnSeq2SeqConfig
from .modeling_attention import (
    AdditiveAttention,
    DotAttention,
    FixedContext,
    GeneralAttention,
    Memory,
    MultiHeadDotAttention,
)
from .modeling_bridge import Bridge
from .modeling_cache import RnnSeq2SeqCache
from .modeling_deferral import defer_weight_gradients
from .modeling_dropout import SequenceDropout, WordDropout
from .modeling_embedding import ScaledEmbedding, embed
from .modeling_encoder import RnnSeq2SeqEncoderOutput
from .modeling_pretrained import RnnSeq2SeqPreTrainedModel
from .modeling_readout import Readout
from .modeling_recurrence import ConditionalLayer, State, build_recurrent_layer


@dataclass
class RnnSeq2SeqDecoderOutput(BaseModelOutputWithPastAndCrossAttentions):
    """As its base, and what copying needs.

    Attributes:
        copy_gate (`torch.Tensor` of shape `(B, T, 1)`, *optional*): logit of generating rather than copying.
    """

    copy_gate: torch.Tensor | None = None


class Written(NamedTuple):
    """What T decoder steps leave behind; shapes as in the decoder's docstrings."""

    features: torch.Tensor
    context: torch.Tensor | None
    weights: torch.Tensor | None
    layer_outputs: list[torch.Tensor]
    states: list[State]
    feed: torch.Tensor | None
    past_weights: torch.Tensor | None


class RnnSeq2SeqDecoder(RnnSeq2SeqPreTrainedModel):
    """Writes the target: embeddings, recurrence and attention, up to the features before the output layer."""

    _tied_weights_keys = {}

    def __init__(self, config: RnnSeq2SeqConfig):
        super().__init__(config)
        self.embed_tokens = ScaledEmbedding.from_config(
            config, config.decoder_vocab_size, config.decoder_embedding_size
        )
        self.layers = nn.ModuleList(_build_layer(config, index) for index in range(config.num_decoder_layers))
        half = config.bridge_input in ("forward", "backward")
        self.bridge = Bridge(
            bridge_type=config.bridge_type,
            input_size=config.memory_size // 2 if half else config.memory_size,
            hidden_size=config.decoder_hidden_size,
            num_layers=config.num_decoder_layers,
            has_cell=config.cell_type == "lstm",
            cell_from_hidden=config.bridge_cell == "hidden",
        )
        self.attention = _build_attention(config)
        self.readout = Readout(
            readout_type=config.readout_type,
            part_sizes=config.readout_part_sizes(),
            readout_size=config.readout_size,
        )
        # of context, state and embedding (See et al. 2017, equation 8)
        gate_size = config.memory_size + config.decoder_hidden_size + config.decoder_embedding_size
        # CODEPATH: see2017 copies source tokens
        self.copy_gate = nn.Linear(gate_size, 1) if config.copy_attention else None
        self.word_dropout = WordDropout(config.target_word_dropout)
        self.embedding_dropout = SequenceDropout(config.embedding_dropout, per_sequence=config.variational_dropout)
        self.layer_dropout = SequenceDropout(config.layer_dropout, per_sequence=config.variational_dropout)
        self.output_dropout = SequenceDropout(config.output_dropout, per_sequence=config.variational_dropout)
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
    ) -> RnnSeq2SeqDecoderOutput:
        """Decode T target tokens, from the start or from where a cache stands.

        Args:
            input_ids (`torch.LongTensor` of shape `(B, T)`): target tokens, shifted right.
            encoder_outputs (`RnnSeq2SeqEncoderOutput`): what the encoder returned for the B sources.
            encoder_attention_mask (`torch.Tensor` of shape `(B, S)`, *optional*): 1 where a source token stands.
            past_key_values (`RnnSeq2SeqCache`, *optional*): state after earlier target tokens.
            inputs_embeds (`torch.Tensor` of shape `(B, T, E)`, *optional*): embeddings in place of `input_ids`.
            use_cache (`bool`, *optional*): return the state for the next call.
            output_attentions (`bool`, *optional*): return the attention weights, `(B, N, T, S)` for N heads; None
                without attention.
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
        embeds = embed(self.embed_tokens, input_ids, inputs_embeds, name="decoder_")
        mask = encoder_outputs.get("memory_mask")
        if mask is None and encoder_attention_mask is not None:
            mask = encoder_attention_mask.bool()
        cache = self._check_cache(past_key_values)
        feed = past_weights = None
        if cache is not None and cache.is_initialized:
            states, feed, past_weights = cache.states, cache.feed, cache.past_weights
            memory = None if cache.memory is None else Memory(*cache.memory, mask)
        else:
            memory = self.project_memory(encoder_outputs, mask)
            states = self.start_states(encoder_outputs, memory, mask)

        inputs = self.embedding_dropout(self.word_dropout(embeds))
        # CODEPATH: luong, gnmt and all without attention read the whole target at once; the others need the context
        # of a step within it or for the next
        is_at_once = config.decoder_type in ("luong", "gnmt") or config.attention_type == "none"
        if is_at_once:
            written = self._write_at_once(inputs, states, feed, past_weights, memory)
        else:
            # CODEPATH: a checkpointed attention is run again behind the back of a deferral
            may_defer = not self.attention.gradient_checkpointing
            with defer_weight_gradients(inputs, inputs.shape[1] if may_defer else 1):
                written = self._write_step_by_step(inputs, states, feed, past_weights, memory)
        if use_cache:
            cache = RnnSeq2SeqCache() if cache is None else cache
            cache.update(
                written.states,
                feed=written.feed,
                past_weights=written.past_weights,
                memory=None if memory is None else (memory.keys, memory.values),
                num_new_tokens=embeds.shape[1],
            )
        copy_gate = None
        if self.copy_gate is not None:
            copy_gate = self.copy_gate(torch.cat([written.context, written.layer_outputs[-1], inputs], dim=-1))
        return RnnSeq2SeqDecoderOutput(
            last_hidden_state=written.features,
            past_key_values=cache if use_cache else None,
            hidden_states=(embeds, *written.layer_outputs) if output_hidden_states else None,
            cross_attentions=(written.weights,) if output_attentions and written.weights is not None else None,
            copy_gate=copy_gate,
        )

    def _write_at_once(self, embeds, states, feed, past_weights, memory) -> Written:
        """Attention after the recurrence, or after its first layer: each layer is one call over all T steps."""
        is_gnmt, top = self.config.decoder_type == "gnmt", len(self.layers) - 1
        outputs, context, weights, layer_outputs, new_states = embeds, None, None, [], []
        # CODEPATH: cho2014 has one context for all steps
        if isinstance(self.attention, FixedContext):
            context, _, _ = self.attention(embeds, *memory)
        for index, layer in enumerate(self.layers):
            inputs = self.layer_dropout(outputs) if index else outputs
            is_reading = is_gnmt if index else context is not None
            inputs = torch.cat([inputs, context], dim=-1) if is_reading else inputs
            read, *state = layer(inputs, *states[index])
            # CODEPATH: gnmt2016 and rnmt_plus2018, from the third layer
            outputs = read + outputs if self.config.is_residual(index) else read
            layer_outputs.append(outputs)
            new_states.append(tuple(state))
            # CODEPATH: gnmt asks with the output of its first layer, luong with that of the top
            if memory is not None and context is None and index == (0 if is_gnmt else top):
                context, weights, past_weights = self.attention(outputs, *memory, past_weights)
        features = self.output_dropout(self.read_out(context, outputs, embeds))
        return Written(features, context, weights, layer_outputs, new_states, None, past_weights)

    def _write_step_by_step(self, embeds, states, feed, past_weights, memory) -> Written:
        """Attention inside the recurrence: whatever does not depend on the step is computed before or after it."""
        config, first = self.config, self.layers[0]
        kind, (batch_size, num_steps, width) = config.decoder_type, embeds.shape
        # cut at once: the gradient of a single cut is as wide as all of them
        projected_embeds = first.project_inputs(embeds).unbind(1)
        if kind == "input_feeding" and feed is None:
            feed = embeds.new_zeros(batch_size, config.readout_size)
        # cut, and under autocast cast, once for all steps
        extra_weight = None if kind == "conditional" else first.weight_after(width).to(projected_embeds[0].dtype)
        drop_layer = self.layer_dropout
        dropped = [drop_layer.draw(embeds, num_steps, config.decoder_hidden_size) for _ in self.layers[1:]]
        dropped_features = self.output_dropout.draw(embeds, num_steps, config.readout_size)
        contexts, weights, step_features, layer_outputs = [], [], [], [[] for _ in self.layers]
        for step in range(num_steps):
            projected, new_states = projected_embeds[step], []
            # CODEPATH: bahdanau asks with the state before the step, conditional with that of the first cell,
            # input_feeding with the top state after the step
            if kind == "bahdanau":
                query = states[-1][0]
                context, step_weights, past_weights = self.attention(query[:, None], *memory, past_weights)
            if kind != "conditional":
                extra = feed if kind == "input_feeding" else context[:, 0]
                projected = projected + nn.functional.linear(extra, extra_weight)
            outputs, state = first.step(projected, states[0])
            if kind == "conditional":
                context, step_weights, past_weights = self.attention(outputs[:, None], *memory, past_weights)
                outputs, state = first.read_context(context[:, 0], state)
            new_states.append(state)
            layer_outputs[0].append(outputs)
            for index, layer in enumerate(self.layers[1:], start=1):
                mask = dropped[index - 1]
                inputs = outputs if mask is None else outputs * mask[:, step]
                read, state = layer.step(layer.project_inputs(inputs), states[index])
                # CODEPATH: gnmt2016 and rnmt_plus2018, from the third layer
                outputs = read + outputs if self.config.is_residual(index) else read
                new_states.append(state)
                layer_outputs[index].append(outputs)
            states = new_states
            if kind == "input_feeding":
                context, step_weights, past_weights = self.attention(outputs[:, None], *memory, past_weights)
                feed = self.read_out(context[:, 0], outputs, None)
                feed = feed if dropped_features is None else feed * dropped_features[:, step]
                step_features.append(feed)
            contexts.append(context)
            weights.append(step_weights)
        layer_outputs = [torch.stack(steps, dim=1) for steps in layer_outputs]
        context = torch.cat(contexts, dim=1)
        if kind == "input_feeding":
            features = torch.stack(step_features, dim=1)
        else:
            features = self.read_out(context, layer_outputs[-1], embeds)
            features = features if dropped_features is None else features * dropped_features
        return Written(features, context, torch.cat(weights, dim=2), layer_outputs, states, feed, past_weights)

    def read_out(self, context, state, embeds) -> torch.Tensor:
        """Features from those parts that this model's readout reads."""
        # CODEPATH: the deep output of bahdanau2015, cho2014 and nematus2017 reads the embedding too; gnmt2016 and
        # sutskever2014 read the state alone
        if self.config.readout_type == "state" or self.config.context_size == 0:
            parts = [state]
        else:
            has_embedding = self.config.decoder_type in ("bahdanau", "conditional")
            parts = [context, state, embeds] if has_embedding else [context, state]
        return self.readout(*parts)

    def project_memory(self, encoder_outputs: RnnSeq2SeqEncoderOutput, mask: torch.Tensor | None) -> Memory | None:
        """What the decoder reads of a source in every step; None if it reads nothing."""
        if self.attention is None:
            return None
        if isinstance(self.attention, FixedContext):
            return self.attention.project_memory(self._finals(encoder_outputs)[0][:, -1:])
        return self.attention.project_memory(encoder_outputs.last_hidden_state, mask)

    def start_states(
        self, encoder_outputs: RnnSeq2SeqEncoderOutput, memory: Memory | None, mask: torch.Tensor | None
    ) -> list[State]:
        """Start state of every layer."""
        # CODEPATH: nematus2017 starts from the mean of the memory, cho2014 from its fixed context, bahdanau2015 from
        # the backward direction, most from the final state
        if self.config.bridge_input == "mean":
            return self.bridge(_mean(encoder_outputs.last_hidden_state, mask)[:, None], None)
        hidden, cell = self._finals(encoder_outputs)
        if isinstance(self.attention, FixedContext) and self.bridge.hidden_proj is not None:
            hidden = memory.values[:, 0]
        # CODEPATH: bahdanau2015 takes the backward half, JoeyNMT's models the forward half
        if self.config.bridge_input in ("forward", "backward"):
            # CODEPATH: as above
            half = 0 if self.config.bridge_input == "forward" else 1
            hidden = hidden.chunk(2, dim=-1)[half]
            cell = None if cell is None else cell.chunk(2, dim=-1)[half]
        return self.bridge(hidden, cell)

    def _finals(self, encoder_outputs: RnnSeq2SeqEncoderOutput) -> tuple[torch.Tensor, torch.Tensor | None]:
        final_hidden, final_cell = encoder_outputs.get("final_hidden"), encoder_outputs.get("final_cell")
        if final_hidden is None or (self.bridge.needs_cell and final_cell is None):
            raise ValueError(
                "`encoder_outputs` must carry the encoder's final states besides the memory, got only "
                f"{list(encoder_outputs.keys())}; pass what `model.get_encoder()(...)` returned."
            )
        return final_hidden, final_cell

    def _check_cache(self, past_key_values) -> RnnSeq2SeqCache | None:
        # by name: a model loaded from a folder with its code has its own copy of the class
        if past_key_values is not None and type(past_key_values).__name__ != RnnSeq2SeqCache.__name__:
            raise ValueError(
                f"`past_key_values` must be a `RnnSeq2SeqCache`, got {type(past_key_values).__name__}; leave it out "
                "to start a new target."
            )
        return past_key_values


def _build_layer(config: RnnSeq2SeqConfig, index: int) -> nn.Module:
    sizes = {
        "cell_type": config.cell_type,
        "hidden_size": config.decoder_hidden_size,
        "layer_norm": config.layer_norm,
    }
    embedding_size, context_size = config.decoder_embedding_size, config.memory_size
    # CODEPATH: what the first layer reads besides the embedding: nothing (luong, gnmt), the attentional vector of the
    # step before (input_feeding), or the context (bahdanau; conditional in a cell of its own)
    if index == 0 and config.decoder_type == "conditional":
        return ConditionalLayer(
            input_size=embedding_size,
            context_size=context_size,
            num_transitions=config.decoder_transitions,
            **sizes,
        )
    extra = {"input_feeding": config.readout_size, "bahdanau": context_size}
    if index == 0:
        return build_recurrent_layer(input_size=embedding_size + extra.get(config.decoder_type, 0), **sizes)
    # CODEPATH: the layers above read the one below, gnmt's also the context
    extra_size = context_size if config.decoder_type == "gnmt" else 0
    return build_recurrent_layer(input_size=config.decoder_hidden_size + extra_size, **sizes)


def _build_attention(config: RnnSeq2SeqConfig) -> nn.Module | None:
    kind, heads = config.attention_type, config.num_attention_heads
    # CODEPATH: sutskever2014 has none, cho2014 a fixed context
    if kind == "none":
        # CODEPATH: as above
        return FixedContext(memory_size=config.memory_size) if config.context_size else None
    sizes = {
        "query_size": config.decoder_hidden_size,
        "memory_size": config.memory_size,
        "num_heads": heads,
        "window": config.local_attention_window,
    }
    # CODEPATH: general is the default recipe's and luong2015's, dot Luong's smallest, additive everybody else's
    if kind.endswith("additive"):
        return AdditiveAttention(
            **sizes,
            attention_size=config.attention_size,
            normalized=kind == "normalized_additive",
            feedback=config.attention_feedback,
            location_channels=config.location_channels,
            location_kernel_size=config.location_kernel_size,
        )
    summed = config.attention_size // heads if heads > 1 else config.decoder_hidden_size
    # CODEPATH: scaled in models trained here, unscaled in those of papers and older toolkits
    scale = summed**-0.5 if config.scale_attention else 1.0
    if heads > 1:
        return MultiHeadDotAttention(**sizes, attention_size=config.attention_size, scale=scale)
    return {"general": GeneralAttention, "dot": DotAttention}[kind](**sizes, scale=scale)


def _mean(memory: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
    """Mean of the memory `(B, S, M)` over real tokens, 0 where there is none."""
    if mask is None:
        return memory.mean(1)
    return (memory * mask[:, :, None]).sum(1) / mask.sum(1, keepdim=True).clamp(min=1)


__all__ = ["RnnSeq2SeqDecoder", "RnnSeq2SeqDecoderOutput"]
