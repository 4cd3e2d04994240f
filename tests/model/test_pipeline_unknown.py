"""Unknown target words: the raw source text that was looked at stands in their place."""

import pytest
import torch
from transformers import pipeline

from hf_rnn_seq2seq import train_tokenizer, translate
from hf_rnn_seq2seq.model.pipeline_attention import align_texts
from hf_rnn_seq2seq.model.pipeline_unknown import decode_with_source
from tests.conftest import build_model

TEXT = "the Mann of Köln"


def look_at(tokenizer, source, text):
    """A row of weights with its peak where the token of `source` stands that covers the end of `text`."""
    place = source.index(text) + len(text)
    offsets = tokenizer(source, return_offsets_mapping=True)["offset_mapping"]
    return [1.0 if end == place and end > start else 0.0 for start, end in offsets]


@pytest.mark.parametrize("kind", ["word", "bpe", "unigram", "wordpiece"])
def test_unknown_token_becomes_the_whole_word_that_was_looked_at(kind):
    tokenizer = train_tokenizer(["the man of town a b c d e f"] * 9, kind=kind, vocab_size=40)
    source = "see Qōtown there"
    ids = [*tokenizer(text_target="the", add_special_tokens=False)["input_ids"], tokenizer.unk_token_id]
    ids += [*tokenizer(text_target="of", add_special_tokens=False)["input_ids"], tokenizer.eos_token_id]
    weights = torch.zeros(len(ids), len(tokenizer(source)["input_ids"]))
    weights[ids.index(tokenizer.unk_token_id)] = torch.tensor(look_at(tokenizer, source, "Qōtown"))
    text = decode_with_source(tokenizer, source, ids, weights)
    assert text.split()[0] == "the"
    assert "Qōtown" in text
    assert tokenizer.unk_token not in text


def test_unknown_character_becomes_the_character():
    tokenizer = train_tokenizer(["the town"], kind="char")
    source = "ō wō"
    ids = tokenizer(text_target="to")["input_ids"][:-1] + [tokenizer.unk_token_id, tokenizer.eos_token_id]
    weights = torch.zeros(len(ids), len(tokenizer(source)["input_ids"]))
    weights[2] = torch.tensor(look_at(tokenizer, source, "wō"))
    assert decode_with_source(tokenizer, source, ids, weights) == "toō"


def test_each_unknown_token_has_its_own_word_and_known_text_is_left_alone():
    tokenizer = train_tokenizer(["the of a"], kind="word")
    unknown = tokenizer.unk_token_id
    the, of = tokenizer(text_target="the of", add_special_tokens=False)["input_ids"]
    ids = [the, unknown, of, unknown, tokenizer.eos_token_id]
    weights = torch.zeros(5, 5)
    weights[1, 3] = weights[3, 1] = 1.0
    # never `</s>`, however much attention it gets
    weights[3, 4] = 5.0
    assert decode_with_source(tokenizer, TEXT, ids, weights) == "the Köln of Mann"
    assert decode_with_source(tokenizer, TEXT, [the, of], weights[:2]) == "the of"


def test_words_that_were_put_in_are_aligned_as_words():
    tokenizer = train_tokenizer(["a b c"], kind="word")
    a, b = tokenizer(text_target="a b", add_special_tokens=False)["input_ids"]
    ids, weights = [a, tokenizer.unk_token_id, b, tokenizer.eos_token_id], torch.eye(4)
    assert decode_with_source(tokenizer, "a zzz b", ids, weights) == "a zzz b"
    assert align_texts(tokenizer, "a zzz b", ids, weights, replace_unknown=True) == [(0, 0), (1, 1), (2, 2)]
    # without, the text is `a b`
    assert align_texts(tokenizer, "a zzz b", ids, weights) == [(0, 0), (2, 1)]


def test_letters_that_spell_the_unknown_token_are_text():
    tokenizer = train_tokenizer(["<unk> a"], kind="char")
    letters = [tokenizer.convert_tokens_to_ids(letter) for letter in "<unk>"]
    assert tokenizer.unk_token_id not in letters
    ids = [*letters, tokenizer.unk_token_id, *letters, tokenizer.unk_token_id]
    weights = torch.zeros(len(ids), len(tokenizer("aéü")["input_ids"]))
    weights[5] = torch.tensor(look_at(tokenizer, "aéü", "aé"))
    weights[11] = torch.tensor(look_at(tokenizer, "aéü", "aéü"))
    assert decode_with_source(tokenizer, "aéü", ids, weights) == "<unk>é<unk>ü"


@pytest.mark.parametrize("num_beams", [1, 3])
@pytest.mark.parametrize("joint", [True, False])
def test_unknown_words_are_replaced_by_the_pipeline_and_by_translate(num_beams, joint):
    tokenizer = train_tokenizer(["the of a"], ["b c d e"], kind="word", joint=joint)
    sizes = {"vocab_size": len(tokenizer)}
    if not joint:
        sizes |= {"decoder_vocab_size": tokenizer.target_vocab_size, "share_encoder_decoder_embeddings": False}
    model = build_model(**sizes).float()
    model.generation_config.update(eos_token_id=2, pad_token_id=0, bos_token_id=1)
    # transformers' own setting that makes the first token unknown
    options = {"num_beams": num_beams, "max_new_tokens": 3, "forced_bos_token_id": tokenizer.unk_token_id}
    pipe = pipeline("translation", model=model, tokenizer=tokenizer)
    (plain,) = pipe(TEXT, return_attention=True, **options)
    weights = torch.tensor(plain["attention"]["weights"])[0, :-1]
    expected = TEXT.split()[int(weights.argmax())]
    (replaced,) = pipe(TEXT, replace_unknown=True, **options)
    assert replaced["translation_text"].split()[0] == expected
    (aligned,) = pipe(TEXT, replace_unknown=True, return_alignments=True, **options)
    assert [target for _, target in aligned["alignments"]] == list(range(len(aligned["translation_text"].split())))
    # and beside shorter and longer neighbours
    texts = ["a", TEXT, "the of a the of a"]
    assert pipe(texts, replace_unknown=True, batch_size=3, **options)[1] == replaced
    assert (
        translate(model, tokenizer, texts, replace_unknown=True, **options)[1][0].text
        == replaced["translation_text"].strip()
    )


def test_tokenizers_without_an_unknown_token_are_refused():
    tokenizer = train_tokenizer(["a b"], kind="word")
    tokenizer.unk_token = None
    with pytest.raises(ValueError, match="needs a fast tokenizer with an unknown token, got .* with `unk_token`=None"):
        decode_with_source(tokenizer, "a", [4], torch.ones(1, 2))
