"""What of a model goes into ONNX: the encoder, and one step of the decoder for all beams; tensors in, tensors out."""

import torch
from torch import nn

from ..model.configuration_rnn_seq2seq import RnnSeq2SeqConfig
from ..model.modeling_attention import Memory
from ..model.modeling_encoder import RnnSeq2SeqEncoderOutput
from ..model.modeling_recurrence import RecurrentLayer
from ..model.modeling_rnn_seq2seq import RnnSeq2SeqForConditionalGeneration

# gates in torch's order -> positions in ONNX's: input, output, forget, cell; update, reset, hidden
_GATE_ORDER = {"LSTM": (0, 3, 1, 2), "GRU": (1, 0, 2), "RNN": (0,)}
# fields of the config -> the one value that the graphs know
_KNOWN = {
    "layer_norm": False,
    "reverse_source": False,
    "encoder_stride": 1,
    "encoder_transitions": 0,
    "attention_feedback": "none",
    "copy_attention": False,
}


def refuse_what_is_missing(config: RnnSeq2SeqConfig) -> None:
    """Raise ValueError for architectures that are not exported."""
    wrong = [f"`{name}={getattr(config, name)!r}`" for name, value in _KNOWN.items() if getattr(config, name) != value]
    wrong += ['`attention_type="none"`'] if config.attention_type == "none" else []
    if wrong:
        raise ValueError(f"Export to ONNX does not know {', '.join(wrong)}; run this model with PyTorch.")


class OnnxRecurrentLayer(nn.Module):
    """A recurrent layer as ONNX's own LSTM or GRU operator, which knows lengths and directions.

    Args:
        layer (`RecurrentLayer`): whose weights to take.
    """

    def __init__(self, layer: RecurrentLayer):
        super().__init__()
        rnn = layer.rnn
        self.operator, _, activation = rnn.mode.partition("_")
        self.activation = activation.capitalize()
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
        }
        if self.operator == "GRU":
            # torch resets after the recurrent product
            attributes["linear_before_reset"] = 1
        if self.operator == "RNN":
            attributes["activations"] = [self.activation] * directions
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
        self.embed_tokens, self.config = model.get_encoder().embed_tokens, model.config
        self.layers = nn.ModuleList(OnnxRecurrentLayer(layer) for layer in model.get_encoder().layers)
        self.decoder = model.get_decoder()

    def forward(self, input_ids: torch.LongTensor, lengths: torch.LongTensor) -> tuple[torch.Tensor, ...]:
        """Keys and values as in `Memory`, and the start states of all decoder layers, each `(B, H)`.

        Args:
            input_ids (`torch.LongTensor` of shape `(B, S)`): source tokens, padded on the right.
            lengths (`torch.LongTensor` of shape `(B)`): real tokens of each row.
        """
        outputs, finals = self.embed_tokens(input_ids), []
        for index, layer in enumerate(self.layers):
            read, final = layer(outputs, lengths)
            outputs = read + outputs if self.config.is_residual(index) else read
            finals.append(final)
        # layers of different widths have no state that is copied
        finals = finals if len({final[0].shape[-1] for final in finals}) == 1 else finals[-1:]
        hidden, *cell = (torch.stack(tensors, dim=1) for tensors in zip(*finals, strict=True))
        mask = torch.arange(input_ids.shape[1], device=input_ids.device) < lengths[:, None]
        encoded = RnnSeq2SeqEncoderOutput(outputs, hidden, cell[0] if cell else None)
        memory = self.decoder.project_memory(encoded, mask)
        states = self.decoder.start_states(encoded, memory, mask)
        # an output of its own for each: one tensor cannot have two names
        return memory.keys, memory.values.clone(), *[tensor.clone() for state in states for tensor in state]


class DecoderStepGraph(nn.Module):
    """One target token of every beam to the logits of the next, and to the states after it."""

    def __init__(self, model: RnnSeq2SeqForConditionalGeneration):
        super().__init__()
        self.decoder, self.lm_head = model.get_decoder(), model.lm_head
        self.config = model.config
        self.num_tensors = 2 if model.config.cell_type == "lstm" else 1

    def forward(
        self,
        input_ids: torch.LongTensor,
        keys: torch.Tensor,
        values: torch.Tensor,
        lengths: torch.LongTensor,
        num_candidates: torch.LongTensor,
        carried: list[torch.Tensor],
    ) -> tuple[torch.Tensor, ...]:
        """Logits `(B, K, V)`, the best next tokens' log-probabilities and ids `(B, K, num_candidates)`, and `carried`.

        Args:
            input_ids (`torch.LongTensor` of shape `(B, K)`): last target token of K beams of each sentence.
            keys, values: as the encoder gives them, once for a sentence.
            lengths (`torch.LongTensor` of shape `(B)`): real source tokens.
            num_candidates (`torch.LongTensor` of shape `(1)`): next tokens wanted of each beam.
            carried (`list[torch.Tensor]`): states `(B, K, H)` of all layers, then with input feeding the attentional
                vector `(B, K, R)`.
        """
        mask = torch.arange(keys.shape[2], device=keys.device) < lengths[:, None]
        memory, kind = Memory(keys, values, mask), self.config.decoder_type
        is_feeding = kind == "input_feeding"
        carried = list(carried)
        feed = carried.pop() if is_feeding else None
        states = [tuple(carried[i : i + self.num_tensors]) for i in range(0, len(carried), self.num_tensors)]
        embeds, new_carried = self.decoder.embed_tokens(input_ids), []
        # beams stand where a sequence's steps do: attention asks for all of them at once
        context = self._attend(states[-1][0], memory) if kind == "bahdanau" else None
        outputs = embeds
        for index, (layer, state) in enumerate(zip(self.decoder.layers, states, strict=True)):
            extra = {"input_feeding": feed, "bahdanau": context}.get(kind) if index == 0 else None
            extra = context if kind == "gnmt" and index else extra
            inputs = outputs if extra is None else torch.cat([outputs, extra], dim=-1)
            read, state = layer.step(layer.project_inputs(inputs), state)
            if kind == "conditional" and index == 0:
                context = self._attend(read, memory)
                read, state = layer.read_context(context, state)
            outputs = read + outputs if self.config.is_residual(index) else read
            if kind == "gnmt" and index == 0:
                context = self._attend(outputs, memory)
            new_carried += state
        context = self._attend(outputs, memory) if context is None else context
        features = self.decoder.read_out(context, outputs, embeds)
        logits = self.lm_head(features)
        log_probs, ids = torch.onnx.ops.symbolic_multi_out(
            "TopK",
            (logits.log_softmax(-1), num_candidates),
            dtypes=[logits.dtype, torch.int64],
            # as many as the graph was traced with: the operator itself takes any number
            shapes=[(*logits.shape[:2], 4)] * 2,
        )
        return logits, log_probs, ids, *new_carried, *([features] if is_feeding else [])

    def _attend(self, query: torch.Tensor, memory: Memory) -> torch.Tensor:
        context, _, _ = self.decoder.attention(query, *memory)
        return context
