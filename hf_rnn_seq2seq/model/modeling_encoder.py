"""The encoder: source tokens, or frames, into a memory."""

from dataclasses import dataclass

import torch
from torch import nn
from transformers.modeling_outputs import ModelOutput
from transformers.utils.generic import can_return_tuple

from .configuration_rnn_seq2seq import RnnSeq2SeqConfig
from .modeling_dropout import SequenceDropout, WordDropout
from .modeling_embedding import ScaledEmbedding, embed
from .modeling_padding import RightPadding, join_neighbours
from .modeling_pretrained import RnnSeq2SeqPreTrainedModel
from .modeling_recurrence import build_recurrent_layer


@dataclass
class RnnSeq2SeqEncoderOutput(ModelOutput):
    """What the encoder hands to the decoder. Every tensor is batch-first, so that `generate` can expand it.

    Attributes:
        last_hidden_state (`torch.Tensor` of shape `(B, S, M)`): the memory, 0 on padding; with `encoder_stride` S is
            shorter than the source.
        final_hidden (`torch.Tensor` of shape `(B, L, M)`): hidden state of each layer after its last source token;
            the backward direction's last token is the first of the sentence. Only the top layer (L = 1) where layers
            differ in width.
        final_cell (`torch.Tensor` of shape `(B, L, M)`, *optional*): cell of each layer there (LSTM).
        memory_mask (`torch.BoolTensor` of shape `(B, S)`, *optional*): True where the memory holds something, where
            that is not what the attention mask of the source says (`encoder_stride`).
        source_ids (`torch.LongTensor` of shape `(B, S)`, *optional*): source tokens, to copy from.
        hidden_states (`tuple` of `torch.Tensor`, *optional*): embeddings `(B, S, E)` and each layer's outputs
            `(B, S, M)`.
    """

    last_hidden_state: torch.Tensor | None = None
    final_hidden: torch.Tensor | None = None
    final_cell: torch.Tensor | None = None
    memory_mask: torch.Tensor | None = None
    source_ids: torch.Tensor | None = None
    hidden_states: tuple[torch.Tensor, ...] | None = None


class RnnSeq2SeqEncoder(RnnSeq2SeqPreTrainedModel):
    """Reads the source into a memory: one annotation per source token, exact under padding on either side."""

    _tied_weights_keys = {}

    def __init__(self, config: RnnSeq2SeqConfig):
        super().__init__(config)
        self.embed_tokens = ScaledEmbedding.from_config(config, config.vocab_size, config.embedding_size)
        self.layers = nn.ModuleList(
            build_recurrent_layer(
                cell_type=config.cell_type,
                input_size=config.encoder_stride * config.encoder_output_size(index - 1)
                if index
                else config.embedding_size,
                hidden_size=config.encoder_hidden_size,
                bidirectional=config.is_bidirectional(index),
                layer_norm=config.layer_norm,
                num_transitions=config.encoder_transitions,
            )
            for index in range(config.num_encoder_layers)
        )
        self.word_dropout = WordDropout(config.source_word_dropout)
        self.embedding_dropout = SequenceDropout(config.embedding_dropout, per_sequence=config.variational_dropout)
        self.layer_dropout = SequenceDropout(config.layer_dropout, per_sequence=config.variational_dropout)
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
            inputs_embeds (`torch.Tensor` of shape `(B, S, E)`, *optional*): embeddings in place of `input_ids`, or
                frames of something that is no text.
            output_hidden_states (`bool`, *optional*): also return the outputs of every layer.
        """
        config = self.config
        embeds = embed(self.embed_tokens, input_ids, inputs_embeds, name="")
        if attention_mask is not None and attention_mask.shape != embeds.shape[:2]:
            raise ValueError(
                f"`attention_mask` must have a value for each of {tuple(embeds.shape[:2])} source positions, got "
                f"shape {tuple(attention_mask.shape)}."
            )
        if output_hidden_states is None:
            output_hidden_states = config.output_hidden_states
        # CODEPATH: backwards for sutskever2014 and luong2015
        if attention_mask is None and config.reverse_source:
            attention_mask = embeds.new_ones(embeds.shape[:2])
        padding = None if attention_mask is None else RightPadding(attention_mask, reverse=config.reverse_source)
        outputs = self.embedding_dropout(self.word_dropout(embeds))
        outputs = outputs if padding is None else padding.to_front(outputs)
        layer_outputs, finals, lengths = self._read(outputs, padding)
        outputs = self.layer_dropout(layer_outputs[-1])
        # CODEPATH: a memory as long as the source is put where its tokens stand; a pyramid's stays at the front
        is_in_place = padding is not None and config.encoder_stride == 1
        if is_in_place:
            outputs = padding.to_place(outputs)
            layer_outputs = [padding.to_place(tensor) for tensor in layer_outputs] if output_hidden_states else []
        final_hidden, *final_cell = (torch.stack(tensors, dim=1) for tensors in zip(*finals, strict=True))
        # CODEPATH: as above
        memory_mask = self._mask_pyramid(outputs, padding, lengths) if config.encoder_stride > 1 else None
        return RnnSeq2SeqEncoderOutput(
            last_hidden_state=outputs,
            final_hidden=final_hidden,
            final_cell=final_cell[0] if final_cell else None,
            memory_mask=memory_mask,
            source_ids=self._ids_to_copy(input_ids),
            hidden_states=(embeds, *layer_outputs) if output_hidden_states else None,
        )

    def _read(self, outputs: torch.Tensor, padding: RightPadding | None) -> tuple[list, list, torch.Tensor | None]:
        """Outputs and final states of the layers, real tokens at the front, and how long the memory is."""
        config, lengths = self.config, None if padding is None else padding.lengths
        layer_outputs, finals = [], []
        for index, layer in enumerate(self.layers):
            if index:
                inputs = self.layer_dropout(outputs)
                # CODEPATH: long inputs such as frames of speech are read several at a time
                if config.encoder_stride > 1:
                    inputs = join_neighbours(inputs, config.encoder_stride)
                    lengths = None if lengths is None else -(-lengths // config.encoder_stride)
            else:
                inputs = outputs
            read, *final = layer(inputs, lengths=lengths)
            # CODEPATH: gnmt2016 and rnmt_plus2018, from the third layer
            if config.is_residual(index):
                read = read + outputs
            if padding is not None:
                read = padding.clear_empty_rows(read)
                final = [padding.clear_empty_rows(tensor) for tensor in final]
            outputs = read
            layer_outputs.append(outputs)
            finals.append(final)
        widths = {final[0].shape[-1] for final in finals}
        return layer_outputs, finals if len(widths) == 1 else finals[-1:], lengths

    def _mask_pyramid(self, memory: torch.Tensor, padding: RightPadding | None, lengths) -> torch.Tensor:
        if lengths is None:
            return memory.new_ones(memory.shape[:2], dtype=torch.bool)
        mask = torch.arange(memory.shape[1], device=memory.device) < lengths.to(memory.device)[:, None]
        return mask & padding.mask.any(1, keepdim=True)

    def _ids_to_copy(self, input_ids: torch.LongTensor | None) -> torch.LongTensor | None:
        # CODEPATH: see2017 copies source tokens
        if not self.config.copy_attention:
            return None
        if input_ids is None:
            raise ValueError("`input_ids` must be given to a model with `copy_attention=True`, got embeddings only.")
        return input_ids


__all__ = ["RnnSeq2SeqEncoder", "RnnSeq2SeqEncoderOutput"]
