"""What of a model goes into ONNX: the encoder, and one step of the decoder for all beams; tensors in, tensors out."""

import torch
from torch import nn

from ..model.modeling_recurrence import RecurrentLayer
from ..model.modeling_rnn_seq2seq import RnnSeq2SeqForConditionalGeneration

# gates in torch's order -> positions in ONNX's: input, output, forget, cell; update, reset, hidden
_GATE_ORDER = {"LSTM": (0, 3, 1, 2), "GRU": (1, 0, 2)}


class OnnxRecurrentLayer(nn.Module):
    """A recurrent layer as ONNX's own LSTM or GRU operator, which knows lengths and directions.

    Args:
        layer (`RecurrentLayer`): whose weights to take.
    """

    def __init__(self, layer: RecurrentLayer):
        super().__init__()
        rnn = layer.rnn
        self.operator = rnn.mode
        self.hidden_size = rnn.hidden_size
        self.num_directions = 2 if rnn.bidirectional else 1
        suffixes = ("", "_reverse")[: self.num_directions]
        for name, kinds in (("inputs", ["weight_ih"]), ("recurrent", ["weight_hh"]), ("bias", ["bias_ih", "bias_hh"])):
            weights = [
                torch.cat([self._reorder(getattr(rnn, f"{kind}_l0{suffix}").detach()) for kind in kinds])
                for suffix in suffixes
            ]
            self.register_buffer(name, torch.stack(weights))

    def _reorder(self, weight: torch.Tensor) -> torch.Tensor:
        gates = weight.split(self.hidden_size)
        return torch.cat([gates[index] for index in _GATE_ORDER[self.operator]])

    def forward(self, inputs: torch.Tensor, lengths: torch.Tensor) -> tuple[torch.Tensor, tuple[torch.Tensor, ...]]:
        """As `RecurrentLayer.forward`, from zeros; `lengths` may be on any device.

        Outside an export it computes nothing: its outputs are empty.
        """
        size, directions = inputs.shape, self.num_directions
        steps = (size[1], directions, size[0], self.hidden_size)
        final = (directions, size[0], self.hidden_size)
        is_lstm = self.operator == "LSTM"
        attributes = {
            "hidden_size": self.hidden_size,
            "direction": "bidirectional" if directions == 2 else "forward",
            # torch resets after the recurrent product
            **({} if is_lstm else {"linear_before_reset": 1}),
        }
        outputs, *finals = torch.onnx.ops.symbolic_multi_out(
            self.operator,
            (inputs.transpose(0, 1), self.inputs, self.recurrent, self.bias, lengths.int()),
            attrs=attributes,
            dtypes=[inputs.dtype] * (3 if is_lstm else 2),
            shapes=[steps, final, final] if is_lstm else [steps, final],
        )
        return outputs.permute(2, 0, 1, 3).flatten(2), tuple(tensor.transpose(0, 1).flatten(1) for tensor in finals)


class EncoderGraph(nn.Module):
    """Source tokens to what the decoder needs of them."""

    def __init__(self, model: RnnSeq2SeqForConditionalGeneration):
        super().__init__()
        encoder, decoder = model.get_encoder(), model.get_decoder()
        self.embed_tokens = encoder.embed_tokens
        self.layers = nn.ModuleList(OnnxRecurrentLayer(layer) for layer in encoder.layers)
        self.bridge, self.attention = decoder.bridge, decoder.attention

    def forward(self, input_ids: torch.LongTensor, lengths: torch.LongTensor) -> tuple[torch.Tensor, ...]:
        """Memory `(B, S, M)`, keys `(B, S, A)`, and the start states of all decoder layers, each `(B, H)`.

        Args:
            input_ids (`torch.LongTensor` of shape `(B, S)`): source tokens, padded on the right.
            lengths (`torch.LongTensor` of shape `(B)`): real tokens of each row.
        """
        memory = self.embed_tokens(input_ids)
        for layer in self.layers:
            memory, final = layer(memory, lengths)
        states = self.bridge(*[tensor[:, None] for tensor in final], *[None] * (2 - len(final)))
        return memory, self.attention.project_memory(memory), *[tensor for state in states for tensor in state]


class DecoderStepGraph(nn.Module):
    """One target token of every beam to the logits of the next, and to the states after it."""

    def __init__(self, model: RnnSeq2SeqForConditionalGeneration):
        super().__init__()
        decoder = model.get_decoder()
        self.decoder_type = model.config.decoder_type
        self.num_tensors = 2 if model.config.cell_type == "lstm" else 1
        self.embed_tokens, self.layers = decoder.embed_tokens, decoder.layers
        self.attention, self.readout, self.lm_head = decoder.attention, decoder.readout, model.lm_head

    def forward(
        self,
        input_ids: torch.LongTensor,
        memory: torch.Tensor,
        keys: torch.Tensor,
        lengths: torch.LongTensor,
        num_candidates: torch.LongTensor,
        carried: list[torch.Tensor],
    ) -> tuple[torch.Tensor, ...]:
        """Logits `(B, K, V)`, the best next tokens' log-probabilities and ids `(B, K, num_candidates)`, and `carried`.

        Args:
            input_ids (`torch.LongTensor` of shape `(B, K)`): last target token of K beams of each sentence.
            memory, keys: as the encoder gives them, once for a sentence.
            lengths (`torch.LongTensor` of shape `(B)`): real source tokens.
            num_candidates (`torch.LongTensor` of shape `(1)`): next tokens wanted of each beam.
            carried (`list[torch.Tensor]`): states `(B, K, H)` of all layers, then with input feeding the attentional
                vector `(B, K, R)`.
        """
        mask = torch.arange(memory.shape[1], device=memory.device) < lengths[:, None]
        is_feeding = self.decoder_type == "input_feeding"
        carried = list(carried)
        feed = carried.pop() if is_feeding else None
        states = [tuple(carried[i : i + self.num_tensors]) for i in range(0, len(carried), self.num_tensors)]
        embeds = self.embed_tokens(input_ids)
        first = self.layers[0]
        projected = first.project_inputs(embeds)
        if self.decoder_type == "bahdanau":
            # the query is the state before the step
            context, _ = self.attention(states[-1][0], memory, keys, mask)
        if self.decoder_type != "luong":
            extra = feed if is_feeding else context
            projected = projected + nn.functional.linear(extra, first.weight_after(embeds.shape[-1]))
        outputs, state = first.step(projected, states[0])
        new_carried = [*state]
        for layer, old in zip(self.layers[1:], states[1:], strict=True):
            outputs, state = layer.step(layer.project_inputs(outputs), old)
            new_carried += state
        if self.decoder_type == "bahdanau":
            features = self.readout(context, outputs, embeds)
        else:
            context, _ = self.attention(outputs, memory, keys, mask)
            features = self.readout(context, outputs)
        logits = self.lm_head(features)
        log_probs, ids = torch.onnx.ops.symbolic_multi_out(
            "TopK",
            (logits.log_softmax(-1), num_candidates),
            dtypes=[logits.dtype, torch.int64],
            # as many as the graph was traced with: the operator itself takes any number
            shapes=[(*logits.shape[:2], 4)] * 2,
        )
        return logits, log_probs, ids, *new_carried, *([features] if is_feeding else [])
