"""Translation edit rate as an `evaluate` module that needs no download."""

import datasets
import evaluate
import sacrebleu

_TEXT = datasets.Value("string")


class Ter(evaluate.Metric):
    """Edits per 100 reference words, less is better (Snover et al. 2006, https://aclanthology.org/2006.amta-papers.25).

    Takes and returns what `evaluate.load("ter")` does, and sacreBLEU's signature.
    """

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description=self.__doc__,
            citation="https://aclanthology.org/2006.amta-papers.25",
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
        normalized=False,
        ignore_punct=False,
        support_zh_ja_chars=False,
        case_sensitive=False,
    ) -> dict:
        references = [[text] if isinstance(text, str) else text for text in references]
        metric = sacrebleu.TER(
            normalized=normalized,
            no_punct=ignore_punct,
            asian_support=support_zh_ja_chars,
            case_sensitive=case_sensitive,
        )
        score = metric.corpus_score(predictions, list(zip(*references, strict=True)))
        return {
            "score": score.score,
            "num_edits": score.num_edits,
            "ref_length": score.ref_length,
            "signature": str(metric.get_signature()),
        }
