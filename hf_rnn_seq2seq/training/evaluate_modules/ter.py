"""Translation edit rate as an `evaluate` module that needs no download."""

import evaluate
import sacrebleu

from .texts import describe, to_columns


class Ter(evaluate.Metric):
    """Edits per 100 reference words, less is better (Snover et al. 2006, https://aclanthology.org/2006.amta-papers.25).

    Takes and returns what `evaluate.load("ter")` does, and sacreBLEU's signature.
    """

    def _info(self) -> evaluate.MetricInfo:
        return describe(self.__doc__, "https://aclanthology.org/2006.amta-papers.25", with_several_references=True)

    def _compute(
        self,
        predictions,
        references,
        normalized=False,
        ignore_punct=False,
        support_zh_ja_chars=False,
        case_sensitive=False,
    ) -> dict:
        metric = sacrebleu.TER(
            normalized=normalized,
            no_punct=ignore_punct,
            asian_support=support_zh_ja_chars,
            case_sensitive=case_sensitive,
        )
        score = metric.corpus_score(predictions, to_columns(references))
        return {
            "score": score.score,
            "num_edits": score.num_edits,
            "ref_length": score.ref_length,
            "signature": str(metric.get_signature()),
        }
