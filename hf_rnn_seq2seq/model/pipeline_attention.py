"""Where a model looked while it wrote: attention of a finished text, and the word alignment that it implies."""

import re
from collections.abc import Callable
from dataclasses import dataclass

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase
from transformers.utils import ModelOutput

from .pipeline_unknown import decode_with_source


@dataclass(frozen=True)
class AttentionMap:
    """Attention of one sentence pair.

    Attributes:
        source_tokens (`list[str]`): S of them, `</s>` included.
        target_tokens (`list[str]`): T of them, `</s>` included where it was generated.
        weights (`torch.Tensor` of shape `(T, S)`): each row sums to 1; mean over layers and heads where a model has
            several.
        text (`str`): the target, detokenised.
    """

    source_tokens: list[str]
    target_tokens: list[str]
    weights: torch.Tensor
    text: str


@torch.no_grad()
def attend(model: PreTrainedModel, inputs: dict[str, torch.Tensor], sequences: torch.LongTensor) -> torch.Tensor:
    """Attention weights of finished target sequences, read again in one pass.

    Args:
        model: any encoder-decoder that returns `cross_attentions`.
        inputs: `input_ids` and `attention_mask` of shape `(B, S)`.
        sequences (`torch.LongTensor` of shape `(B, 1 + T)`): target tokens after the decoder's start token.

    Returns:
        Weights of shape `(B, T, S)`, the mean over layers and heads.

    Raises:
        ValueError: if the model does not return attention weights.
    """
    outputs = model(**inputs, decoder_input_ids=sequences[:, :-1], output_attentions=True)
    return _mean(model, outputs.cross_attentions, num_source=inputs["input_ids"].shape[1])


def gather_attention(model: PreTrainedModel, output: ModelOutput, num_source: int) -> torch.Tensor:
    """Attention weights of what `generate` has written, as it wrote it: those of each sequence's own beams.

    Args:
        model: the encoder-decoder that generated.
        output (`ModelOutput`): of `generate(..., return_dict_in_generate=True, output_attentions=True)`.
        num_source (`int`): S, source tokens of the batch.

    Returns:
        Weights of shape `(B * n, T, S)` for n sequences of each source, the mean over layers and heads; 0 behind a
        sequence's end, where beam search has written nothing.

    Raises:
        ValueError: if the model does not return attention weights.
    """
    # a step's rows are its beams; the first step also reads the prefix, the same in all beams
    first, *others = (_mean(model, attentions, num_source) for attentions in output.cross_attentions or (None,))
    # without a cache a step reads all before it again
    steps = [first, *(weights[:, -1:] for weights in others)]
    beam_indices = output.get("beam_indices")
    if beam_indices is None:
        return torch.cat(steps, dim=1)
    rows = []
    for weights, beams in zip(steps, beam_indices.unbind(1), strict=False):
        is_written = (beams >= 0)[:, None, None]
        rows.append(weights[beams.clamp(min=0)] * is_written)
    return torch.cat(rows, dim=1)


def _mean(model: PreTrainedModel, attentions: tuple[torch.Tensor, ...] | None, num_source: int) -> torch.Tensor:
    """Mean `(B, T, S)` over layers and heads of weights `(B, heads, T, S)` of each layer."""
    if not attentions or attentions[0] is None:
        raise ValueError(
            f"{type(model).__name__} must return attention weights to be looked at, got none; load it with "
            "`attn_implementation='eager'` (`model_kwargs={'attn_implementation': 'eager'}` of a pipeline), unless it "
            "is a model without attention."
        )
    if attentions[0].shape[-1] != num_source:
        raise ValueError(
            f"Attention must have a weight for each of {num_source} source tokens to be shown, got "
            f"{attentions[0].shape[-1]}: a model with `encoder_stride` looks at groups of tokens."
        )
    return torch.stack([weights.float().mean(1) for weights in attentions]).mean(0)


def measure_sequences(
    sequences: torch.LongTensor, eos_token_id: int | list[int] | None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Tokens of each of `sequences` `(B, 1 + T)` after the start token, the end included, what fills the batch behind
    it not, and whether the end is there.
    """
    ends = torch.tensor([] if eos_token_id is None else eos_token_id, device=sequences.device, dtype=sequences.dtype)
    # the first token is where decoding starts, which may be the same as the end
    is_end = torch.isin(sequences[:, 1:], ends).int()
    return (is_end.cumsum(1) - is_end == 0).sum(1), is_end.any(1)


def name_target_tokens(tokenizer: PreTrainedTokenizerBase, ids: list[int]) -> list[str]:
    """Target tokens of target ids, also where source and target have vocabularies of their own."""
    # a class loaded from a checkpoint's own code is another class: ask for the method, not for the class
    convert = getattr(tokenizer, "convert_target_ids_to_tokens", tokenizer.convert_ids_to_tokens)
    return convert(ids)


def map_attention(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, source: str, target: str | None = None, **options
) -> AttentionMap:
    """Attention weights of a source sentence and its translation.

    Args:
        model: any encoder-decoder that returns `cross_attentions`.
        tokenizer: its tokenizer.
        source (`str`): source sentence.
        target (`str`, *optional*): its translation; generated with `options` if not given.

    Raises:
        ValueError: if `source` is empty.
    """
    if not source.strip():
        raise ValueError("`source` must hold text to attend to, got an empty string.")
    model.eval()
    inputs = tokenizer(source, return_tensors="pt").to(model.device)
    inputs = {"input_ids": inputs["input_ids"], "attention_mask": inputs["attention_mask"]}
    if target is None:
        sequences = model.generate(**inputs, **options)[:1]
    else:
        labels = tokenizer(text_target=target, return_tensors="pt")["input_ids"].to(model.device)
        sequences = torch.cat([labels.new_full((1, 1), model.config.decoder_start_token_id), labels], dim=1)
    ids = sequences[0, 1:].tolist()
    return AttentionMap(
        source_tokens=tokenizer.convert_ids_to_tokens(inputs["input_ids"][0].tolist()),
        target_tokens=name_target_tokens(tokenizer, ids),
        weights=attend(model, inputs, sequences)[0].cpu(),
        text=tokenizer.decode(ids, skip_special_tokens=True),
    )


def align_words(
    weights: torch.Tensor, source_words: list[int | None], target_words: list[int | None]
) -> list[tuple[int, int]]:
    """For each target word the source word that got most attention while its tokens were written.

    Args:
        weights (`torch.Tensor` of shape `(T, S)`): attention of target tokens over source tokens.
        source_words (`list[int]` of length S): word that a token belongs to; None for `</s>` and the like.
        target_words (`list[int]` of length T): the same of the target.

    Returns:
        Pairs `(source word, target word)`, both from 0, in order of the target.
    """
    columns = [index for index, word in enumerate(source_words) if word is not None]
    rows = [index for index, word in enumerate(target_words) if word is not None]
    if not columns or not rows:
        return []
    source = torch.tensor([source_words[index] for index in columns])
    target = torch.tensor([target_words[index] for index in rows])
    by_word = weights.new_zeros(int(target.max()) + 1, weights.shape[1])
    by_word.index_add_(0, target, weights[rows])
    totals = weights.new_zeros(len(by_word), int(source.max()) + 1)
    totals.index_add_(1, source, by_word[:, columns])
    return [(int(totals[word].argmax()), word) for word in sorted(set(target.tolist()))]


def format_pharaoh(pairs: list[tuple[int, int]]) -> str:
    """Word alignment as Pharaoh and its successors write it: `0-0 1-2`, source word first, counted from 0."""
    return " ".join(f"{source}-{target}" for source, target in sorted(pairs))


def find_source_words(tokenizer: PreTrainedTokenizerBase, text: str, prefix: str = "", **options) -> list[int | None]:
    """Which word, of `text` split at white space, each of its tokens belongs to.

    Args:
        tokenizer: a fast one, which knows where in the text a token stands.
        text (`str`): source sentence.
        prefix (`str`): what the model reads before it; tokens of it belong to no word.
        options: of the tokenizer, such as `truncation=True`.

    Raises:
        ValueError: if the tokenizer is a slow one.
    """
    if not tokenizer.is_fast:
        raise ValueError(
            f"Word alignments need a fast tokenizer, which knows where tokens stand, got {type(tokenizer).__name__}."
        )
    offsets = tokenizer(prefix + text, return_offsets_mapping=True, **options)["offset_mapping"]
    spans = [match.span() for match in re.finditer(r"\S+", text)]
    words = []
    for start, end in offsets:
        # a piece may begin with the space before its word: its last character tells the word
        last = end - 1 - len(prefix)
        found = [index for index, (first, after) in enumerate(spans) if end > start and first <= last < after]
        words.append(found[0] if found else None)
    return words


def find_target_words(
    tokenizer: PreTrainedTokenizerBase, ids: list[int], decode: Callable[[int], str] | None = None
) -> list[int | None]:
    """Which word, of the decoded text split at white space, each of its tokens belongs to.

    Args:
        decode (*optional*): text of the first n tokens, where it is not what the tokenizer says: where unknown tokens
            are replaced.
    """
    silent = set(tokenizer.all_special_ids)
    if decode is None:

        def decode(num_tokens: int) -> str:
            return tokenizer.decode(ids[:num_tokens], skip_special_tokens=True)

    else:
        silent.discard(tokenizer.unk_token_id)
    words = []
    for num_tokens, token_id in enumerate(ids, start=1):
        num_words = 0 if token_id in silent else len(decode(num_tokens).split())
        words.append(num_words - 1 if num_words else None)
    return words


def align_texts(
    tokenizer: PreTrainedTokenizerBase,
    source: str,
    target_ids: list[int],
    weights: torch.Tensor,
    prefix: str = "",
    replace_unknown: bool = False,
    **options,
) -> list[tuple[int, int]]:
    """Word alignment of a source sentence and target tokens, as `align_words`.

    Args:
        weights (`torch.Tensor` of shape `(T, S)`): attention of target tokens over source tokens.
        prefix (`str`): what the model reads before the source.
        replace_unknown (`bool`): the target's words are those of `decode_with_source`.
        options: of the tokenizer, such as `truncation=True`.
    """
    source_words = find_source_words(tokenizer, source, prefix, **options)
    decode = None
    if replace_unknown:

        def decode(num_tokens: int) -> str:
            return decode_with_source(tokenizer, source, target_ids[:num_tokens], weights, prefix, **options)

    return align_words(weights, source_words, find_target_words(tokenizer, target_ids, decode))


__all__ = [
    "AttentionMap",
    "align_texts",
    "align_words",
    "attend",
    "find_source_words",
    "find_target_words",
    "format_pharaoh",
    "gather_attention",
    "map_attention",
    "measure_sequences",
    "name_target_tokens",
]
