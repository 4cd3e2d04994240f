"""chrF as an `evaluate` module that needs no download."""

import evaluate
import sacrebleu

from .texts import describe, to_columns


class Chrf(evaluate.Metric):
    """Character n-gram F-score, in percent (Popovic 2015, https://aclanthology.org/W15-3049).

    `word_order=2` makes it chrF++.
    Takes and returns what `evaluate.load("chrf")` does, and sacreBLEU's signature.
    """

    def _info(self) -> evaluate.MetricInfo:
        return describe(self.__doc__, "https://aclanthology.org/W15-3049", with_several_references=True)

    def _compute(
        self,
        predictions,
        references,
        char_order=6,
        word_order=0,
        beta=2,
        lowercase=False,
        whitespace=False,
        eps_smoothing=False,
    ) -> dict:
        metric = sacrebleu.CHRF(char_order, word_order, beta, lowercase, whitespace, eps_smoothing)
        score = metric.corpus_score(predictions, to_columns(references))
        return {
            "score": score.score,
            "char_order": score.char_order,
            "word_order": score.word_order,
            "beta": score.beta,
            "signature": str(metric.get_signature()),
        }
