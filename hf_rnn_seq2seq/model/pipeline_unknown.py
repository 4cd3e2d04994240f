"""What stands in the place of words that the target vocabulary lacks: the source text that was looked at."""

import re

import torch
from transformers import PreTrainedTokenizerBase


def decode_with_source(
    tokenizer: PreTrainedTokenizerBase,
    source: str,
    ids: list[int],
    weights: torch.Tensor,
    prefix: str = "",
    **options,
) -> str:
    """Text of target tokens, each unknown one replaced by the source text with most attention.

    Luong et al. 2015, https://arxiv.org/abs/1410.8206, section 3.3, with attention in place of aligned positions (Jean
    et al. 2015, https://arxiv.org/abs/1412.2007, section 4.1), as raw text: what an unknown source token stands for,
    or else the whole source word that the token is a piece of.

    Args:
        tokenizer: a fast one, which knows where in the source a token stands.
        source (`str`): raw source sentence.
        ids (`list[int]` of length T): target tokens after the start token.
        weights (`torch.Tensor` of shape `(T, S)`): attention while they were written.
        prefix (`str`): what the model reads before the source.
        options: of the tokenizer, such as `truncation=True`.

    Raises:
        ValueError: if the tokenizer has no unknown token, or is a slow one.
    """
    unknown = tokenizer.unk_token_id
    if unknown is None or not tokenizer.is_fast:
        raise ValueError(
            "Replacing unknown words needs a fast tokenizer with an unknown token, got "
            f"{type(tokenizer).__name__} with `unk_token`={tokenizer.unk_token!r}."
        )
    places = [place for place, token_id in enumerate(ids) if token_id == unknown]
    if not places:
        return tokenizer.decode(ids, skip_special_tokens=True)
    encoded = tokenizer(prefix + source, return_offsets_mapping=True, **options)
    spans = [
        _span_to_copy(source, start - len(prefix), end - len(prefix), is_unknown=token_id == unknown)
        for (start, end), token_id in zip(encoded["offset_mapping"], encoded["input_ids"], strict=True)
    ]
    columns = [column for column, (text, _) in enumerate(spans) if text]
    special = set(tokenizer.all_special_ids) - {unknown}

    def split(num_tokens: int) -> list[str]:
        """Text of the first tokens, cut where it says `<unk>`: a token, or the letters of it."""
        kept = [token_id for token_id in ids[:num_tokens] if token_id not in special]
        return tokenizer.decode(kept, skip_special_tokens=False).split(tokenizer.unk_token)

    # cuts that are tokens, by their number
    cuts = {len(split(place)): place for place in places}
    filled, *pieces = split(len(ids))
    for number, piece in enumerate(pieces, start=1):
        text, is_word = tokenizer.unk_token, False
        if number in cuts:
            weighed = weights[cuts[number], columns]
            text, is_word = spans[columns[int(weighed.argmax())]] if columns else ("", False)
        # the mark of a word's beginning is lost with an unknown token
        is_glued = is_word and filled != "" and not filled[-1].isspace()
        filled += f" {text}{piece}" if is_glued else f"{text}{piece}"
    return filled


def _span_to_copy(source: str, start: int, end: int, *, is_unknown: bool) -> tuple[str, bool]:
    """Source text of a token, itself if it is unknown, else the word around it, and whether it is a whole word.

    Empty for `</s>` and the like.
    """
    if start < 0 or end <= start:
        return "", False
    # a piece may begin with the space before its word: its last character tells the word
    around = [match.group() for match in re.finditer(r"\S+", source) if match.start() <= end - 1 < match.end()]
    word = around[0] if around else ""
    text = source[start:end].strip() if is_unknown else word
    return text, text == word


__all__ = ["decode_with_source"]
