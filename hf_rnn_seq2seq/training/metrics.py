"""Scores of generated text against references, with sacreBLEU's signatures."""

import importlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import sacrebleu
from sacrebleu.metrics.base import Metric


@dataclass(frozen=True)
class Score:
    """One metric of a test set.

    Attributes:
        name (`str`): as `"BLEU"`.
        value (`float`): percent, except TER: edits per 100 reference words.
        signature (`str`): sacreBLEU's, which says how text was tokenised and compared.
    """

    name: str
    value: float
    signature: str

    def to_dict(self) -> dict:
        """For JSON."""
        return asdict(self)


def score_texts(hypotheses: Sequence[str], references: Sequence[str]) -> list[Score]:
    """BLEU, chrF, TER (Post 2018, https://arxiv.org/abs/1804.08771) and exact match of detokenised, cased text."""
    _check_lengths(hypotheses, references)
    metrics = {"BLEU": sacrebleu.BLEU(), "chrF": sacrebleu.CHRF(), "TER": sacrebleu.TER()}
    scores = [_corpus_score(name, metric, hypotheses, references) for name, metric in metrics.items()]
    num_equal = sum(hypothesis == reference for hypothesis, reference in zip(hypotheses, references, strict=True))
    return [*scores, Score("exact match", 100.0 * num_equal / len(references), "whole text, case:mixed")]


def score_lowercased_moses(hypotheses: Sequence[str], references: Sequence[str], language: str) -> Score:
    """BLEU as most work on Multi30k reports it: lower-cased text, tokenised by Moses (sacremoses).

    Args:
        hypotheses: detokenised text.
        references: detokenised text.
        language (`str`): of the text, such as `"de"`, for Moses' rules.
    """
    _check_lengths(hypotheses, references)
    from sacremoses import MosesPunctNormalizer, MosesTokenizer

    normalizer, tokenizer = MosesPunctNormalizer(lang=language), MosesTokenizer(lang=language)

    def prepare(text: str) -> str:
        return tokenizer.tokenize(normalizer.normalize(text), return_str=True, escape=False).lower()

    metric = sacrebleu.BLEU(tokenize="none", force=True)
    score = _corpus_score(
        "BLEU (lower-cased, Moses)", metric, [prepare(t) for t in hypotheses], [prepare(t) for t in references]
    )
    return Score(score.name, score.value, f"{score.signature} on Moses-tokenised lower-cased text")


def score_test_set(hypotheses: Sequence[str], references: Sequence[str], target_language: str | None) -> list[Score]:
    """Every score this package reports; lower-cased Moses BLEU only where the language is known."""
    scores = score_texts(hypotheses, references)
    if target_language is not None:
        scores.append(score_lowercased_moses(hypotheses, references, target_language))
    return scores


def load_metric(name: str):
    """An `evaluate` module that is part of this package: no download, also where the Hub cannot be reached.

    It takes and returns what `evaluate.load(name)` does with the Hub's module of that name.

    Args:
        name (`str`): `"sacrebleu"`, `"chrf"`, `"ter"`, `"exact_match"` or `"wer"`.

    Raises:
        ValueError: if `name` is none of them.

    Example:

    ```python
    >>> from hf_rnn_seq2seq import load_metric

    >>> load_metric("exact_match").compute(predictions=["a", "b"], references=["a", "c"])
    {'exact_match': 0.5}
    ```
    """
    if name not in _EVALUATE_MODULES:
        raise ValueError(
            f"`name` must be one of {', '.join(_EVALUATE_MODULES)}, got {name!r}; others are on the Hub: "
            "`evaluate.load(name)`."
        )
    module = importlib.import_module(f".evaluate_modules.{name}", __package__)
    # nothing to gather from other processes: no file in a shared cache
    return getattr(module, _EVALUATE_MODULES[name])(keep_in_memory=True)


_EVALUATE_MODULES = {
    "sacrebleu": "Sacrebleu",
    "chrf": "Chrf",
    "ter": "Ter",
    "exact_match": "ExactMatch",
    "wer": "Wer",
}


def _corpus_score(name: str, metric: Metric, hypotheses, references) -> Score:
    value = metric.corpus_score(list(hypotheses), [list(references)]).score
    return Score(name, value, str(metric.get_signature()))


def _check_lengths(hypotheses: Sequence[str], references: Sequence[str]) -> None:
    if len(hypotheses) != len(references) or not references:
        raise ValueError(
            "Hypotheses and references must be equally many and at least one, got "
            f"{len(hypotheses)} and {len(references)}."
        )
