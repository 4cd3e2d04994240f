"""Recurrent layers against their plain-loop twins."""

import pytest
import torch
from torch import nn

from hf_rnn_seq2seq.model.modeling_recurrence import RecurrentLayer, init_recurrent_weights
from tests import reference


def build_layer(cell_type, bidirectional=False):
    torch.manual_seed(0)
    return RecurrentLayer(cell_type=cell_type, input_size=3, hidden_size=4, bidirectional=bidirectional).double()


def gradients(loss, tensors):
    return torch.autograd.grad(loss, list(tensors), allow_unused=True)


@pytest.mark.parametrize("bidirectional", [False, True])
def test_whole_sequence_equals_plain_loop(cell_type, bidirectional):
    layer = build_layer(cell_type, bidirectional)
    lengths = [5, 2, 1]
    inputs = torch.randn(3, 5, 3, dtype=torch.float64, requires_grad=True)
    outputs, state = layer(inputs, lengths=torch.tensor(lengths))
    run = reference.run_bidirectional_layer if bidirectional else reference.run_layer
    expected = torch.zeros_like(outputs)
    finals = []
    for row, length in enumerate(lengths):
        steps, final = run(layer.rnn, list(inputs[row, :length]))
        expected[row, :length] = torch.stack(steps)
        finals.append(final)
    torch.testing.assert_close(outputs, expected, rtol=0, atol=1e-12)
    for tensor, rows in zip(state, zip(*finals, strict=True), strict=True):
        torch.testing.assert_close(tensor, torch.stack(rows), rtol=0, atol=1e-12)
    probe = torch.randn_like(outputs)
    tensors = [inputs, *layer.parameters()]
    actual = gradients((outputs * probe).sum() + state[-1].sum(), tensors)
    twin = gradients((expected * probe).sum() + torch.stack([final[-1] for final in finals]).sum(), tensors)
    for ours, theirs in zip(actual, twin, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-10)


def test_step_equals_plain_loop(cell_type):
    layer = build_layer(cell_type)
    inputs = torch.randn(2, 3, dtype=torch.float64, requires_grad=True)
    state = tuple(
        torch.randn(2, 4, dtype=torch.float64, requires_grad=True) for _ in reference.zero_state(layer.rnn, inputs[0])
    )
    output, new_state = layer.step(layer.project_inputs(inputs), state)
    rows = [reference.cell_step(layer.rnn, inputs[row], tuple(s[row] for s in state)) for row in range(2)]
    expected = [torch.stack(tensors) for tensors in zip(*rows, strict=True)]
    assert output is new_state[0]
    tensors = [inputs, *state, *layer.parameters()]
    for ours, theirs in zip(new_state, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-12)
        for ours_gradient, twin in zip(
            torch.autograd.grad(ours.sum(), tensors, retain_graph=True, allow_unused=True),
            torch.autograd.grad(theirs.sum(), tensors, retain_graph=True, allow_unused=True),
            strict=True,
        ):
            torch.testing.assert_close(ours_gradient, twin, rtol=0, atol=1e-10)


def test_whole_sequence_continues_from_state(cell_type):
    layer = build_layer(cell_type)
    inputs = torch.randn(2, 6, 3, dtype=torch.float64)
    whole, _ = layer(inputs)
    first, state = layer(inputs[:, :2])
    rest, _ = layer(inputs[:, 2:], state)
    torch.testing.assert_close(torch.cat([first, rest], dim=1), whole, rtol=0, atol=1e-12)


def test_projected_parts_add_up_to_the_whole_input(cell_type):
    layer = build_layer(cell_type)
    inputs = torch.randn(2, 3, dtype=torch.float64)
    parts = layer.project_inputs(inputs[:, :1]) + inputs[:, 1:] @ layer.weight_after(1).T
    torch.testing.assert_close(parts, layer.project_inputs(inputs), rtol=0, atol=1e-12)


def test_initialisation_is_orthogonal_in_each_gate_and_opens_forget_gates():
    rnn = nn.LSTM(3, 4)
    init_recurrent_weights(rnn)
    for gate in rnn.weight_hh_l0.detach().split(4):
        torch.testing.assert_close(gate @ gate.T, torch.eye(4), rtol=0, atol=1e-5)
    assert (rnn.bias_ih_l0[4:8] == 1).all()
    assert rnn.bias_ih_l0.abs().sum() == 4
    assert (rnn.bias_hh_l0 == 0).all()
