"""Attention maps: what they hold, and that the picture is one."""

import pytest
import torch

from hf_rnn_seq2seq.data.tokenizer_training import train_tokenizer
from hf_rnn_seq2seq.decoding.attention_map import map_attention, plot_attention
from tests.conftest import build_model


@pytest.mark.parametrize("joint", [True, False])
def test_map_holds_the_weights_of_the_given_pair(joint, tmp_path):
    tokenizer = train_tokenizer(["a b c"], ["x y z w"], kind="word", joint=joint)
    sizes = {"vocab_size": len(tokenizer)}
    if not joint:
        sizes |= {"decoder_vocab_size": tokenizer.target_vocab_size, "share_encoder_decoder_embeddings": False}
    model = build_model(**sizes)
    attention = map_attention(model, tokenizer, "c a", "x w")
    assert attention.source_tokens == ["▁c", "▁a", "</s>"]
    assert attention.target_tokens == ["▁x", "▁w", "</s>"]
    assert attention.text == "x w"
    batch = tokenizer("c a", text_target="x w", return_tensors="pt")
    expected = model(input_ids=batch["input_ids"], labels=batch["labels"], output_attentions=True)
    torch.testing.assert_close(attention.weights, expected.cross_attentions[0][0, 0].float().detach())
    torch.testing.assert_close(attention.weights.sum(-1), torch.ones(3))
    picture = tmp_path / "attention.png"
    plot_attention(attention, picture)
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_map_of_a_generated_translation_has_a_row_for_each_token():
    tokenizer = train_tokenizer(["a b c"], kind="word")
    model = build_model(vocab_size=len(tokenizer))
    attention = map_attention(model, tokenizer, "a b", num_beams=2, max_new_tokens=5)
    assert attention.weights.shape == (len(attention.target_tokens), 3)


def test_empty_source_is_refused():
    with pytest.raises(ValueError, match="`source` must hold text"):
        map_attention(None, None, "  ")
