"""chrF as an `evaluate` module that needs no download."""

import datasets
import evaluate
import sacrebleu

_TEXT = datasets.Value("string")


class Chrf(evaluate.Metric):
    """Character n-gram F-score, in percent (Popovic 2015, https://aclanthology.org/W15-3049).

    `word_order=2` makes it chrF++.
    Takes and returns what `evaluate.load("chrf")` does, and sacreBLEU's signature.
    """

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description=self.__doc__,
            citation="https://aclanthology.org/W15-3049",
            inputs_description="predictions: texts; references: texts, or lists of as many for each prediction.",
            features=[
                datasets.Features({"predictions": _TEXT, "references": datasets.Sequence(_TEXT)}),
                datasets.Features({"predictions": _TEXT, "references": _TEXT}),
            ],
        )

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
        references = [[text] if isinstance(text, str) else text for text in references]
        metric = sacrebleu.CHRF(char_order, word_order, beta, lowercase, whitespace, eps_smoothing)
        score = metric.corpus_score(predictions, list(zip(*references, strict=True)))
        return {
            "score": score.score,
            "char_order": score.char_order,
            "word_order": score.word_order,
            "beta": score.beta,
            "signature": str(metric.get_signature()),
        }
