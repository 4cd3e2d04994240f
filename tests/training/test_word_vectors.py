"""Pretrained word vectors: who gets which, what is refused, and a recipe that uses them."""

import gzip

import pytest
import torch

from hf_rnn_seq2seq import load_word_vectors, train_tokenizer
from tests.conftest import build_model

GLOVE = "the 1 2 3 4 5\nHaus 0 0 0 0 1\nhaus 0 0 0 0 2\nKatze 5 4 3 2 1\n"


def write(tmp_path, text, name="vectors.txt"):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path


def read(model, tokenizer, word):
    """What the encoder reads of a word."""
    ids = torch.tensor(tokenizer(word)["input_ids"][:1])
    return model.get_encoder().embed_tokens(ids)[0].tolist()


@pytest.mark.parametrize("scale_embedding", [True, False])
@pytest.mark.parametrize("kind", ["glove", "fasttext", "gzip"])
def test_words_are_read_as_their_vectors(tmp_path, kind, scale_embedding):
    tokenizer = train_tokenizer(["the Haus KATZE dog"], kind="word")
    model = build_model(vocab_size=len(tokenizer), scale_embedding=scale_embedding)
    before = read(model, tokenizer, "dog")
    path = write(tmp_path, f"4 5\n{GLOVE}" if kind == "fasttext" else GLOVE)
    if kind == "gzip":
        path = tmp_path / "vectors.vec.gz"
        path.write_bytes(gzip.compress(GLOVE.encode()))
    coverage = load_word_vectors(model, tokenizer, path, side="source")
    assert read(model, tokenizer, "the") == pytest.approx([1, 2, 3, 4, 5])
    # as it is written wins over the lower case, in whatever order they come
    assert read(model, tokenizer, "Haus") == pytest.approx([0, 0, 0, 0, 1])
    assert read(model, tokenizer, "dog") == before
    assert (coverage.num_found, coverage.num_tokens, coverage.missing) == (2, 4, ["KATZE", "dog"])


def test_lower_case_stands_in_for_words_without_a_vector_of_their_own(tmp_path):
    tokenizer = train_tokenizer(["The HAUS"], kind="word")
    model = build_model(vocab_size=len(tokenizer))
    coverage = load_word_vectors(model, tokenizer, write(tmp_path, GLOVE), side="source")
    assert coverage.num_found == 2
    assert read(model, tokenizer, "HAUS") == pytest.approx([0, 0, 0, 0, 2])


def test_each_side_has_its_own_vectors(tmp_path):
    tokenizer = train_tokenizer(["the dog"], ["Haus Katze the"], kind="word", joint=False)
    model = build_model(
        vocab_size=len(tokenizer),
        decoder_vocab_size=tokenizer.target_vocab_size,
        share_encoder_decoder_embeddings=False,
    )
    source = model.get_encoder().embed_tokens.weight.clone()
    coverage = load_word_vectors(model, tokenizer, write(tmp_path, GLOVE), side="target")
    assert (coverage.num_found, coverage.num_tokens) == (3, 3)
    assert torch.equal(model.get_encoder().embed_tokens.weight, source)
    (token_id,) = tokenizer(text_target="Katze")["input_ids"][:1]
    embedded = model.get_decoder().embed_tokens(torch.tensor([token_id]))[0]
    assert embedded.tolist() == pytest.approx([5, 4, 3, 2, 1])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("the 1 2 3\n", "Line 1 of .* must be a word and 5 numbers, as many as the embeddings are wide, got 'the 1 2"),
        ("dog 1 1 1 1 1\nthe 1 2 3 4 x\n", "Line 2 of .* must be a word and 5 numbers"),
        ("the 1 2 3 4 nan\n", "Line 1 of .* must be a word and 5 numbers"),
        ("fish 1 2 3 4 5\n", "No token of the source vocabulary has a vector in .*; is it of the right language"),
    ],
)
def test_files_of_something_else_are_refused(tmp_path, text, message):
    tokenizer = train_tokenizer(["the dog"], kind="word")
    with pytest.raises(ValueError, match=message):
        load_word_vectors(build_model(vocab_size=len(tokenizer)), tokenizer, write(tmp_path, text), side="source")


def test_large_files_have_odd_lines(tmp_path):
    """Words with spaces, a mark of byte order, broken bytes, empty lines, as published files have them."""
    tokenizer = train_tokenizer(["the dog"], kind="word")
    model = build_model(vocab_size=len(tokenizer) + 3)
    path = tmp_path / "vectors.txt"
    lines = ["\ufeffthe 1 2 3 4 5", ". . . 1 1 1 1 1", "at name@domain.com 1 1 1 1 1", "dog 5 4 3 2 1 ", "", ""]
    path.write_bytes("\n".join(lines).encode() + b"\xff\xfe 1 1 1 1 1\n")
    coverage = load_word_vectors(model, tokenizer, path, side="source")
    assert (coverage.num_found, coverage.num_tokens) == (2, 2)
    assert read(model, tokenizer, "the") == pytest.approx([1, 2, 3, 4, 5])
    assert read(model, tokenizer, "dog") == pytest.approx([5, 4, 3, 2, 1])


def test_unknown_side_is_refused():
    with pytest.raises(ValueError, match="`side` must be 'source' or 'target', got 'both'"):
        load_word_vectors(None, None, "x", side="both")
