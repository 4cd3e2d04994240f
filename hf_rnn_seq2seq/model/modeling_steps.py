"""Equations of one step of a recurrence: plain RNN, GRU and LSTM."""

import torch
from torch import nn

from .modeling_fast_paths import has_fast_paths
from .modeling_fast_steps import FAST_STEPS

# `(hidden,)` or, LSTM, `(hidden, cell)`; each (B, H), or (B, 2H) of a bidirectional layer: forward, then backward
State = tuple[torch.Tensor, ...]


def lstm_step(
    projected: torch.Tensor, recurrent: torch.Tensor, state: State, cell_norm: nn.Module | None = None
) -> State:
    """LSTM with forget gate. Gers et al. 2000, without peepholes; gate order i, f, g, o as in torch.

    Args:
        projected (`torch.Tensor` of shape `(B, 4H)`): `W x + b`.
        recurrent (`torch.Tensor` of shape `(B, 4H)`): `U hidden + c`.
        state (`State`): hidden and cell, each `(B, H)`.
        cell_norm (`nn.Module`, *optional*): what the cell passes on its way to the output (Ba et al. 2016, equation
            22).
    """
    input_gate, forget_gate, candidate, output_gate = (projected + recurrent).chunk(4, dim=-1)
    cell = forget_gate.sigmoid() * state[1] + input_gate.sigmoid() * candidate.tanh()
    shown = cell if cell_norm is None else cell_norm(cell)
    return output_gate.sigmoid() * shown.tanh(), cell


def gru_step(projected: torch.Tensor, recurrent: torch.Tensor, state: State) -> State:
    """GRU. Cho et al. 2014, https://arxiv.org/abs/1406.1078, equations 5 to 8, with the reset gate after the
    recurrent product, as in torch and Nematus; gate order r, z, n. Arguments as `lstm_step`, `3H` wide.
    """
    reset_x, update_x, candidate_x = projected.chunk(3, dim=-1)
    reset_h, update_h, candidate_h = recurrent.chunk(3, dim=-1)
    reset_gate = (reset_x + reset_h).sigmoid()
    update_gate = (update_x + update_h).sigmoid()
    candidate = (candidate_x + reset_gate * candidate_h).tanh()
    return (candidate + update_gate * (state[0] - candidate),)


def rnn_tanh_step(projected: torch.Tensor, recurrent: torch.Tensor, state: State) -> State:
    """Elman 1990 with tanh: `tanh(W x + b + U h + c)`; all of them `(B, H)`."""
    return (torch.tanh(projected + recurrent),)


def rnn_relu_step(projected: torch.Tensor, recurrent: torch.Tensor, state: State) -> State:
    """Elman's network with rectified units (Le et al. 2015, https://arxiv.org/abs/1504.00941)."""
    return (torch.relu(projected + recurrent),)


STEP_FUNCTIONS = {"lstm": lstm_step, "gru": gru_step, "rnn_tanh": rnn_tanh_step, "rnn_relu": rnn_relu_step}
NUM_GATES = {"lstm": 4, "gru": 3, "rnn_tanh": 1, "rnn_relu": 1}


def take_step(
    cell_type: str, projected: torch.Tensor, recurrent: torch.Tensor, state: State, cell_norm: nn.Module | None = None
) -> State:
    """The step of a cell, by the faster way where there is one; arguments as `lstm_step`.

    Args:
        cell_type (`str`): `"lstm"`, `"gru"`, `"rnn_tanh"` or `"rnn_relu"`.
    """
    # CODEPATH: normalised cells (rnmt_plus2018), and transitions, whose input is a bias, go the plain way
    is_plain = cell_norm is None and projected.shape == recurrent.shape
    if is_plain and cell_type in FAST_STEPS and has_fast_paths(recurrent):
        return FAST_STEPS[cell_type].apply(projected, recurrent, *state)
    norms = {} if cell_norm is None else {"cell_norm": cell_norm}
    return STEP_FUNCTIONS[cell_type](projected, recurrent, state, **norms)


__all__ = [
    "NUM_GATES",
    "STEP_FUNCTIONS",
    "State",
    "gru_step",
    "lstm_step",
    "rnn_relu_step",
    "rnn_tanh_step",
    "take_step",
]
