"""Text to text: tokenize, group by length, generate, decode, back in order."""

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from transformers import GenerationConfig, PreTrainedModel, PreTrainedTokenizerBase

from ..model.pipeline_attention import align_texts, gather_attention, measure_sequences
from ..model.pipeline_unknown import decode_with_source


@dataclass(frozen=True)
class Hypothesis:
    """One translation.

    Attributes:
        text (`str`): detokenised text.
        score (`float`, *optional*): what beam search ranks by: log-probability in nats divided by
            `length ** length_penalty`; None where it was not asked for, or decoding has none (greedy, sampling).
        is_finished (`bool`): False if the length limit cut the output before `</s>`.
        alignment (`list` of pairs, *optional*): (source word, target word) counted from 0 in text split at white
            space: for each target word the source word with most attention; None where it was not asked for.
    """

    text: str
    score: float | None
    is_finished: bool
    alignment: list[tuple[int, int]] | None = None


def translate(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    texts: Sequence[str],
    *,
    batch_size: int = 32,
    with_scores: bool = False,
    coverage_penalty: float = 0.0,
    replace_unknown: bool = False,
    with_alignment: bool = False,
    report_progress: Callable[[int], None] = lambda count: None,
    **generate_options,
) -> list[list[Hypothesis]]:
    """Translate texts with the model's saved generation settings.

    Args:
        model: any encoder-decoder with `generate`.
        tokenizer: its tokenizer.
        texts: source sentences; an empty one gives an empty translation.
        batch_size (`int`): sentences decoded at a time, grouped by length.
        with_scores (`bool`): also return beam scores, which costs some memory.
        coverage_penalty (`float`): beta of GNMT's penalty for source tokens that got less attention than 1 in all (Wu
            et al. 2016, https://arxiv.org/abs/1609.08144, equation 14); the finished beams are ranked anew with it.
        replace_unknown (`bool`): put source words in the place of unknown target words, see [`decode_with_source`].
        with_alignment (`bool`): also return word alignments, by attention.
        report_progress: called with the number of sentences just finished.
        generate_options: override generation settings, for example `num_beams=5, num_return_sequences=5`.

    Returns:
        For each text its hypotheses, best first; one, or `num_return_sequences`.

    Raises:
        TypeError: if `texts` is one string.
        ValueError: if `batch_size` is below 1, or `coverage_penalty` is negative or used without beam search.
    """
    if isinstance(texts, str):
        raise TypeError(f"`texts` must be a list of sentences, got the string {texts!r:.60}; put it in a list.")
    if batch_size < 1:
        raise ValueError(f"`batch_size` must be at least 1, got {batch_size}.")
    blank = Hypothesis("", None, True, [] if with_alignment else None)
    results: list[list[Hypothesis]] = [[blank] for _ in texts]
    encoded = [tokenizer(text)["input_ids"] for text in texts]
    order = sorted((i for i, text in enumerate(texts) if text.strip()), key=lambda i: len(encoded[i]), reverse=True)
    report_progress(len(texts) - len(order))
    config, others = _prepare_config(model, generate_options)
    num_wanted = config.num_return_sequences or 1
    if coverage_penalty:
        # all beams stand for election
        config.num_return_sequences = _count_beams(config, coverage_penalty)
    config.output_scores = with_scores or coverage_penalty > 0
    config.output_attentions = coverage_penalty > 0 or replace_unknown or with_alignment
    config.return_dict_in_generate = config.output_scores or config.output_attentions
    was_training = model.training
    model.eval()
    try:
        for start in range(0, len(order), batch_size):
            chosen = order[start : start + batch_size]
            batch = tokenizer.pad({"input_ids": [encoded[i] for i in chosen]}, return_tensors="pt").to(model.device)
            written = _generate(model, batch, config, others, coverage_penalty)
            for row, index in enumerate(chosen):
                ranked = sorted(written[row], key=lambda sequence: -(sequence.score or 0.0))[:num_wanted]
                results[index] = [
                    _to_hypothesis(tokenizer, sequence, texts[index], replace_unknown, with_alignment)
                    for sequence in ranked
                ]
            report_progress(len(chosen))
    finally:
        model.train(was_training)
    return results


@dataclass(frozen=True)
class _Sequence:
    """Ids after the start token, up to the end; weights `(T, S)` over real source tokens, where they are needed."""

    ids: list[int]
    score: float | None
    is_finished: bool
    weights: torch.Tensor | None


def _prepare_config(model: PreTrainedModel, options: dict) -> tuple[GenerationConfig, dict]:
    """One generation config for the call, and what of the options is none of its fields."""
    config = copy.deepcopy(options.get("generation_config") or model.generation_config)
    others = config.update(**{name: value for name, value in options.items() if name != "generation_config"})
    if config.eos_token_id is None:
        config.eos_token_id = model.generation_config.eos_token_id
    return config, others


def _count_beams(config: GenerationConfig, coverage_penalty: float) -> int:
    num_beams = config.num_beams or 1
    if coverage_penalty < 0 or num_beams == 1:
        raise ValueError(
            "`coverage_penalty` is a factor above 0 that ranks beams, got "
            f"{coverage_penalty} with `num_beams`={num_beams}; use at least 2 beams."
        )
    return num_beams


@torch.inference_mode()
def _generate(model, batch, config: GenerationConfig, others: dict, coverage_penalty: float) -> list[list[_Sequence]]:
    """For each source its sequences, as `generate` gives them."""
    mask = batch["attention_mask"].bool()
    inputs = {"input_ids": batch["input_ids"], "attention_mask": batch["attention_mask"]}
    output = model.generate(**inputs, **others, generation_config=config)
    written = output.sequences if config.return_dict_in_generate else output
    per_source = len(written) // len(mask)
    lengths, is_finished = measure_sequences(written, config.eos_token_id)
    ids = written[:, 1:]
    scores = output.get("sequences_scores") if config.return_dict_in_generate else None
    weights = None
    if config.output_attentions:
        weights = gather_attention(model, output, num_source=mask.shape[1])
        is_written = torch.arange(weights.shape[1], device=mask.device) < lengths[:, None]
        weights = weights * is_written[:, :, None]
    if coverage_penalty:
        scores = scores + coverage_penalty * score_coverage(weights, mask.repeat_interleave(per_source, dim=0))
    sequences = [
        _Sequence(
            ids=ids[row, :length].tolist(),
            score=None if scores is None else scores[row].item(),
            is_finished=bool(is_finished[row]),
            weights=None if weights is None else weights[row, :length, mask[row // per_source]].cpu(),
        )
        for row, length in enumerate(lengths.tolist())
    ]
    return [sequences[start : start + per_source] for start in range(0, len(sequences), per_source)]


def score_coverage(weights: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """`sum over i of log(min(sum over j of p_ij, 1))`: how much of the source attention has seen; 0 is all of it.

    Wu et al. 2016, https://arxiv.org/abs/1609.08144, equation 14, with beta 1.

    Args:
        weights (`torch.Tensor` of shape `(B, T, S)`): attention, 0 behind the end of a target.
        mask (`torch.BoolTensor` of shape `(B, S)`): True where a source token stands.
    """
    # a token that was never looked at costs much, but not everything
    seen = weights.sum(1).clamp(min=1e-10, max=1.0)
    return seen.log().masked_fill(~mask, 0.0).sum(1)


def _to_hypothesis(
    tokenizer: PreTrainedTokenizerBase, sequence: _Sequence, source: str, replace_unknown: bool, with_alignment: bool
) -> Hypothesis:
    if replace_unknown:
        text = decode_with_source(tokenizer, source, sequence.ids, sequence.weights)
    else:
        text = tokenizer.decode(sequence.ids, skip_special_tokens=True)
    alignment = None
    if with_alignment:
        alignment = align_texts(tokenizer, source, sequence.ids, sequence.weights, replace_unknown=replace_unknown)
    return Hypothesis(text.strip(), sequence.score, sequence.is_finished, alignment)


def read_chunks(lines: Iterator[str], size: int) -> Iterator[list[str]]:
    """Lines without their newline, in lists of `size`, so that a long stream needs little memory."""
    chunk = []
    for line in lines:
        chunk.append(line.rstrip("\n"))
        if len(chunk) == size:
            yield chunk
            chunk = []
    if chunk:
        yield chunk
