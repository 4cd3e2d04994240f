"""Tokenizers of every kind: end of sentence, clean decoding, loading, two vocabularies."""

import pytest
from transformers import AutoTokenizer

from hf_rnn_seq2seq.data.tokenizer_training import train_tokenizer

SOURCES = ["A man, who's 'here', wears a T-shirt.", "Two men are here (in 2024).", "A dog wears a hat!"] * 5
TARGETS = ["Ein Mann trägt ein T-Shirt.", "Zwei Männer sind hier (im Jahr 2024).", "Ein Hund trägt einen Hut!"] * 5
KINDS = ["bpe", "unigram", "wordpiece", "word", "char"]


def train_and_load(folder, **options):
    train_tokenizer(SOURCES, TARGETS, **{"vocab_size": 90, **options}).save_pretrained(folder)
    return AutoTokenizer.from_pretrained(folder)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("joint", [True, False])
def test_loaded_tokenizer_ends_sentences_and_decodes_cleanly(tmp_path, kind, joint):
    tokenizer = train_and_load(tmp_path, kind=kind, joint=joint)
    encoded = tokenizer(SOURCES, text_target=TARGETS)
    assert all(ids[-1] == tokenizer.eos_token_id for ids in encoded["input_ids"] + encoded["labels"])
    assert all(ids.count(tokenizer.eos_token_id) == 1 for ids in encoded["input_ids"] + encoded["labels"])
    assert all(tokenizer.unk_token_id not in ids for ids in encoded["input_ids"] + encoded["labels"])
    assert tokenizer.batch_decode(encoded["labels"], skip_special_tokens=True) == TARGETS


@pytest.mark.parametrize("joint", [True, False])
def test_special_tokens_have_the_same_ids_everywhere(tmp_path, joint):
    tokenizer = train_and_load(tmp_path, joint=joint)
    assert tokenizer.convert_tokens_to_ids(["<pad>", "<s>", "</s>", "<unk>"]) == [0, 1, 2, 3]
    assert (tokenizer.pad_token_id, tokenizer.bos_token_id) == (0, 1)
    assert (tokenizer.eos_token_id, tokenizer.unk_token_id) == (2, 3)


def test_joint_tokenizer_gives_both_sides_one_vocabulary(tmp_path):
    tokenizer = train_and_load(tmp_path)
    text = "Ein Mann"
    assert tokenizer(text)["input_ids"] == tokenizer(text_target=text)["input_ids"]


def test_separate_tokenizer_uses_its_own_vocabulary_for_each_side(tmp_path):
    tokenizer = train_and_load(tmp_path, kind="word", joint=False)
    assert tokenizer.unk_token_id in tokenizer("Männer")["input_ids"]
    assert tokenizer.unk_token_id not in tokenizer(text_target="Männer")["input_ids"]
    # text_target leaves the source side as it was
    assert tokenizer("Two men")["input_ids"] == tokenizer(["Two men"], text_target=["Zwei"])["input_ids"][0]
    assert len(tokenizer) != tokenizer.target_vocab_size
    labels = tokenizer(text_target="Zwei Männer")["input_ids"]
    assert tokenizer.convert_target_ids_to_tokens(labels) == ["▁Zwei", "▁Männer", "</s>"]
    assert tokenizer.convert_ids_to_tokens(tokenizer("Two men")["input_ids"]) == ["▁Two", "▁men", "</s>"]


def test_separate_tokenizer_keeps_sizes_apart(tmp_path):
    tokenizer = train_and_load(tmp_path, joint=False, vocab_size=60, target_vocab_size=80)
    assert (len(tokenizer), tokenizer.target_vocab_size) == (60, 80)


def test_tokenizer_without_its_target_side_is_refused(tmp_path):
    train_and_load(tmp_path, joint=False)
    (tmp_path / "target_tokenizer.json").unlink()
    with pytest.raises(ValueError, match="The target side is missing"):
        AutoTokenizer.from_pretrained(tmp_path)


def test_normalisation_and_lower_case_act_on_text():
    plain = train_tokenizer(SOURCES, TARGETS, kind="char", normalization="none")
    nfkc = train_tokenizer(SOURCES, TARGETS, kind="char", lowercase=True)
    wide = "Ａ   man"  # a full-width letter and three spaces
    assert nfkc.decode(nfkc(wide)["input_ids"], skip_special_tokens=True) == "a man"
    assert plain.unk_token_id in plain(wide)["input_ids"]


def test_training_from_files_equals_training_from_iterators(tmp_path):
    for name, lines in (("source.txt", SOURCES), ("target.txt", TARGETS)):
        (tmp_path / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
    from_files = train_tokenizer(tmp_path / "source.txt", str(tmp_path / "target.txt"), vocab_size=90)
    from_lists = train_tokenizer(iter(SOURCES), iter(TARGETS), vocab_size=90)
    assert from_files.get_vocab() == from_lists.get_vocab()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kind": "sentencepiece"}, "`kind` must be one of bpe, unigram, wordpiece, word, char, got 'sentencepiece'"),
        ({"normalization": "nfd"}, "`normalization` must be one of nfkc, nfc, none, got 'nfd'"),
        ({"vocab_size": 4}, "`vocab_size` must be larger than the 4 special tokens, got 4"),
    ],
)
def test_bad_arguments_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        train_tokenizer(SOURCES, TARGETS, **options)


def test_separate_needs_a_target_and_text():
    with pytest.raises(ValueError, match="`joint=False` trains a vocabulary for each side and needs `target`"):
        train_tokenizer(SOURCES, joint=False)
    with pytest.raises(ValueError, match="training text is empty"):
        train_tokenizer([""], kind="word")
