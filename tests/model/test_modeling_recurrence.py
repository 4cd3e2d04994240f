"""Recurrent layers against their plain-loop twins."""

import pytest
import torch
from torch import nn

from hf_rnn_seq2seq.model.modeling_cells import RecurrentCell, init_recurrent_weights
from hf_rnn_seq2seq.model.modeling_recurrence import ConditionalLayer, RecurrentLayer, build_recurrent_layer
from tests import reference
from tests.conftest import CELLS

# plain, normalised, with transitions, and both
KINDS = [{}, {"layer_norm": True}, {"num_transitions": 2}, {"layer_norm": True, "num_transitions": 1}]


@pytest.fixture(params=CELLS)
def cell_type(request):
    return request.param


@pytest.fixture(params=KINDS, ids=str)
def kind(request):
    return request.param


def fill(layer):
    """Weights where every part shows: drawn as the model draws them, then moved."""
    torch.manual_seed(0)
    for module in layer.modules():
        if isinstance(module, RecurrentCell):
            init_recurrent_weights(module)
    for parameter in layer.parameters():
        parameter.data.add_(torch.randn_like(parameter) * 0.3)
    return layer.double()


def build_layer(cell_type, bidirectional=False, **kind):
    sizes = {"cell_type": cell_type, "input_size": 3, "hidden_size": 4, "bidirectional": bidirectional}
    return fill(build_recurrent_layer(**sizes, **kind))


def num_tensors(cell_type):
    return 2 if cell_type == "lstm" else 1


def gradients(loss, tensors):
    return torch.autograd.grad(loss, list(tensors), allow_unused=True)


@pytest.mark.parametrize("bidirectional", [False, True])
def test_whole_sequence_equals_plain_loop(cell_type, kind, bidirectional):
    layer = build_layer(cell_type, bidirectional, **kind)
    lengths = [5, 2, 1]
    inputs = torch.randn(3, 5, 3, dtype=torch.float64, requires_grad=True)
    outputs, *state = layer(inputs, lengths=torch.tensor(lengths))
    expected = torch.zeros_like(outputs)
    finals = []
    for row, length in enumerate(lengths):
        steps, final = reference.run_layer(layer, list(inputs[row, :length]), 4, num_tensors(cell_type), bidirectional)
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


def assert_same_with_gradients(ours, twins, tensors):
    for one, other in zip(ours, twins, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-12)
        probe = torch.randn_like(one)
        options = {"retain_graph": True, "allow_unused": True}
        for gradient, twin in zip(
            torch.autograd.grad((one * probe).sum(), tensors, **options),
            torch.autograd.grad((other * probe).sum(), tensors, **options),
            strict=True,
        ):
            # autograd says None, or zeros where a slice of a weight is read that does not matter
            gradient, twin = (torch.zeros(()) if g is None else g for g in (gradient, twin))
            torch.testing.assert_close(gradient + 0 * twin, twin + 0 * gradient, rtol=0, atol=1e-10, check_dtype=False)


def draw_state(cell_type):
    return tuple(torch.randn(2, 4, dtype=torch.float64, requires_grad=True) for _ in range(num_tensors(cell_type)))


def test_step_equals_plain_loop(cell_type, kind):
    layer = build_layer(cell_type, **kind)
    inputs, state = torch.randn(2, 3, dtype=torch.float64, requires_grad=True), draw_state(cell_type)
    output, new_state = layer.step(layer.project_inputs(inputs), state)
    assert output is new_state[0]
    rows = [reference.layer_step(layer, inputs[row], tuple(s[row] for s in state)) for row in range(2)]
    expected = [torch.stack(tensors) for tensors in zip(*rows, strict=True)]
    assert_same_with_gradients(new_state, expected, [inputs, *state, *layer.parameters()])


def test_conditional_step_equals_plain_loop(cell_type, kind):
    sizes = {"cell_type": cell_type, "input_size": 3, "context_size": 5, "hidden_size": 4}
    layer = fill(ConditionalLayer(**sizes, **kind))
    inputs, context = (torch.randn(2, size, dtype=torch.float64, requires_grad=True) for size in (3, 5))
    state = draw_state(cell_type)
    query, between = layer.step(layer.project_inputs(inputs), state)
    output, new_state = layer.read_context(context, between)
    queries, finals = [], []
    for row in range(2):
        twin = reference.cell_step(layer.cells[0], inputs[row], tuple(s[row] for s in state))
        queries.append(twin[0])
        twin = reference.cell_step(layer.cells[1], context[row], twin)
        for cell in layer.cells[2:]:
            twin = reference.cell_step(cell, None, twin)
        finals.append(twin)
    expected = [torch.stack(queries), *(torch.stack(tensors) for tensors in zip(*finals, strict=True))]
    assert output is new_state[0]
    assert_same_with_gradients([query, *new_state], expected, [inputs, context, *state, *layer.parameters()])


def test_whole_sequence_continues_from_state(cell_type, kind):
    layer = build_layer(cell_type, **kind)
    inputs = torch.randn(2, 6, 3, dtype=torch.float64)
    whole, *_ = layer(inputs)
    first, *state = layer(inputs[:, :2])
    rest, *_ = layer(inputs[:, 2:], *state)
    torch.testing.assert_close(torch.cat([first, rest], dim=1), whole, rtol=0, atol=1e-12)


def test_projected_parts_add_up_to_the_whole_input(cell_type, kind):
    layer = build_layer(cell_type, **kind)
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


def test_initialisation_of_normalised_cells_opens_the_forget_gate_in_the_norm():
    cell = RecurrentCell(cell_type="lstm", input_size=3, hidden_size=4, layer_norm=True)
    init_recurrent_weights(cell)
    assert (cell.recurrent_norm.bias[4:8] == 1).all()
    assert cell.recurrent_norm.bias.abs().sum() == 4
    assert (cell.input_norm.bias == 0).all()


def test_plain_cells_run_on_torch_kernels():
    assert isinstance(build_layer("lstm"), RecurrentLayer)
    assert not isinstance(build_layer("lstm", layer_norm=True), RecurrentLayer)
