"""How likely a model finds given translations: log-probabilities of tokens and sentences."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from ..model.pipeline_attention import attend, name_target_tokens


@dataclass(frozen=True)
class PairScore:
    """What a model thinks of one pair.

    Attributes:
        tokens (`list[str]`): target tokens, `</s>` included.
        token_ids (`list[int]`): their ids.
        log_probabilities (`list[float]`): of each of them after those before, in nats.
        attention (`torch.Tensor` of shape `(T, S)`, *optional*): weights while they were read, if asked for.
    """

    tokens: list[str]
    token_ids: list[int]
    log_probabilities: list[float]
    attention: torch.Tensor | None = None

    @property
    def log_probability(self) -> float:
        """Of the sentence, in nats."""
        return sum(self.log_probabilities)


def perplexity(scores: Sequence[PairScore]) -> float:
    """`exp` of the mean negative log-probability of all tokens.

    Raises:
        ValueError: if there are no scores.
    """
    if not scores:
        raise ValueError("`scores` must hold at least one, got none.")
    num_tokens = sum(len(score.tokens) for score in scores)
    return math.exp(-sum(score.log_probability for score in scores) / num_tokens)


@torch.inference_mode()
def score(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    sources: Sequence[str],
    targets: Sequence[str],
    *,
    batch_size: int = 32,
    with_attention: bool = False,
    report_progress: Callable[[int], None] = lambda count: None,
) -> list[PairScore]:
    """Log-probabilities of given translations, for reranking and perplexity.

    Args:
        model: any encoder-decoder.
        tokenizer: its tokenizer.
        sources: source sentences.
        targets: their translations, as many.
        batch_size (`int`): pairs read at a time, grouped by length.
        with_attention (`bool`): also return attention weights.
        report_progress: called with the number of pairs just finished.

    Returns:
        A score for each pair, in their order.

    Raises:
        TypeError: if `sources` or `targets` is one string.
        ValueError: if there are not as many targets as sources, or `batch_size` is below 1.
    """
    if isinstance(sources, str) or isinstance(targets, str):
        raise TypeError("`sources` and `targets` must be lists of sentences, got a single string; put it in a list.")
    if len(sources) != len(targets):
        raise ValueError(
            f"`sources` and `targets` must be as many, got {len(sources)} and {len(targets)}; check for lost lines."
        )
    if batch_size < 1:
        raise ValueError(f"`batch_size` must be at least 1, got {batch_size}.")
    encoded = [tokenizer(source)["input_ids"] for source in sources]
    labels = [tokenizer(text_target=target)["input_ids"] for target in targets]
    order = sorted(range(len(encoded)), key=lambda i: len(encoded[i]) + len(labels[i]), reverse=True)
    scores: list[PairScore | None] = [None] * len(encoded)
    was_training = model.training
    model.eval()
    try:
        for start in range(0, len(order), batch_size):
            chosen = order[start : start + batch_size]
            found = _score_batch(
                model, tokenizer, [encoded[i] for i in chosen], [labels[i] for i in chosen], with_attention
            )
            for index, pair in zip(chosen, found, strict=True):
                scores[index] = pair
            report_progress(len(chosen))
    finally:
        model.train(was_training)
    return scores


def _score_batch(model, tokenizer, sources: list[list[int]], targets: list[list[int]], with_attention: bool):
    batch = tokenizer.pad({"input_ids": sources}, return_tensors="pt").to(model.device)
    inputs = {"input_ids": batch["input_ids"], "attention_mask": batch["attention_mask"]}
    lengths = [len(ids) for ids in targets]
    sequences = batch["input_ids"].new_full((len(targets), 1 + max(lengths)), model.config.pad_token_id or 0)
    sequences[:, 0] = model.config.decoder_start_token_id
    for row, ids in enumerate(targets):
        sequences[row, 1 : 1 + len(ids)] = torch.tensor(ids)
    logits = model(**inputs, decoder_input_ids=sequences[:, :-1]).logits
    # float32: sums over a large vocabulary
    found = logits.float().log_softmax(-1).gather(2, sequences[:, 1:, None]).squeeze(2).tolist()
    weights = attend(model, inputs, sequences).cpu() if with_attention else None
    for row, (ids, length) in enumerate(zip(targets, lengths, strict=True)):
        attention = None if weights is None else weights[row, :length, batch["attention_mask"][row].bool().cpu()]
        yield PairScore(name_target_tokens(tokenizer, ids), ids, found[row][:length], attention)
