"""Recurrent layers as functions of (inputs, state): a whole sequence at once, or step by step."""

import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence
from transformers.modeling_layers import GradientCheckpointingLayer

from .modeling_bptt import RecurrenceOverTime, pack
from .modeling_cells import RecurrentCell
from .modeling_deferral import defer_weight_gradients
from .modeling_fast_paths import compute_dtype, has_fast_paths, is_as_built
from .modeling_padded_lstm import has_padded_lstm, read_padded
from .modeling_products import has_onednn
from .modeling_steps import State, take_step


class RecurrentLayer(GradientCheckpointingLayer):
    """One plain layer, read in one or both directions by torch's own kernels.

    Args:
        cell_type (`str`): `"lstm"`, `"gru"`, `"rnn_tanh"` or `"rnn_relu"`.
        input_size (`int`): width of one input.
        hidden_size (`int`): units H in one direction.
        bidirectional (`bool`): read in both directions; outputs and states are then `2H` wide.
    """

    def __init__(self, *, cell_type: str, input_size: int, hidden_size: int, bidirectional: bool = False):
        super().__init__()
        self.cell_type = cell_type
        options = {"bidirectional": bidirectional, "batch_first": True}
        if cell_type.startswith("rnn_"):
            options["nonlinearity"] = cell_type.removeprefix("rnn_")
        rnn_class = {"lstm": nn.LSTM, "gru": nn.GRU}.get(cell_type, nn.RNN)
        self.rnn = rnn_class(input_size, hidden_size, **options)

    def forward(
        self, inputs: torch.Tensor, *state: torch.Tensor, lengths: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, ...]:
        """Read a whole sequence.

        Args:
            inputs (`torch.Tensor` of shape `(B, S, input_size)`): padded on the right.
            state (`torch.Tensor`): where to start, the tensors of a `State`; zeros if not given.
            lengths (`torch.LongTensor` of shape `(B)`, *optional*): real inputs of each row, on the CPU, each at
                least 1; all of them if not given. Outputs beyond are 0.

        Returns:
            `(outputs, *state)`: outputs of shape `(B, S, H or 2H)` and the state after each row's last real input.

        Raises:
            ValueError: if a state is of another batch.
        """
        for tensor in state:
            if len(tensor) != len(inputs):
                raise ValueError(
                    f"`state` must have as many rows as `inputs`, {len(inputs)}, got {len(tensor)}; give every target "
                    "its source."
                )
        if has_fast_paths(inputs) and is_as_built(self.rnn, nn.LSTM, nn.GRU, nn.RNN):
            is_lstm, dtype = self.cell_type == "lstm", compute_dtype(inputs)
            is_step = inputs.shape[1] == 1 and lengths is None and bool(state) and not self.rnn.bidirectional
            # a step of a search; the backward of a step has nothing to win
            if is_step and has_onednn(dtype, inputs.device):
                output, state = self.step(self.project_inputs(inputs[:, 0]), state)
                return output[:, None], *state
            if is_lstm and lengths is not None and not state and has_padded_lstm(dtype):
                return read_padded(self.rnn, inputs, lengths)
            # of the others torch's own loop over steps is the better one, but for its backward
            if not is_lstm and not is_step and torch.is_grad_enabled():
                return self._read_unpadded(inputs, state, lengths)
        if inputs.is_cuda:
            # weights loaded from a checkpoint lie in separate storages, which cuDNN would copy on every call
            self.rnn.flatten_parameters()
        start = tuple(self._split_directions(tensor) for tensor in state) or None
        start = start[0] if start is not None and len(start) == 1 else start
        if lengths is None:
            outputs, final = self.rnn(inputs, start)
        else:
            packed = pack_padded_sequence(inputs, lengths, batch_first=True, enforce_sorted=False)
            outputs, final = self.rnn(packed, start)
            outputs, _ = pad_packed_sequence(outputs, batch_first=True, total_length=inputs.shape[1])
        final = final if isinstance(final, tuple) else (final,)
        return outputs, *(tensor.transpose(0, 1).flatten(1) for tensor in final)

    def _read_unpadded(self, inputs, state, lengths) -> tuple[torch.Tensor, ...]:
        """As `forward`, for training other cells than LSTMs: nothing is computed for padding."""
        batch_size, num_steps, _ = inputs.shape
        num_directions = 2 if self.rnn.bidirectional else 1
        lengths = torch.full((batch_size,), num_steps) if lengths is None else lengths
        if not state:
            state = (inputs.new_zeros(batch_size, num_directions * self.rnn.hidden_size),)
        packing, dtype = pack(lengths, num_steps, num_directions), compute_dtype(inputs)
        return RecurrenceOverTime.apply(self.cell_type, packing, dtype, inputs, *state, *self.rnn._flat_weights)

    def project_inputs(self, inputs: torch.Tensor) -> torch.Tensor:
        """`W x + b` for the first part of the input, for all steps at once.

        Args:
            inputs (`torch.Tensor` of shape `(..., width)`): the first `width` entries of the layer's input, those
                that do not depend on the step; the rest goes through `weight_after(width)`.

        Returns:
            `torch.Tensor` of shape `(..., G * H)` with G gates.
        """
        weight = self.rnn.weight_ih_l0
        weight = weight if inputs.shape[-1] == weight.shape[1] else weight[:, : inputs.shape[-1]]
        return nn.functional.linear(inputs, weight, self.rnn.bias_ih_l0)

    def weight_after(self, width: int) -> torch.Tensor:
        """Columns of the input weights for what follows the first `width` entries of the layer's input."""
        return self.rnn.weight_ih_l0[:, width:]

    def step(self, projected: torch.Tensor, state: State) -> tuple[torch.Tensor, State]:
        """One step of a unidirectional layer from its projected input `(B, G * H)`; `(output, state)`."""
        recurrent = nn.functional.linear(state[0], self.rnn.weight_hh_l0, self.rnn.bias_hh_l0)
        new_state = take_step(self.cell_type, projected, recurrent, state)
        return new_state[0], new_state

    def _split_directions(self, state: torch.Tensor) -> torch.Tensor:
        return state.unflatten(1, (-1, self.rnn.hidden_size)).transpose(0, 1).contiguous()


class DeepTransitionLayer(GradientCheckpointingLayer):
    """A layer of cells that torch has no kernel for: layer-normalised, or with transitions between two inputs.

    Each step reads its input in a first cell and passes the state through the transition cells (Pascanu et al. 2014,
    https://arxiv.org/abs/1312.6026; in translation Miceli Barone et al. 2017, https://arxiv.org/abs/1707.07631).
    Interface and arguments as `RecurrentLayer`, and:

    Args:
        layer_norm (`bool`): normalise the cells, see [`RecurrentCell`].
        num_transitions (`int`): transition cells after the first.
    """

    def __init__(
        self,
        *,
        cell_type: str,
        input_size: int,
        hidden_size: int,
        bidirectional: bool = False,
        layer_norm: bool = False,
        num_transitions: int = 0,
    ):
        super().__init__()
        self.hidden_size, self.num_tensors = hidden_size, 2 if cell_type == "lstm" else 1
        self.directions = nn.ModuleList(
            nn.ModuleList(
                RecurrentCell(
                    cell_type=cell_type,
                    input_size=0 if depth else input_size,
                    hidden_size=hidden_size,
                    layer_norm=layer_norm,
                )
                for depth in range(1 + num_transitions)
            )
            for _ in range(2 if bidirectional else 1)
        )

    def forward(
        self, inputs: torch.Tensor, *state: torch.Tensor, lengths: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, ...]:
        """Read a whole sequence; as `RecurrentLayer.forward`."""
        if not state:
            width = self.hidden_size * len(self.directions)
            state = (inputs.new_zeros(inputs.shape[0], width),) * self.num_tensors
        starts = zip(*(tensor.chunk(len(self.directions), dim=-1) for tensor in state), strict=True)
        lengths = None if lengths is None else lengths.to(inputs.device)
        read = [
            self._read(cells, inputs, start, lengths, is_backward=bool(index))
            for index, (cells, start) in enumerate(zip(self.directions, starts, strict=True))
        ]
        outputs, finals = zip(*read, strict=True)
        return torch.cat(outputs, dim=-1), *(torch.cat(tensors, dim=-1) for tensors in zip(*finals, strict=True))

    def _read(self, cells: nn.ModuleList, inputs, state: State, lengths, *, is_backward: bool):
        num_steps = inputs.shape[1]
        # cut at once: the gradient of a single cut is as wide as all of them
        projected, outputs = cells[0].project_inputs(inputs).unbind(1), [None] * num_steps
        steps = range(num_steps)
        with defer_weight_gradients(inputs, num_steps):
            for step in reversed(steps) if is_backward else steps:
                output, new_state = _step_through(cells, projected[step], state)
                if lengths is not None:
                    is_real = (step < lengths)[:, None]
                    new_state = tuple(
                        torch.where(is_real, new, old) for new, old in zip(new_state, state, strict=True)
                    )
                    output = output * is_real
                state, outputs[step] = new_state, output
        return torch.stack(outputs, dim=1), state

    def project_inputs(self, inputs: torch.Tensor) -> torch.Tensor:
        """As `RecurrentLayer.project_inputs`."""
        return self.directions[0][0].project_inputs(inputs)

    def weight_after(self, width: int) -> torch.Tensor:
        """As `RecurrentLayer.weight_after`."""
        return self.directions[0][0].weight_after(width)

    def step(self, projected: torch.Tensor, state: State) -> tuple[torch.Tensor, State]:
        """As `RecurrentLayer.step`."""
        return _step_through(self.directions[0], projected, state)


class ConditionalLayer(nn.Module):
    """Decoder layer with attention between two cells: the first reads the embedding, its output is the query, the
    second reads the context; transition cells follow.

    Nematus (Sennrich et al. 2017, https://arxiv.org/abs/1703.04357, section 3.1), there with GRUs; transitions:
    Miceli Barone et al. 2017, https://arxiv.org/abs/1707.07631, section 2.3.

    Args:
        cell_type (`str`): as of `RecurrentLayer`.
        input_size (`int`): width of an embedding, E.
        context_size (`int`): width of a context, M.
        hidden_size (`int`): units, H.
        layer_norm (`bool`): normalise the cells, see [`RecurrentCell`].
        num_transitions (`int`): transition cells after the second.
    """

    def __init__(
        self,
        *,
        cell_type: str,
        input_size: int,
        context_size: int,
        hidden_size: int,
        layer_norm: bool = False,
        num_transitions: int = 0,
    ):
        super().__init__()
        self.cells = nn.ModuleList(
            RecurrentCell(cell_type=cell_type, input_size=size, hidden_size=hidden_size, layer_norm=layer_norm)
            for size in [input_size, context_size, *[0] * num_transitions]
        )

    def project_inputs(self, inputs: torch.Tensor) -> torch.Tensor:
        """As `RecurrentLayer.project_inputs`, for the first cell."""
        return self.cells[0].project_inputs(inputs)

    def step(self, projected: torch.Tensor, state: State) -> tuple[torch.Tensor, State]:
        """The first cell; as `RecurrentLayer.step`. Its output is the query."""
        return self.cells[0].step(projected, state)

    def read_context(self, context: torch.Tensor, state: State) -> tuple[torch.Tensor, State]:
        """The second cell and the transitions, from a context `(B, M)` and the state after `step`."""
        return _step_through(self.cells[1:], self.cells[1].project_inputs(context), state)


def _step_through(cells, projected: torch.Tensor, state: State) -> tuple[torch.Tensor, State]:
    first, *transitions = cells
    output, state = first.step(projected, state)
    for transition in transitions:
        output, state = transition.step(None, state)
    return output, state


def build_recurrent_layer(
    *, layer_norm: bool = False, num_transitions: int = 0, **sizes
) -> RecurrentLayer | DeepTransitionLayer:
    """The layer for these cells: torch's own where torch has them, which is many times faster."""
    # CODEPATH: plain cells (most presets), normalised ones (rnmt_plus2018) or transitions (deep Nematus models)
    if layer_norm or num_transitions:
        return DeepTransitionLayer(layer_norm=layer_norm, num_transitions=num_transitions, **sizes)
    return RecurrentLayer(**sizes)


__all__ = ["ConditionalLayer", "DeepTransitionLayer", "RecurrentLayer", "State", "build_recurrent_layer"]
