"""Word error rate as an `evaluate` module that needs no download."""

import evaluate
import jiwer

from .texts import describe


class Wer(evaluate.Metric):
    """Substitutions, deletions and insertions per reference word, at least 0 (1 is 100%).

    Words are what white space separates, so that for phones it is the phone error rate. Takes and returns what
    `evaluate.load("wer")` does.
    """

    def _info(self) -> evaluate.MetricInfo:
        return describe(self.__doc__, "")

    def _compute(self, predictions, references, concatenate_texts=False) -> float:
        # edits and words are summed over all texts either way
        return jiwer.wer(list(references), list(predictions))
