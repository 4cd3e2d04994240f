"""What the modules of this folder say of themselves and check in common."""

import datasets
import evaluate

_TEXT = datasets.Value("string")


def describe(description: str, citation: str, *, with_several_references: bool = False) -> evaluate.MetricInfo:
    """What a module of texts takes: a reference for each prediction, or also lists of as many for each."""
    features = [datasets.Features({"predictions": _TEXT, "references": _TEXT})]
    if with_several_references:
        features.insert(0, datasets.Features({"predictions": _TEXT, "references": datasets.Sequence(_TEXT)}))
    return evaluate.MetricInfo(
        description=description,
        citation=citation,
        inputs_description="predictions: texts; references: texts, or lists of as many for each where it says so.",
        features=features,
    )


def to_columns(references: list) -> list[tuple[str, ...]]:
    """References as sacreBLEU wants them: the first of every text, the second of every text, and so on.

    Raises:
        ValueError: if texts have different numbers of references.
    """
    references = [[text] if isinstance(text, str) else text for text in references]
    counts = sorted({len(texts) for texts in references})
    if len(counts) != 1:
        raise ValueError(
            f"`references` must hold as many texts for each prediction, got lists of {counts}; repeat or drop some."
        )
    return list(zip(*references, strict=True))
