"""Pretrained word vectors in the place of random embeddings."""

import gzip
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn
from transformers import PreTrainedTokenizerBase

from ..model.modeling_rnn_seq2seq import RnnSeq2SeqForConditionalGeneration
from ..model.pipeline_attention import name_target_tokens

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
    wanted = _list_tokens(tokenizer, side, embed_tokens.num_embeddings)
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


def _list_tokens(tokenizer: PreTrainedTokenizerBase, side: str, num_tokens: int) -> dict[int, str]:
    """Texts of the tokens of one side by their ids, special tokens left out."""
    if side == "target":
        tokens = name_target_tokens(tokenizer, list(range(num_tokens)))
    else:
        tokens = tokenizer.convert_ids_to_tokens(list(range(num_tokens)))
    special = set(tokenizer.all_special_ids)
    return {
        token_id: token.removeprefix(_WORD_START)
        for token_id, token in enumerate(tokens)
        # a model may have more rows than its tokenizer has tokens
        if token is not None and token_id not in special
    }


def _read_vectors(path: Path, width: int, wanted: dict[str, list[int]]) -> Iterator[tuple[str, list[float]]]:
    """Words that are wanted and their vectors, checked."""
    opener = gzip.open if path.suffix == ".gz" else open
    # words of broken bytes, which large files have, are wanted by nobody
    with opener(path, "rt", encoding="utf-8-sig", errors="replace", newline="\n") as file:
        for number, line in enumerate(file, start=1):
            line = line.rstrip("\r\n ")
            # a word may itself hold spaces
            word, *values = line.rsplit(" ", width)
            if line == "" or (number == 1 and len(line.split(" ")) == 2 and width > 1):
                continue
            if word not in wanted and len(values) == width:
                continue
            try:
                vector = [float(value) for value in values]
            except ValueError:
                vector = []
            if len(vector) != width or not all(map(math.isfinite, vector)):
                raise ValueError(
                    f"Line {number} of {path} must be a word and {width} numbers, as many as the embeddings are wide, "
                    f"got {line[:60]!r}...; set the embedding size to that of the vectors."
                )
            yield word, vector
