"""Our `evaluate` modules: what they compute, that they need no network, and that `evaluate.load` takes their files."""

from pathlib import Path

import evaluate
import jiwer
import pytest
import sacrebleu

import hf_rnn_seq2seq.training.evaluate_modules
from hf_rnn_seq2seq import load_metric

FOLDER = Path(hf_rnn_seq2seq.training.evaluate_modules.__file__).parent
PREDICTIONS = ["the cat sat on the mat", "a dog runs fast", "Hello there, world!"]
REFERENCES = ["the cat sat on a mat", "a dog runs very fast", "Hello there, world!"]


@pytest.mark.parametrize(
    ("name", "metric"), [("sacrebleu", sacrebleu.BLEU()), ("chrf", sacrebleu.CHRF()), ("ter", sacrebleu.TER())]
)
def test_corpus_scores_are_those_of_sacrebleu(name, metric):
    expected = metric.corpus_score(PREDICTIONS, [REFERENCES])
    result = load_metric(name).compute(predictions=PREDICTIONS, references=REFERENCES)
    assert result["score"] == pytest.approx(expected.score)
    assert result["signature"] == str(metric.get_signature())


def test_several_references_count():
    references = [["something else", text] for text in PREDICTIONS]
    assert load_metric("sacrebleu").compute(predictions=PREDICTIONS, references=references)["score"] == pytest.approx(
        100
    )
    with pytest.raises(ValueError, match="`references` must hold as many texts for each prediction"):
        load_metric("sacrebleu").compute(predictions=["a", "b"], references=[["a"], ["b", "c"]])


def test_options_reach_sacrebleu():
    metric = load_metric("sacrebleu")
    upper = [text.upper() for text in PREDICTIONS]
    strict = metric.compute(predictions=upper, references=PREDICTIONS)
    loose = metric.compute(predictions=upper, references=PREDICTIONS, lowercase=True, tokenize="none")
    assert strict["score"] < loose["score"] == pytest.approx(100)
    assert "case:lc" in loose["signature"]
    assert "tok:none" in loose["signature"]


def test_exact_match_can_ignore_case_punctuation_and_numbers():
    metric = load_metric("exact_match")
    texts = {"predictions": ["Yes!", "b 2", "c"], "references": ["yes", "b", "d"]}
    assert metric.compute(**texts) == {"exact_match": 0}
    assert metric.compute(**texts, ignore_case=True, ignore_punctuation=True) == {"exact_match": pytest.approx(1 / 3)}
    assert metric.compute(**texts, ignore_numbers=True, regexes_to_ignore=[" "]) == {
        "exact_match": pytest.approx(1 / 3)
    }


def test_word_error_rate_is_edits_per_reference_word():
    # one substitution and one deletion in 6 + 5 + 3 words
    result = load_metric("wer").compute(predictions=PREDICTIONS, references=REFERENCES)
    assert result == pytest.approx(2 / 14) == pytest.approx(jiwer.wer(REFERENCES, PREDICTIONS))


@pytest.mark.parametrize("name", ["sacrebleu", "chrf", "ter", "exact_match", "wer"])
def test_evaluate_loads_the_file_itself_offline(name, tmp_path, monkeypatch):
    monkeypatch.setattr("evaluate.config.HF_EVALUATE_OFFLINE", True)
    loaded = evaluate.load(str(FOLDER / f"{name}.py"), cache_dir=str(tmp_path))
    expected = load_metric(name).compute(predictions=PREDICTIONS, references=REFERENCES)
    assert loaded.compute(predictions=PREDICTIONS, references=REFERENCES) == expected


def test_scores_can_be_collected_batch_by_batch():
    metric = load_metric("exact_match")
    for prediction, reference in zip(PREDICTIONS, REFERENCES, strict=True):
        metric.add_batch(predictions=[prediction], references=[reference])
    assert metric.compute() == {"exact_match": pytest.approx(1 / 3)}


def test_unknown_name_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match="`name` must be one of sacrebleu, chrf, ter, exact_match, wer, got 'bleurt'"):
        load_metric("bleurt")
