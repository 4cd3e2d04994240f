"""Text to text: order, empty lines, n-best, and what generate itself says."""

import math

import pytest
import torch
from transformers import GenerationConfig

from hf_rnn_seq2seq.data.tokenizer_training import train_tokenizer
from hf_rnn_seq2seq.decoding.translation import read_chunks, score_coverage, translate
from hf_rnn_seq2seq.model.pipeline_attention import align_texts, attend
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


def test_coverage_is_the_log_of_attention_up_to_one():
    weights = torch.tensor([[[0.5, 0.5, 0.0], [1.0, 0.0, 0.0]]])
    expected = math.log(1.0) + math.log(0.5)
    found = score_coverage(weights, torch.tensor([[True, True, False]]))
    assert found.tolist() == pytest.approx([expected])


def generate_alone(model, tokenizer, text, **options):
    """Ids after the start token up to the end of each sequence, its score, and its attention read again."""
    encoded = tokenizer(text, return_tensors="pt")
    inputs = {"input_ids": encoded["input_ids"], "attention_mask": encoded["attention_mask"]}
    output = model.generate(**inputs, return_dict_in_generate=True, output_scores=True, **options)
    scores = output.get("sequences_scores", [None] * len(output.sequences))
    for sequence, sequence_score in zip(output.sequences, scores, strict=True):
        ids = sequence[1:].tolist()
        ids = ids[: ids.index(2) + 1] if 2 in ids else ids
        yield ids, sequence_score, attend(model, inputs, torch.tensor([[1, *ids]]))


@torch.no_grad()
def test_coverage_penalty_ranks_the_beams_anew(model, tokenizer):
    beta, num_changed = 30.0, 0
    for text in filter(None, TEXTS):
        expected = []
        for ids, plain_score, weights in generate_alone(model, tokenizer, text, num_beams=6, num_return_sequences=6):
            penalty = beta * score_coverage(weights, torch.ones(1, weights.shape[2], dtype=torch.bool))
            expected.append((float(plain_score + penalty), tokenizer.decode(ids, skip_special_tokens=True)))
        by_penalty = sorted(expected, reverse=True)
        num_changed += by_penalty != expected
        options = {"with_scores": True, "coverage_penalty": beta, "num_beams": 6}
        (ranked,) = translate(model, tokenizer, [text], num_return_sequences=6, **options)
        assert [found.text for found in ranked] == [text for _, text in by_penalty]
        assert [found.score for found in ranked] == pytest.approx([score for score, _ in by_penalty], abs=1e-3)
        # one is asked for, all beams were ranked
        ((best,),) = translate(model, tokenizer, [text], **options)
        assert best == ranked[0]
    assert num_changed > 0


def test_coverage_penalty_needs_beams(model, tokenizer):
    with pytest.raises(ValueError, match="ranks beams, got 0.2 with `num_beams`=1; use at least 2"):
        translate(model, tokenizer, ["a"], coverage_penalty=0.2, num_beams=1)


@pytest.mark.parametrize("num_beams", [1, 4])
def test_alignments_are_those_of_the_translation_read_again(model, tokenizer, num_beams):
    results = translate(model, tokenizer, TEXTS, with_alignment=True, num_beams=num_beams)
    for text, (hypothesis, *_) in zip(TEXTS, results, strict=True):
        if not text:
            assert hypothesis.alignment == []
            continue
        ((ids, _, weights),) = generate_alone(model, tokenizer, text, num_beams=num_beams)
        assert hypothesis.alignment == align_texts(tokenizer, text, ids, weights[0])


def test_settings_of_the_call_say_what_an_end_is(model, tokenizer):
    end = tokenizer.convert_tokens_to_ids("▁a")
    config = GenerationConfig(num_beams=2, max_new_tokens=6, eos_token_id=end, pad_token_id=0, forced_eos_token_id=end)
    for options in (
        {"generation_config": config},
        {"eos_token_id": end, "forced_eos_token_id": end, "num_beams": 2},
    ):
        results = translate(model, tokenizer, ["b c", "c"], coverage_penalty=0.1, with_alignment=True, **options)
        for (hypothesis,) in results:
            assert hypothesis.is_finished
            assert [target for _, target in hypothesis.alignment] == list(range(len(hypothesis.text.split())))
    assert model.generation_config.eos_token_id == 2


def test_a_single_string_is_refused(model, tokenizer):
    with pytest.raises(TypeError, match="must be a list of sentences, got the string 'ab'; put it in a list"):
        translate(model, tokenizer, "ab")
