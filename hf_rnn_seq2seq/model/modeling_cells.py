"""Cells with weights of their own, plain, layer-normalised or without input, and how they are initialised."""

from collections.abc import Callable

import torch
from torch import nn
from transformers import initialization as init

from .modeling_steps import NUM_GATES, State, take_step


class GateNorm(nn.Module):
    """Layer normalisation of each gate by itself, as in RNMT+ (Chen et al. 2018, section 4); gain and bias per entry.

    Args:
        num_gates (`int`): G.
        hidden_size (`int`): entries H of one gate.
    """

    def __init__(self, *, num_gates: int, hidden_size: int):
        super().__init__()
        self.gates = (num_gates, hidden_size)
        self.weight = nn.Parameter(torch.ones(num_gates * hidden_size))
        self.bias = nn.Parameter(torch.zeros(num_gates * hidden_size))

    def forward(self, gates: torch.Tensor) -> torch.Tensor:
        """Normalise gates of shape `(..., G * H)`."""
        normed = nn.functional.layer_norm(gates.unflatten(-1, self.gates), self.gates[1:]).flatten(-2)
        return normed * self.weight + self.bias


class RecurrentCell(nn.Module):
    """One step of a recurrence with its own weights: `state' = f(W x + b, U hidden + c)`.

    With `layer_norm` both products are normalised, gate by gate, and the LSTM's cell on its way out (Ba et al. 2016,
    https://arxiv.org/abs/1607.06450, equations 20 to 22); the biases are then those of the norms.

    Args:
        cell_type (`str`): `"lstm"`, `"gru"`, `"rnn_tanh"` or `"rnn_relu"`.
        input_size (`int`): width of one input; 0 makes a transition cell, which reads its state only.
        hidden_size (`int`): units, H.
        layer_norm (`bool`): normalise.
    """

    def __init__(self, *, cell_type: str, input_size: int, hidden_size: int, layer_norm: bool = False):
        super().__init__()
        self.cell_type, self.hidden_size, self.layer_norm = cell_type, hidden_size, layer_norm
        num_gates = NUM_GATES[cell_type]
        size = num_gates * hidden_size
        self.weight_ih = nn.Parameter(torch.empty(size, input_size)) if input_size else None
        self.weight_hh = nn.Parameter(torch.empty(size, hidden_size))
        if layer_norm:
            self.input_norm = GateNorm(num_gates=num_gates, hidden_size=hidden_size) if input_size else None
            self.recurrent_norm = GateNorm(num_gates=num_gates, hidden_size=hidden_size)
            self.cell_norm = GateNorm(num_gates=1, hidden_size=hidden_size) if cell_type == "lstm" else None
        self.bias_ih = None if layer_norm else nn.Parameter(torch.empty(size))
        self.bias_hh = None if layer_norm else nn.Parameter(torch.empty(size))

    def project_inputs(self, inputs: torch.Tensor) -> torch.Tensor:
        """`W x + b` of the first part of the input, for all steps at once; as `RecurrentLayer.project_inputs`."""
        is_whole = inputs.shape[-1] == self.weight_ih.shape[1]
        weight = self.weight_ih if is_whole else self.weight_ih[:, : inputs.shape[-1]]
        return nn.functional.linear(inputs, weight, self.bias_ih)

    def weight_after(self, width: int) -> torch.Tensor:
        """Columns of the input weights for what follows the first `width` entries of the input."""
        return self.weight_ih[:, width:]

    def step(self, projected: torch.Tensor | None, state: State) -> tuple[torch.Tensor, State]:
        """One step from a projected input `(B, G * H)`, None of a transition cell; `(output, state)`."""
        recurrent = nn.functional.linear(state[0], self.weight_hh, self.bias_hh)
        norms = {}
        if self.layer_norm:
            recurrent = self.recurrent_norm(recurrent)
            projected = projected if self.input_norm is None else self.input_norm(projected)
            norms = {"cell_norm": self.cell_norm} if self.cell_type == "lstm" else {}
        if projected is None:
            # all that a transition has for an input is a bias
            projected = torch.zeros_like(recurrent) if self.bias_ih is None else self.bias_ih.to(recurrent.dtype)
        new_state = take_step(self.cell_type, projected, recurrent, state, **norms)
        return new_state[0], new_state


@torch.no_grad()
def init_recurrent_weights(
    recurrence: nn.RNNBase | RecurrentCell, init_input_weight: Callable[[torch.Tensor], None] = init.xavier_uniform_
) -> None:
    """Input weights as told, orthogonal recurrent weights, zero biases, forget gates open.

    Each gate is drawn on its own. Orthogonal: Saxe et al. 2014, https://arxiv.org/abs/1312.6120. Forget-gate bias 1:
    Jozefowicz et al. 2015, section 2.2. Weights that came from a checkpoint are left alone.
    """
    hidden_size = recurrence.hidden_size
    for name, weight in recurrence.named_parameters():
        if "norm" in name:
            continue
        # float32: QR, behind the orthogonal draw, knows no half precision
        drawn = torch.zeros(weight.shape, dtype=torch.float32, device=weight.device)
        for gate in drawn.split(hidden_size):
            if name.startswith("weight_ih"):
                init_input_weight(gate)
            elif name.startswith("weight_hh"):
                init.orthogonal_(gate)
        if name.startswith("bias_ih"):
            _open_forget_gate(recurrence, drawn)
        init.copy_(weight, drawn)
    if isinstance(recurrence, RecurrentCell) and recurrence.layer_norm:
        bias = recurrence.recurrent_norm.bias
        drawn = torch.zeros_like(bias)
        _open_forget_gate(recurrence, drawn)
        init.copy_(bias, drawn)


def _open_forget_gate(recurrence: nn.RNNBase | RecurrentCell, bias: torch.Tensor) -> None:
    size = recurrence.hidden_size
    if isinstance(recurrence, nn.LSTM) or (isinstance(recurrence, RecurrentCell) and recurrence.cell_type == "lstm"):
        bias[size : 2 * size] = 1.0


__all__ = ["GateNorm", "RecurrentCell", "init_recurrent_weights"]
