"""Moving real tokens to the front and back."""

import torch

from hf_rnn_seq2seq.model.modeling_padding import RightPadding


def test_tokens_go_to_the_front_in_order_and_back():
    mask = torch.tensor([[0, 1, 0, 1], [1, 1, 0, 0], [0, 0, 0, 0]])
    steps = torch.arange(12.0).view(3, 4, 1)
    padding = RightPadding(mask)
    moved = padding.to_front(steps)
    assert moved[0, :2, 0].tolist() == [1, 3]
    assert moved[1, :2, 0].tolist() == [4, 5]
    torch.testing.assert_close(padding.to_place(moved), steps)
    assert padding.lengths.tolist() == [2, 2, 1]
    assert padding.clear_empty_rows(steps)[2].abs().sum() == 0
    assert padding.clear_empty_rows(steps)[:2].equal(steps[:2])


def test_full_and_right_padded_batches_are_left_as_they_are():
    steps = torch.randn(2, 3, 1)
    full, right = RightPadding(torch.ones(2, 3)), RightPadding(torch.tensor([[1, 1, 0], [1, 0, 0]]))
    assert full.lengths is None
    assert right.lengths.tolist() == [2, 1]
    assert full.to_front(steps) is steps
    assert right.to_front(steps) is steps
