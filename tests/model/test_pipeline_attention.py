"""Attention maps and word alignments: what they hold."""

import pytest
import torch
from transformers import MarianConfig, MarianMTModel

from hf_rnn_seq2seq import map_attention, train_tokenizer
from hf_rnn_seq2seq.model.pipeline_attention import (
    align_words,
    attend,
    find_source_words,
    find_target_words,
    format_pharaoh,
    gather_attention,
)
from tests.conftest import build_model, pad


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


@torch.no_grad()
@pytest.mark.parametrize("use_cache", [True, False])
@pytest.mark.parametrize("prefix", [None, [1, 7, 5]])
@pytest.mark.parametrize("num_beams", [1, 4])
@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"decoder_type": "input_feeding", "attention_type": "additive", "num_attention_heads": 2},
        {"attention_type": "additive", "attention_feedback": "coverage", "decoder_type": "conditional"},
    ],
)
def test_attention_gathered_from_beams_is_that_of_the_translation_read_again(fields, num_beams, prefix, use_cache):
    model = build_model(**fields)
    # beams that end at different steps
    model.lm_head.bias[2] += 1.5
    ids, mask = pad([[4, 5, 6, 7, 2], [8, 9, 2], [10, 2]], "left")
    inputs = {"input_ids": ids, "attention_mask": mask}
    started = {} if prefix is None else {"decoder_input_ids": torch.tensor([prefix]).expand(3, -1)}
    output = model.generate(
        **inputs,
        **started,
        num_beams=num_beams,
        num_return_sequences=2 if num_beams > 1 else 1,
        max_new_tokens=7,
        use_cache=use_cache,
        return_dict_in_generate=True,
        output_attentions=True,
    )
    gathered = gather_attention(model, output, num_source=5)
    per_source = len(output.sequences) // 3
    repeated = {name: tensor.repeat_interleave(per_source, 0) for name, tensor in inputs.items()}
    expected = attend(model, repeated, output.sequences)
    lengths = []
    for row, sequence in enumerate(output.sequences.tolist()):
        length = sequence.index(2) if 2 in sequence else len(sequence) - 1
        lengths.append(length)
        torch.testing.assert_close(gathered[row, :length], expected[row, :length], rtol=0, atol=1e-6)
    assert num_beams == 1 or prefix or len(set(lengths)) > 1


def test_models_without_attention_say_so():
    model = build_model(attention_type="none")
    inputs = {"input_ids": torch.tensor([[4, 2]]), "attention_mask": torch.tensor([[1, 1]])}
    with pytest.raises(ValueError, match="must return attention weights to be looked at, got none.*without attention"):
        attend(model, inputs, torch.tensor([[1, 5]]))
    model = build_model(encoder_stride=2)
    inputs = {"input_ids": torch.tensor([[4, 5, 2]]), "attention_mask": torch.ones(1, 3, dtype=torch.long)}
    with pytest.raises(ValueError, match="a weight for each of 3 source tokens to be shown, got 2: a model with `enc"):
        attend(model, inputs, torch.tensor([[1, 5]]))


def test_pharaoh_lines_are_sorted_by_source():
    assert format_pharaoh([(2, 0), (0, 1), (1, 1)]) == "0-1 1-1 2-0"
    assert format_pharaoh([]) == ""
