"""Exact match as an `evaluate` module that needs no download."""

import re
import string

import evaluate

from .texts import describe


class ExactMatch(evaluate.Metric):
    """Share of predictions that equal their reference, between 0 and 1.

    Takes and returns what `evaluate.load("exact_match")` does.
    """

    def _info(self) -> evaluate.MetricInfo:
        return describe(self.__doc__, "")

    def _compute(
        self,
        predictions,
        references,
        regexes_to_ignore=None,
        ignore_case=False,
        ignore_punctuation=False,
        ignore_numbers=False,
    ) -> dict:
        characters = (string.punctuation if ignore_punctuation else "") + (string.digits if ignore_numbers else "")
        removed = str.maketrans("", "", characters)

        def prepare(text: str) -> str:
            for pattern in regexes_to_ignore or []:
                text = re.sub(pattern, "", text)
            return (text.lower() if ignore_case else text).translate(removed)

        num_equal = sum(
            prepare(prediction) == prepare(reference)
            for prediction, reference in zip(predictions, references, strict=True)
        )
        return {"exact_match": num_equal / len(references)}
