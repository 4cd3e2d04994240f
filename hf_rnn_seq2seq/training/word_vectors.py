"""Pretrained word vectors in the place of random embeddings."""

import gzip
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn
from transformers import PreTrainedTokenizerBase

from ..model.modeling_rnn_seq2seq import RnnSeq2SeqForConditionalGeneration
from ..model.tokenization_rnn_seq2seq import RnnSeq2SeqTokenizer

# what tokenizers put before the first piece of a word
_WORD_START = "▁"


@dataclass(frozen=True)
class Coverage:
    """How much of a vocabulary had a vector.

    Attributes:
        num_found (`int`): tokens that got their vector.
        num_tokens (`int`): tokens of the vocabulary, special ones not counted.
        missing (`list[str]`): the first tokens without one.
    """

    num_found: int
    num_tokens: int
    missing: list[str]


def load_word_vectors(
    model: RnnSeq2SeqForConditionalGeneration, tokenizer: PreTrainedTokenizerBase, path: str | Path, *, side: str
) -> Coverage:
    """Put vectors of a text file into the embeddings of one side; tokens without a vector stay as they are.

    A token finds its vector by its text, without the mark of a word's beginning, as it is or else in lower case. A
    shared embedding is that of both sides, a tied output layer moves along.

    Args:
        model: whose embeddings to set.
        tokenizer: its tokenizer; one of words, since pieces of words have no vectors.
        path: GloVe (`word number number ...` in each line), or fastText's `.vec` (the same below a line of two
            counts); also with `.gz`.
        side (`"source"` or `"target"`): whose embeddings.

    Raises:
        ValueError: if a vector is not as wide as the embeddings, a line is broken, or no token has a vector.
    """
    if side not in ("source", "target"):
        raise ValueError(f"`side` must be 'source' or 'target', got {side!r}.")
    embed_tokens = model.get_encoder().embed_tokens if side == "source" else model.get_decoder().embed_tokens
    wanted = _list_tokens(tokenizer, side)
    by_text: dict[str, list[int]] = {}
    for token_id, token in wanted.items():
        by_text.setdefault(token, []).append(token_id)
        if token.lower() != token:
            by_text.setdefault(token.lower(), []).append(token_id)
    exact: set[int] = set()
    found: set[int] = set()
    for word, vector in _read_vectors(Path(path), embed_tokens.embedding_dim, by_text):
        for token_id in by_text[word]:
            if wanted[token_id] == word:
                exact.add(token_id)
            elif token_id in exact:
                continue
            found.add(token_id)
            _set_vector(embed_tokens, token_id, vector)
    if not found:
        raise ValueError(f"No token of the {side} vocabulary has a vector in {path}; is it of the right language?")
    missing = [token for token_id, token in wanted.items() if token_id not in found]
    return Coverage(len(found), len(wanted), missing[:20])


@torch.no_grad()
def _set_vector(embed_tokens: nn.Embedding, token_id: int, vector: list[float]) -> None:
    # what is read is the vector, whatever factor reading has
    embed_tokens.weight[token_id] = torch.tensor(vector) / embed_tokens.scale


def _list_tokens(tokenizer: PreTrainedTokenizerBase, side: str) -> dict[int, str]:
    """Texts of the tokens of one side by their ids, special tokens left out."""
    has_two_sides = side == "target" and isinstance(tokenizer, RnnSeq2SeqTokenizer)
    if has_two_sides:
        ids = range(tokenizer.target_vocab_size)
        tokens = tokenizer.convert_target_ids_to_tokens(list(ids))
    else:
        ids = range(len(tokenizer))
        tokens = tokenizer.convert_ids_to_tokens(list(ids))
    special = set(tokenizer.all_special_ids)
    return {
        token_id: token.removeprefix(_WORD_START)
        for token_id, token in zip(ids, tokens, strict=True)
        if token_id not in special
    }


def _read_vectors(path: Path, width: int, wanted: dict[str, list[int]]):
    """Words that are wanted and their vectors, checked."""
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rt", encoding="utf-8", newline="\n") as file:
        for number, line in enumerate(file, start=1):
            # a word may hold spaces of other kinds
            word, *values = line.rstrip("\n ").split(" ")
            if number == 1 and len(values) == 1:
                continue
            if len(values) != width:
                raise ValueError(
                    f"Line {number} of {path} must be a word and {width} numbers, as wide as the embeddings, got "
                    f"{len(values)}; set the embedding size to that of the vectors."
                )
            if word not in wanted:
                continue
            try:
                yield word, [float(value) for value in values]
            except ValueError as error:
                raise ValueError(f"Line {number} of {path} must be a word and numbers: {error}") from error
