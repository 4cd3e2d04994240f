"""The heat map: that it is a picture, whatever the tokens are."""

import torch

from hf_rnn_seq2seq import AttentionMap
from hf_rnn_seq2seq.decoding.attention_map import plot_attention


def test_picture_is_drawn_also_of_tokens_that_look_like_formulas(tmp_path):
    picture = tmp_path / "attention.png"
    plot_attention(AttentionMap(["$a", "b$", "</s>"], ["_x^"], torch.tensor([[0.2, 0.3, 0.5]]), "x"), picture)
    assert picture.read_bytes().startswith(b"\x89PNG")
