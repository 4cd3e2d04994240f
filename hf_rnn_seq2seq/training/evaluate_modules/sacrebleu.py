"""SacreBLEU as an `evaluate` module that needs no download."""

import datasets
import evaluate
import sacrebleu

_TEXT = datasets.Value("string")


class Sacrebleu(evaluate.Metric):
    """Corpus BLEU of detokenised text, in percent (Post 2018, https://arxiv.org/abs/1804.08771).

    Takes and returns what `evaluate.load("sacrebleu")` does, and sacreBLEU's signature.
    """

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description=self.__doc__,
            citation="https://arxiv.org/abs/1804.08771",
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
        smooth_method="exp",
        smooth_value=None,
        force=False,
        lowercase=False,
        tokenize=None,
        use_effective_order=False,
    ) -> dict:
        references = [[text] if isinstance(text, str) else text for text in references]
        if len({len(texts) for texts in references}) != 1:
            raise ValueError(
                "`references` must hold as many texts for each prediction, got lists of "
                f"{sorted({len(texts) for texts in references})}; repeat or drop some."
            )
        metric = sacrebleu.BLEU(
            lowercase=lowercase,
            force=force,
            smooth_method=smooth_method,
            smooth_value=smooth_value,
            effective_order=use_effective_order,
            **({} if tokenize is None else {"tokenize": tokenize}),
        )
        score = metric.corpus_score(predictions, list(zip(*references, strict=True)))
        return {
            "score": score.score,
            "counts": score.counts,
            "totals": score.totals,
            "precisions": score.precisions,
            "bp": score.bp,
            "sys_len": score.sys_len,
            "ref_len": score.ref_len,
            "signature": str(metric.get_signature()),
        }
