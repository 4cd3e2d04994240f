"""Scores and their signatures."""

import pytest

from hf_rnn_seq2seq.training.metrics import score_lowercased_moses, score_texts

REFERENCES = ["Ein Mann fährt Rad.", "Zwei Hunde spielen im Schnee."]


def test_perfect_text_scores_full_marks_with_signatures():
    scores = {score.name: score for score in score_texts(REFERENCES, REFERENCES)}
    assert [round(scores[name].value, 6) for name in ("BLEU", "chrF", "TER", "exact match")] == [100, 100, 0, 100]
    assert "tok:13a" in scores["BLEU"].signature
    assert "case:mixed" in scores["BLEU"].signature
    assert "version:" in scores["chrF"].signature


def test_exact_match_counts_whole_texts():
    scores = {score.name: score.value for score in score_texts([REFERENCES[0], "Zwei Hunde"], REFERENCES)}
    assert scores["exact match"] == 50


def test_moses_bleu_ignores_case_and_splits_punctuation():
    shouted = [text.upper() for text in REFERENCES]
    score = score_lowercased_moses(shouted, REFERENCES, "de")
    assert score.value == pytest.approx(100)
    assert "tok:none" in score.signature
    # the full stop is a token of its own: without it a brevity penalty is due, and no word is wrong
    without_stop = score_lowercased_moses([text.rstrip(".") for text in REFERENCES], REFERENCES, "de")
    assert 60 < without_stop.value < 100


def test_unequal_or_empty_lists_are_refused():
    with pytest.raises(ValueError, match="equally many and at least one, got 1 and 2"):
        score_texts(["a"], REFERENCES)
    with pytest.raises(ValueError, match="got 0 and 0"):
        score_lowercased_moses([], [], "de")
