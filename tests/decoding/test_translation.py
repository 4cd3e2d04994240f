"""Text to text: order, empty lines, n-best, and what generate itself says."""

import pytest
import torch

from hf_rnn_seq2seq.data.tokenizer_training import train_tokenizer
from hf_rnn_seq2seq.decoding.translation import read_chunks, translate
from tests.conftest import build_model

TEXTS = ["b a c", "a", "", "c c c c b a", "b b"]


@pytest.fixture(scope="module")
def tokenizer():
    return train_tokenizer(["a b c"] * 3, kind="word")


@pytest.fixture(scope="module")
def model(tokenizer):
    model = build_model(vocab_size=len(tokenizer)).float()
    model.generation_config.update(num_beams=3, max_new_tokens=6, eos_token_id=2, pad_token_id=0, bos_token_id=1)
    return model


@torch.no_grad()
def test_translations_come_in_order_and_equal_generate(model, tokenizer):
    results = translate(model, tokenizer, TEXTS, batch_size=2, with_scores=True)
    for text, hypotheses in zip(TEXTS, results, strict=True):
        if not text:
            assert [(h.text, h.score) for h in hypotheses] == [("", None)]
            continue
        inputs = tokenizer(text, return_tensors="pt")
        output = model.generate(input_ids=inputs["input_ids"], return_dict_in_generate=True, output_scores=True)
        assert hypotheses[0].text == tokenizer.decode(output.sequences[0], skip_special_tokens=True)
        assert hypotheses[0].score == pytest.approx(float(output.sequences_scores[0]), abs=1e-5)
        assert hypotheses[0].is_finished == (2 in output.sequences[0].tolist())


def test_n_best_lists_are_sorted_by_score(model, tokenizer):
    results = translate(model, tokenizer, TEXTS, num_return_sequences=3, with_scores=True)
    for text, hypotheses in zip(TEXTS, results, strict=True):
        assert len(hypotheses) == (3 if text else 1)
        scores = [hypothesis.score for hypothesis in hypotheses]
        assert scores == sorted(scores, key=lambda score: -(score or 0))


def test_greedy_has_no_score_and_progress_reaches_the_end(model, tokenizer):
    done = []
    results = translate(
        model, tokenizer, TEXTS, batch_size=2, with_scores=True, report_progress=done.append, num_beams=1
    )
    assert all(hypothesis.score is None for hypotheses in results for hypothesis in hypotheses)
    assert sum(done) == len(TEXTS)


def test_output_cut_by_the_length_limit_is_marked(model, tokenizer):
    (hypotheses,) = translate(model, tokenizer, ["a b"], num_beams=1, max_new_tokens=1, min_new_tokens=1)
    assert not hypotheses[0].is_finished


def test_translating_leaves_the_training_mode_as_it_was(model, tokenizer):
    model.train()
    translate(model, tokenizer, ["a"])
    assert model.training
    model.eval()


def test_lines_come_in_chunks():
    assert list(read_chunks(iter(["a\n", "b\n", "\n", "c"]), 3)) == [["a", "b", ""], ["c"]]


def test_batch_size_must_be_positive(model, tokenizer):
    with pytest.raises(ValueError, match="`batch_size` must be at least 1, got -1"):
        translate(model, tokenizer, ["a"], batch_size=-1)
