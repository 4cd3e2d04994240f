"""The bricks between encoder, decoder and output layer, against their plain twins."""

import pytest
import torch

from hf_rnn_seq2seq.model.modeling_bridge import Bridge
from hf_rnn_seq2seq.model.modeling_readout import Readout
from tests import reference


@pytest.mark.parametrize("has_cell", [True, False])
def test_bridge_equals_plain_loop_with_gradients(has_cell):
    torch.manual_seed(0)
    bridge = Bridge(memory_size=3, hidden_size=4, num_layers=2, has_cell=has_cell).double()
    finals = [torch.randn(2, 3, 3, dtype=torch.float64, requires_grad=True) for _ in range(2)]
    states = bridge(finals[0], finals[1] if has_cell else None)
    twins = [reference.start_states(bridge, [final[row, -1] for final in finals]) for row in range(2)]
    total, twin_total = 0.0, 0.0
    for layer, state in enumerate(states):
        assert len(state) == (2 if has_cell else 1)
        for kind, tensor in enumerate(state):
            expected = torch.stack([twin[layer][kind] for twin in twins])
            torch.testing.assert_close(tensor, expected, rtol=0, atol=1e-14)
            probe = torch.randn_like(tensor)
            total, twin_total = total + (tensor * probe).sum(), twin_total + (expected * probe).sum()
    tensors = [*finals[: len(states[0])], *bridge.parameters()]
    for ours, theirs in zip(
        torch.autograd.grad(total, tensors), torch.autograd.grad(twin_total, tensors), strict=True
    ):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-12)


def test_readout_equals_plain_loop_with_gradients():
    torch.manual_seed(0)
    readout = Readout(part_sizes=[3, 2], readout_size=4).double()
    parts = [torch.randn(2, 5, size, dtype=torch.float64, requires_grad=True) for size in (3, 2)]
    features = readout(*parts)
    expected = torch.stack(
        [torch.stack([reference.read_out(readout, *(p[b, t] for p in parts)) for t in range(5)]) for b in range(2)]
    )
    torch.testing.assert_close(features, expected, rtol=0, atol=1e-14)
    probe = torch.randn_like(features)
    tensors = [*parts, *readout.parameters()]
    for ours, theirs in zip(
        torch.autograd.grad((features * probe).sum(), tensors),
        torch.autograd.grad((expected * probe).sum(), tensors),
        strict=True,
    ):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-12)
