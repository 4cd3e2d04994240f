"""The bricks between encoder, decoder and output layer, against their plain twins."""

import pytest
import torch

from hf_rnn_seq2seq import RnnSeq2SeqConfig
from hf_rnn_seq2seq.model.modeling_bridge import Bridge
from hf_rnn_seq2seq.model.modeling_readout import Readout
from tests import reference
from tests.conftest import TINY


def assert_same_gradients(total, twin_total, tensors):
    options = {"allow_unused": True}
    for ours, theirs in zip(
        torch.autograd.grad(total, tensors, **options),
        torch.autograd.grad(twin_total, tensors, **options),
        strict=True,
    ):
        assert (ours is None) == (theirs is None)
        if ours is not None:
            torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-12)


@pytest.mark.parametrize("bridge_cell", ["cell", "hidden"])
@pytest.mark.parametrize("cell_type", ["lstm", "gru"])
@pytest.mark.parametrize("bridge_type", ["copy", "dense", "dense_tanh"])
def test_bridge_equals_plain_loop_with_gradients(bridge_type, cell_type, bridge_cell):
    torch.manual_seed(0)
    config = RnnSeq2SeqConfig(
        **{**TINY, "bridge_type": bridge_type, "cell_type": cell_type, "bridge_cell": bridge_cell}
    )
    bridge = Bridge(
        bridge_type=bridge_type,
        input_size=6,
        hidden_size=6,
        num_layers=2,
        has_cell=cell_type == "lstm",
        cell_from_hidden=bridge_cell == "hidden",
    ).double()
    finals = [torch.randn(3, 2, 6, dtype=torch.float64, requires_grad=True) for _ in range(2)]
    states = bridge(*finals)
    twins = [
        reference.start_states(config, bridge, None, [tuple(final[row, k] for final in finals) for k in range(2)])
        for row in range(3)
    ]
    total, twin_total = 0.0, 0.0
    for layer, state in enumerate(states):
        assert len(state) == (2 if cell_type == "lstm" else 1)
        for kind, tensor in enumerate(state):
            expected = torch.stack([twin[layer][kind] for twin in twins])
            torch.testing.assert_close(tensor, expected, rtol=0, atol=1e-14)
            probe = torch.randn_like(tensor)
            total, twin_total = total + (tensor * probe).sum(), twin_total + (expected * probe).sum()
    assert_same_gradients(total, twin_total, [*finals, *bridge.parameters()])


def test_bridge_of_zeros_starts_from_zeros():
    bridge = Bridge(bridge_type="zeros", input_size=3, hidden_size=4, num_layers=2, has_cell=True)
    states = bridge(torch.randn(2, 1, 3), None)
    assert [tensor.tolist() for state in states for tensor in state] == [[[0.0] * 4] * 2] * 4


@pytest.mark.parametrize(
    ("readout_type", "readout_size"),
    [("linear", 4), ("tanh", 4), ("maxout", 4), ("context_gate", 4), ("concat", 6), ("state", 3)],
)
def test_readout_equals_plain_loop_with_gradients(readout_type, readout_size):
    torch.manual_seed(0)
    sizes = [3] if readout_type == "state" else [3, 2, 1]
    readout = Readout(readout_type=readout_type, part_sizes=sizes, readout_size=readout_size).double()
    parts = [torch.randn(2, 5, size, dtype=torch.float64, requires_grad=True) for size in sizes]
    features = readout(*parts)
    assert features.shape == (2, 5, readout_size)
    expected = torch.stack(
        [torch.stack([reference.read_out(readout, *(p[b, t] for p in parts)) for t in range(5)]) for b in range(2)]
    )
    torch.testing.assert_close(features, expected, rtol=0, atol=1e-14)
    probe = torch.randn_like(features)
    assert_same_gradients((features * probe).sum(), (expected * probe).sum(), [*parts, *readout.parameters()])
