"""Scores of given translations: the twin's log-probabilities, in order, whatever the batches."""

import math

import pytest
import torch

from hf_rnn_seq2seq import score, train_tokenizer
from hf_rnn_seq2seq.decoding.scoring import perplexity
from tests import reference
from tests.conftest import build_model

SOURCES = ["b a c", "a", "", "c c c c b a"]
TARGETS = ["a", "c b b a", "b", ""]


@pytest.fixture(scope="module")
def tokenizer():
    return train_tokenizer(["a b c"] * 3, kind="word")


@pytest.mark.parametrize("fields", [{}, {"copy_attention": True}, {"attention_type": "none"}])
def test_scores_are_the_log_probabilities_of_the_equations(tokenizer, fields):
    model = build_model(vocab_size=len(tokenizer), **fields)
    done = []
    scores = score(model, tokenizer, SOURCES, TARGETS, batch_size=3, report_progress=done.append)
    assert sum(done) == 4
    total, number = 0.0, 0
    for source, target, found in zip(SOURCES, TARGETS, scores, strict=True):
        ids = tokenizer(text_target=target)["input_ids"]
        expected, _ = reference.log_probabilities(model, tokenizer(source)["input_ids"], [1, *ids[:-1]])
        values = [float(expected[step, token]) for step, token in enumerate(ids)]
        assert found.token_ids == ids
        assert found.tokens == tokenizer.convert_ids_to_tokens(ids)
        assert found.log_probabilities == pytest.approx(values, abs=1e-5)
        assert found.log_probability == pytest.approx(sum(values), abs=1e-5)
        total, number = total + sum(values), number + len(ids)
    assert perplexity(scores) == pytest.approx(math.exp(-total / number), rel=1e-5)


def test_attention_is_that_of_the_pair_alone(tokenizer):
    model = build_model(vocab_size=len(tokenizer))
    scores = score(model, tokenizer, SOURCES, TARGETS, with_attention=True)
    for source, target, found in zip(SOURCES, TARGETS, scores, strict=True):
        (alone,) = score(model, tokenizer, [source], [target], with_attention=True)
        assert found.attention.shape == (len(target.split()) + 1, len(source.split()) + 1)
        torch.testing.assert_close(found.attention, alone.attention, rtol=0, atol=1e-6)


def test_lost_lines_are_refused(tokenizer):
    with pytest.raises(ValueError, match="must be as many, got 2 and 1"):
        score(None, tokenizer, ["a", "b"], ["a"])
    with pytest.raises(ValueError, match="`batch_size` must be at least 1, got 0"):
        score(None, tokenizer, ["a"], ["a"], batch_size=0)


def test_nothing_and_single_strings_are_refused(tokenizer):
    with pytest.raises(ValueError, match="must hold at least one, got none"):
        perplexity([])
    with pytest.raises(TypeError, match="must be lists of sentences, got a single string"):
        score(None, tokenizer, "a b", "a c")
