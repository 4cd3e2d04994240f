"""Attention maps and word alignments: what they hold."""

import pytest
import torch
from transformers import MarianConfig, MarianMTModel

from hf_rnn_seq2seq import map_attention, train_tokenizer
from hf_rnn_seq2seq.model.pipeline_attention import align_words, attend, find_source_words, find_target_words
from tests.conftest import build_model


@pytest.mark.parametrize("joint", [True, False])
def test_map_holds_the_weights_of_the_given_pair(joint):
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


def test_map_of_a_generated_translation_has_a_row_for_each_token():
    tokenizer = train_tokenizer(["a b c"], kind="word")
    model = build_model(vocab_size=len(tokenizer))
    attention = map_attention(model, tokenizer, "a b", num_beams=2, max_new_tokens=5)
    assert attention.weights.shape == (len(attention.target_tokens), 3)


def test_empty_source_is_refused():
    with pytest.raises(ValueError, match="`source` must hold text"):
        map_attention(None, None, "  ")


def test_words_are_aligned_by_the_attention_of_all_their_tokens():
    # two source words of two tokens, one target word of two: the first token alone would choose the second word
    weights = torch.tensor([[0.1, 0.1, 0.5, 0.1, 0.2], [0.5, 0.4, 0.0, 0.0, 0.1], [0.0, 0.0, 0.0, 0.3, 0.7]])
    assert align_words(weights, [0, 0, 1, 1, None], [0, 0, 1]) == [(0, 0), (1, 1)]


def test_nothing_is_aligned_where_there_are_no_words():
    assert align_words(torch.ones(1, 1), [None], [0]) == []
    assert align_words(torch.ones(1, 1), [0], [None]) == []


@pytest.mark.parametrize("kind", ["bpe", "unigram", "wordpiece", "char"])
def test_every_token_finds_its_word(kind):
    text = "Der  Mann, der (2) lachte."
    tokenizer = train_tokenizer([text, "lachen lacht Mantel"] * 5, kind=kind, vocab_size=40)
    tokens = tokenizer.convert_ids_to_tokens(tokenizer(text)["input_ids"])
    source_words = find_source_words(tokenizer, text)
    target_words = find_target_words(tokenizer, tokenizer(text)["input_ids"])
    for words in (source_words, target_words):
        spelled = [""] * 5
        for token, word in zip(tokens, words, strict=True):
            if word is not None:
                spelled[word] += token.replace("▁", "")
        assert spelled == text.split()
    assert source_words[-1] is target_words[-1] is None


def test_tokens_of_a_prefix_belong_to_no_word():
    tokenizer = train_tokenizer(["x y: a b"], kind="word")
    assert find_source_words(tokenizer, "a b", prefix="x y: ") == [None, None, None, 0, 1, None]


def test_model_without_attention_weights_is_refused_with_the_way_out():
    sizes = {"d_model": 8, "encoder_layers": 1, "decoder_layers": 1, "encoder_ffn_dim": 8, "decoder_ffn_dim": 8}
    heads = {"encoder_attention_heads": 1, "decoder_attention_heads": 1, "attn_implementation": "sdpa"}
    model = MarianMTModel(MarianConfig(vocab_size=8, pad_token_id=0, **sizes, **heads)).eval()
    ids = torch.tensor([[3, 4, 2]])
    with pytest.raises(ValueError, match="attn_implementation='eager'"):
        attend(model, {"input_ids": ids, "attention_mask": torch.ones_like(ids)}, ids)
