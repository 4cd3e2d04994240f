"""GRU and plain RNN layers over a whole batch of sentences, with backpropagation through time written by hand.

Steps of all sentences lie one after the other, without padding: first the first tokens of all sentences, the longest
sentence in front, then the second tokens of those that have one, and so on. A step is a slice of that. Werbos 1990,
"Backpropagation through time: what it does and how to do it"; the layout is that of torch's `PackedSequence`.

What a step's backward multiplies the gradient of its state with depends on the forward values only. These factors are
computed for all steps at once; what is left for the loop is a matrix product and a few products of entries.

Shapes: D directions, N real tokens of the batch, n sentences in a step, G gates, H units.
"""

from typing import NamedTuple

import torch
from torch.autograd.function import once_differentiable

from .modeling_products import add_product, multiply, tanh_, turn

_sigmoid_backward = torch.ops.aten.sigmoid_backward.grad_input
_tanh_backward = torch.ops.aten.tanh_backward.grad_input


class Packing(NamedTuple):
    """Where the tokens of a padded batch lie in the layout of this file.

    Attributes:
        order (`torch.LongTensor` of shape `(B)`): rows of the batch, the longest first.
        index (`torch.LongTensor` of shape `(D, N)`): for each place the token `row * S + step` that lies there; the
            second direction reads every sentence from its end.
        sizes (`list[int]`): sentences n of each step.
    """

    order: torch.Tensor
    index: torch.Tensor
    sizes: list[int]


def pack(lengths: torch.Tensor, num_steps: int, num_directions: int) -> Packing:
    """The packing of a batch padded on the right.

    Args:
        lengths (`torch.LongTensor` of shape `(B)`): real tokens of each row, at least 1.
        num_steps (`int`): width of the padded batch, S.
        num_directions (`int`): D.
    """
    lengths, order = lengths.sort(descending=True, stable=True)
    steps = torch.arange(int(lengths[0]))[:, None]
    is_real = steps < lengths
    places = [steps, lengths - 1 - steps][:num_directions]
    index = torch.stack([(order * num_steps + place)[is_real] for place in places])
    return Packing(order, index, is_real.sum(1).tolist())


class RecurrenceOverTime(torch.autograd.Function):
    """A layer of plain cells over packed sentences; the twin of `nn.GRU` and `nn.RNN`.

    Call `apply(cell_type, packing, dtype, inputs, hidden, *weights)`:

    Args:
        cell_type (`str`): `"gru"`, `"rnn_tanh"` or `"rnn_relu"`.
        packing (`Packing`): of the batch.
        dtype (`torch.dtype`): of the matrix products.
        inputs (`torch.Tensor` of shape `(B, S, width)`): padded on the right.
        hidden (`torch.Tensor` of shape `(B, D * H)`): where to start.
        weights (`torch.Tensor`): for each direction `weight_ih`, `weight_hh`, `bias_ih`, `bias_hh` as torch has them.

    Returns:
        `(outputs, hidden)` of shapes `(B, S, D * H)`, 0 on padding, and `(B, D * H)`.
    """

    @staticmethod
    def forward(ctx, cell_type, packing, dtype, inputs, hidden, *weights):
        cells, num_directions = _CELLS[cell_type], len(packing.index)
        weight_ih, weight_hh, bias_ih, bias_hh = (
            torch.stack([weight.to(dtype) for weight in weights[kind::4]]) for kind in range(4)
        )
        packed = _gather(inputs.to(dtype), packing.index)  # (D, N, width)
        hidden = _split_directions(hidden.to(dtype), packing.order, num_directions)
        bias = bias_ih + cells.input_bias(bias_hh)
        gates = _multiply(packed, weight_ih).add_(bias[:, None])
        outputs, saved = cells.forward(gates, weight_hh, bias_hh, hidden, packing.sizes)
        ctx.cells, ctx.packing, ctx.input_shape = cells, packing, inputs.shape
        ctx.save_for_backward(packed, weight_ih, weight_hh, hidden, outputs, *saved)
        ctx.dtypes = inputs.dtype, weights[0].dtype
        final = _join_directions(_last(outputs, packing.sizes), packing.order)
        return _scatter(outputs, packing.index, inputs.shape[:2]), final

    @staticmethod
    @once_differentiable
    def backward(ctx, d_outputs, d_hidden):
        packing, sizes = ctx.packing, ctx.packing.sizes
        packed, weight_ih, weight_hh, hidden, outputs, *saved = ctx.saved_tensors
        num_directions, (input_dtype, weight_dtype) = len(packing.index), ctx.dtypes
        d_outputs = torch.stack(
            [
                d_outputs.flatten(0, 1).index_select(0, index)[:, part]
                for index, part in zip(packing.index, _parts(num_directions, outputs.shape[-1]), strict=True)
            ]
        )
        d_hidden = _split_directions(d_hidden.to(outputs.dtype), packing.order, num_directions).clone()
        previous = _previous(outputs, hidden, sizes)
        d_gates, d_recurrent = ctx.cells.backward(d_outputs, d_hidden, weight_hh, previous, outputs, saved, sizes)
        d_weights = [
            [torch.mm(left.t(), right) for left, right in zip(d_gates, packed, strict=True)],
            [torch.mm(left.t(), right) for left, right in zip(d_recurrent, previous, strict=True)],
            d_gates.sum(1),
            d_recurrent.sum(1),
        ]
        d_weights = [kind[direction].to(weight_dtype) for direction in range(num_directions) for kind in d_weights]
        d_inputs = None
        if ctx.needs_input_grad[3]:
            d_packed = _multiply(d_gates, turn(weight_ih))
            d_inputs = sum(
                _scatter(d_packed[number : number + 1], packing.index[number : number + 1], ctx.input_shape[:2])
                for number in range(num_directions)
            ).to(input_dtype)
        return None, None, None, d_inputs, _join_directions(d_hidden, packing.order), *d_weights


class _Gru:
    """Equations of `gru_step`; saved are the gates and the candidate's part of the recurrent product."""

    @staticmethod
    def input_bias(bias_hh):
        # the candidate's part is gated, so that its bias cannot join that of the input
        size = bias_hh.shape[1] // 3
        return torch.cat([bias_hh[:, : 2 * size], torch.zeros_like(bias_hh[:, :size])], dim=1)

    @staticmethod
    def forward(gates, weight_hh, bias_hh, hidden, sizes):
        size = weight_hh.shape[-1]
        outputs = gates.new_empty(*gates.shape[:2], size)
        gated = torch.empty_like(outputs)
        candidate_bias = bias_hh[:, None, 2 * size :]
        for start, stop in _slices(sizes):
            step, last = gates[:, start:stop], hidden[:, : stop - start]
            product = _multiply(last, weight_hh)
            both = step[..., : 2 * size].add_(product[..., : 2 * size]).sigmoid_()
            reset_gate, update_gate = both.chunk(2, dim=-1)
            add = torch.add(product[..., 2 * size :], candidate_bias, out=gated[:, start:stop])
            candidate = tanh_(step[..., 2 * size :].addcmul_(reset_gate, add))
            hidden = torch.lerp(candidate, last, update_gate, out=outputs[:, start:stop])
        return outputs, (gates, gated)

    @staticmethod
    def backward(d_outputs, d_hidden, weight_hh, previous, outputs, saved, sizes):
        gates, gated = saved
        size = weight_hh.shape[-1]
        reset_gate, update_gate, candidate = gates.chunk(3, dim=-1)
        d_recurrent = torch.empty_like(gates)
        reset_part, update_part, gated_part = d_recurrent.chunk(3, dim=-1)
        d_candidate = _tanh_backward(1 - update_gate, candidate, grad_input=torch.empty_like(gated))
        _sigmoid_backward(d_candidate * gated, reset_gate, grad_input=reset_part)
        _sigmoid_backward(previous - candidate, update_gate, grad_input=update_part)
        torch.mul(d_candidate, reset_gate, out=gated_part)
        parts, weight = d_recurrent.unflatten(-1, (3, size)), turn(weight_hh)
        for start, stop in reversed(_slices(sizes)):
            d_h = d_hidden[:, : stop - start]
            d_h.add_(d_outputs[:, start:stop])
            parts[:, start:stop].mul_(d_h[:, :, None])
            d_candidate[:, start:stop].mul_(d_h)
            d_h.mul_(update_gate[:, start:stop])
            _add_products(d_h, d_recurrent[:, start:stop], weight)
        d_gates = d_recurrent.clone()
        d_gates[..., 2 * size :] = d_candidate
        return d_gates, d_recurrent


class _Rnn:
    """`f(W x + b + U hidden + c)`; nothing but the outputs is needed again."""

    @staticmethod
    def input_bias(bias_hh):
        return bias_hh

    @classmethod
    def forward(cls, gates, weight_hh, bias_hh, hidden, sizes):
        for start, stop in _slices(sizes):
            hidden = cls.activate(_add_products(gates[:, start:stop], hidden[:, : stop - start], weight_hh))
        return gates, ()

    @classmethod
    def backward(cls, d_outputs, d_hidden, weight_hh, previous, outputs, saved, sizes):
        d_gates, weight = cls.slope(outputs), turn(weight_hh)
        for start, stop in reversed(_slices(sizes)):
            d_h = d_hidden[:, : stop - start]
            step = d_gates[:, start:stop].mul_(d_h.add_(d_outputs[:, start:stop]))
            d_h.copy_(_multiply(step, weight))
        return d_gates, d_gates


class _TanhRnn(_Rnn):
    activate = staticmethod(tanh_)

    @staticmethod
    def slope(outputs):
        return 1 - outputs * outputs


class _ReluRnn(_Rnn):
    activate = staticmethod(torch.relu_)

    @staticmethod
    def slope(outputs):
        return (outputs > 0).to(outputs.dtype)


_CELLS = {"gru": _Gru, "rnn_tanh": _TanhRnn, "rnn_relu": _ReluRnn}


def _slices(sizes: list[int]) -> list[tuple[int, int]]:
    """Start and stop of each step."""
    stops = torch.tensor(sizes).cumsum(0).tolist()
    return [(stop - size, stop) for stop, size in zip(stops, sizes, strict=True)]


def _add_products(total: torch.Tensor, left: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """`total += left weight'` for each direction, in place."""
    for direction, inputs, matrix in zip(total, left, weight, strict=True):
        add_product(direction, inputs, matrix)
    return total


def _multiply(left: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """`left weight'` for each direction."""
    products = [multiply(inputs, matrix) for inputs, matrix in zip(left, weight, strict=True)]
    return products[0][None] if len(products) == 1 else torch.stack(products)


def _previous(states: torch.Tensor, start: torch.Tensor, sizes: list[int]) -> torch.Tensor:
    """The state before each step, packed `(D, N, H)`, of those after it and at the start `(D, B, H)`."""
    pieces = [start[:, : sizes[0]]]
    pieces += [states[:, begin : begin + size] for (begin, _), size in zip(_slices(sizes), sizes[1:], strict=False)]
    return torch.cat(pieces, dim=1)


def _last(states: torch.Tensor, sizes: list[int]) -> torch.Tensor:
    """The state after each sentence's last step, `(D, B, H)`, the longest sentence first."""
    pieces = [
        states[:, start + following : stop]
        for (start, stop), following in zip(_slices(sizes), [*sizes[1:], 0], strict=True)
    ]
    return torch.cat(pieces[::-1], dim=1)


def _parts(num_directions: int, size: int) -> list[slice]:
    return [slice(number * size, (number + 1) * size) for number in range(num_directions)]


def _gather(padded: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
    """`(B, S, width)` as `(D, N, width)`."""
    return padded.flatten(0, 1).index_select(0, index.flatten()).unflatten(0, index.shape)


def _scatter(packed: torch.Tensor, index: torch.Tensor, shape: torch.Size) -> torch.Tensor:
    """`(D, N, H)` as `(B, S, D * H)`, 0 on padding."""
    size = packed.shape[-1]
    padded = packed.new_zeros(shape.numel(), len(packed) * size)
    for direction, places, part in zip(packed, index, _parts(len(packed), size), strict=True):
        padded[:, part].index_copy_(0, places, direction)
    return padded.unflatten(0, shape)


def _split_directions(state: torch.Tensor, order: torch.Tensor, num_directions: int) -> torch.Tensor:
    """`(B, D * H)` as `(D, B, H)`, the longest sentence first."""
    return state.index_select(0, order).unflatten(1, (num_directions, -1)).transpose(0, 1).contiguous()


def _join_directions(state: torch.Tensor, order: torch.Tensor) -> torch.Tensor:
    """Undo `_split_directions`."""
    joined = state.transpose(0, 1).flatten(1)
    return torch.empty_like(joined).index_copy_(0, order, joined)


__all__ = ["Packing", "RecurrenceOverTime", "pack"]
