"""SacreBLEU as an `evaluate` module that needs no download."""

import evaluate
import sacrebleu

from .texts import describe, to_columns


class Sacrebleu(evaluate.Metric):
    """Corpus BLEU of detokenised text, in percent (Post 2018, https://arxiv.org/abs/1804.08771).

    Takes and returns what `evaluate.load("sacrebleu")` does, and sacreBLEU's signature.
    """

    def _info(self) -> evaluate.MetricInfo:
        return describe(self.__doc__, "https://arxiv.org/abs/1804.08771", with_several_references=True)

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
        metric = sacrebleu.BLEU(
            lowercase=lowercase,
            force=force,
            smooth_method=smooth_method,
            smooth_value=smooth_value,
            effective_order=use_effective_order,
            **({} if tokenize is None else {"tokenize": tokenize}),
        )
        score = metric.corpus_score(predictions, to_columns(references))
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
