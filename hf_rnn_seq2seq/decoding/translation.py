"""Text to text: tokenize, group by length, generate, decode, back in order."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase


@dataclass(frozen=True)
class Hypothesis:
    """One translation.

    Attributes:
        text (`str`): detokenised text.
        score (`float`, *optional*): what beam search ranks by: log-probability in nats divided by
            `length ** length_penalty`; None where it was not asked for, or decoding has none (greedy, sampling).
        is_finished (`bool`): False if the length limit cut the output before `</s>`.
    """

    text: str
    score: float | None
    is_finished: bool


def translate(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    texts: Sequence[str],
    *,
    batch_size: int = 32,
    with_scores: bool = False,
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
        report_progress: called with the number of sentences just finished.
        generate_options: override generation settings, for example `num_beams=5, num_return_sequences=5`.

    Returns:
        For each text its hypotheses, best first; one, or `num_return_sequences`.
    """
    if batch_size < 1:
        raise ValueError(f"`batch_size` must be at least 1, got {batch_size}.")
    results: list[list[Hypothesis]] = [[Hypothesis("", None, True)] for _ in texts]
    encoded = [tokenizer(text)["input_ids"] for text in texts]
    order = sorted((i for i, text in enumerate(texts) if text.strip()), key=lambda i: len(encoded[i]), reverse=True)
    report_progress(len(texts) - len(order))
    was_training = model.training
    model.eval()
    try:
        options = {**generate_options, "output_scores": with_scores}
        for start in range(0, len(order), batch_size):
            chosen = order[start : start + batch_size]
            batch = tokenizer.pad({"input_ids": [encoded[i] for i in chosen]}, return_tensors="pt").to(model.device)
            hypotheses = _generate(model, tokenizer, batch, options)
            per_text = len(hypotheses) // len(chosen)
            for place, index in enumerate(chosen):
                results[index] = hypotheses[place * per_text : (place + 1) * per_text]
            report_progress(len(chosen))
    finally:
        model.train(was_training)
    return results


@torch.inference_mode()
def _generate(model, tokenizer, batch, options: dict) -> list[Hypothesis]:
    output = model.generate(
        input_ids=batch["input_ids"],
        attention_mask=batch["attention_mask"],
        return_dict_in_generate=True,
        **options,
    )
    sequences = output.sequences
    scores = output.get("sequences_scores")
    scores = [None] * len(sequences) if scores is None else scores.tolist()
    eos = torch.as_tensor(model.generation_config.eos_token_id, device=sequences.device)
    # the first token is where decoding starts, which may be the same as the end
    is_finished = torch.isin(sequences[:, 1:], eos).any(1).tolist()
    texts = tokenizer.batch_decode(sequences, skip_special_tokens=True)
    return [
        Hypothesis(text.strip(), score, done) for text, score, done in zip(texts, scores, is_finished, strict=True)
    ]


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
