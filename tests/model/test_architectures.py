"""What holds for every architecture: its plain-loop twin, cache, beams, batches, saving.

Architectures are all cell x attention x decoder pairs that the config accepts, one variant for each other field, and
all presets; see tests/conftest.py.
"""

import itertools

import pytest
import torch
from transformers import AutoModelForSeq2SeqLM

from hf_rnn_seq2seq import RnnSeq2SeqConfig
from tests import reference
from tests.conftest import ARCHITECTURES, PAIRS, SOURCES, TARGETS, TINY, build_model, encode_batch, pad


def test_every_pair_is_accepted_or_refused_with_a_reason():
    refused = sorted(set(PAIRS) - set(ARCHITECTURES))
    # without attention there is nothing to feed, to put between cells, or to give to upper layers
    assert {name.partition("-")[2] for name in refused} == {"none-input_feeding", "none-conditional", "none-gnmt"}
    for name in refused:
        with pytest.raises(ValueError, match='`attention_type="none"` goes with `decoder_type="luong"`'):
            RnnSeq2SeqConfig(**{**TINY, **PAIRS[name]})


def test_architecture_equals_plain_loop_with_gradients(architecture):
    # nothing is dropped out; the coverage loss is there in training only
    model = build_model(**architecture).train()
    batch = encode_batch()
    outputs = model(**batch, output_attentions=True)
    loss, num_labels, coverage = 0.0, 0, 0.0
    for row, (source, target) in enumerate(zip(SOURCES, TARGETS, strict=True)):
        decoder_ids = [model.config.decoder_start_token_id, *target[:-1]]
        log_probabilities, weights = reference.log_probabilities(model, source, decoder_ids)
        torch.testing.assert_close(
            outputs.logits[row, : len(target)].log_softmax(-1), log_probabilities, rtol=0, atol=1e-11
        )
        if weights is None:
            assert outputs.cross_attentions is None
        else:
            width = weights.shape[1]
            ours = outputs.cross_attentions[0][row, :, : len(target)].mean(0)
            torch.testing.assert_close(ours[:, :width], weights, rtol=0, atol=1e-11)
            coverage = coverage + reference.coverage_loss(weights)
        loss = loss - sum(log_probabilities[step, token] for step, token in enumerate(target))
        num_labels += len(target)
    total = (loss + model.config.coverage_loss_weight * coverage) / num_labels
    # transformers computes losses in float32
    torch.testing.assert_close(outputs.loss.double(), total, rtol=0, atol=1e-6)
    torch.testing.assert_close(model.eval()(**batch).loss.double(), loss / num_labels, rtol=0, atol=1e-6)
    exact = torch.nn.functional.cross_entropy(outputs.logits.flatten(0, 1), batch["labels"].flatten())
    names, parameters = zip(*model.named_parameters(), strict=True)
    actual = torch.autograd.grad(exact, parameters, allow_unused=True)
    twin = torch.autograd.grad(loss / num_labels, parameters, allow_unused=True)
    for name, one, other in zip(names, actual, twin, strict=True):
        assert (one is None) == (other is None), name
        assert one is not None, f"{name} does nothing"
        torch.testing.assert_close(one, other, rtol=0, atol=1e-10, msg=lambda text, name=name: f"{name}: {text}")


def test_architecture_gives_steps_with_cache_what_the_whole_target_gives(architecture):
    model = build_model(**architecture)
    batch = encode_batch("left", extra=1)
    decoder_ids = model.prepare_decoder_input_ids_from_labels(batch.pop("labels"))
    whole = model(**batch, decoder_input_ids=decoder_ids).logits
    encoder_outputs = model.get_encoder()(**batch)
    cache, steps = None, []
    for chunk in decoder_ids.split([1, 2, 1, 1], dim=1):
        outputs = model(
            encoder_outputs=encoder_outputs,
            attention_mask=batch["attention_mask"],
            decoder_input_ids=chunk,
            past_key_values=cache,
            use_cache=True,
        )
        cache = outputs.past_key_values
        steps.append(outputs.logits)
    torch.testing.assert_close(torch.cat(steps, dim=1), whole, rtol=0, atol=1e-12)
    assert cache.get_seq_length() == decoder_ids.shape[1]


@pytest.mark.parametrize("side", ["left", "right"])
def test_architecture_gives_a_batch_what_its_sentences_give(architecture, side):
    model = build_model(**architecture)
    batch = encode_batch(side, extra=2)
    outputs = model(**batch, output_attentions=True)
    is_pyramid = model.config.encoder_stride > 1
    for row, source in enumerate(SOURCES):
        alone = model(
            input_ids=torch.tensor([source]),
            decoder_input_ids=model.prepare_decoder_input_ids_from_labels(batch["labels"][row : row + 1]),
            output_attentions=True,
        )
        torch.testing.assert_close(outputs.logits[row], alone.logits[0], rtol=0, atol=1e-12)
        if outputs.cross_attentions is None:
            continue
        ours, weights = outputs.cross_attentions[0][row], alone.cross_attentions[0][0]
        real = batch["attention_mask"][row].bool()
        # a pyramid's memory stands at the front
        real = torch.arange(ours.shape[-1]) < weights.shape[-1] if is_pyramid else real
        torch.testing.assert_close(ours[:, :, real], weights, rtol=0, atol=1e-12)
        assert (ours[:, :, ~real] == 0).all()
        torch.testing.assert_close(ours.sum(-1), torch.ones_like(ours[:, :, 0]), rtol=0, atol=1e-12)


@torch.no_grad()
def test_architecture_finds_the_best_of_all_sequences_with_beams_as_wide_as_the_space(architecture):
    model = build_model(**{**architecture, "vocab_size": 5})
    source, length = torch.tensor([[3, 4, 2]]), 3
    sequences = torch.tensor(list(itertools.product(range(5), repeat=length)))  # (125, 3)
    is_end = sequences == 2
    is_behind = is_end.int().cumsum(1) - is_end.int() > 0
    # nothing but padding may follow the end
    sequences = sequences[((sequences == 0) | ~is_behind).all(1)]
    is_behind = ((sequences == 2).int().cumsum(1) - (sequences == 2).int()) > 0
    start = torch.full_like(sequences[:, :1], 1)
    logits = model(
        input_ids=source.expand(len(sequences), -1), decoder_input_ids=torch.cat([start, sequences[:, :-1]], 1)
    ).logits
    log_probabilities = logits.log_softmax(-1).gather(2, sequences[:, :, None]).squeeze(2)
    scores = log_probabilities.masked_fill(is_behind, 0.0).sum(1) / (~is_behind).sum(1)
    best_score, best = scores.max(0)
    output = model.generate(
        input_ids=source,
        num_beams=125,
        max_new_tokens=length,
        length_penalty=1.0,
        return_dict_in_generate=True,
        output_scores=True,
    )
    found = torch.nn.functional.pad(output.sequences[0, 1:], (0, length - output.sequences.shape[1] + 1))
    assert found.tolist() == sequences[best].tolist()
    torch.testing.assert_close(output.sequences_scores[0].double(), best_score, rtol=0, atol=1e-5)


@torch.no_grad()
def test_architecture_generates_the_same_in_every_batch(architecture):
    model = build_model(**architecture).float()
    generator = torch.Generator().manual_seed(0)
    lengths = torch.randint(1, 9, (64,), generator=generator).tolist()
    sources = [[*torch.randint(3, 13, (length,), generator=generator).tolist(), 2] for length in lengths]

    def generate(chosen, side, extra):
        ids, mask = pad([sources[index] for index in chosen], side, extra)
        output = model.generate(
            input_ids=ids,
            attention_mask=mask,
            num_beams=3,
            max_new_tokens=6,
            return_dict_in_generate=True,
            output_scores=True,
        )
        sequences = torch.nn.functional.pad(output.sequences, (0, 7 - output.sequences.shape[1]))
        # transformers fills what is behind the end with padding or with ends
        is_behind = (sequences == 2).int().cumsum(1) - (sequences == 2).int() > 0
        return sequences.masked_fill(is_behind, 0), output.sequences_scores

    order = torch.randperm(64, generator=generator).tolist()
    all_sequences, all_scores = generate(order, "left", 3)
    place = {index: row for row, index in enumerate(order)}
    for chosen, side in [(range(7), "right"), (range(7, 14), "left"), ([0], "right"), ([20], "right")]:
        sequences, scores = generate(chosen, side, 0)
        rows = [place[index] for index in chosen]
        assert sequences.tolist() == all_sequences[rows].tolist()
        torch.testing.assert_close(scores, all_scores[rows], rtol=0, atol=1e-5)


def test_architecture_is_the_same_after_saving_and_loading(architecture, tmp_path):
    model = build_model(**architecture)
    model.save_pretrained(tmp_path)
    loaded = AutoModelForSeq2SeqLM.from_pretrained(tmp_path, dtype=torch.float64)
    for name in architecture:
        assert getattr(loaded.config, name) == getattr(model.config, name)
    batch = encode_batch()
    torch.testing.assert_close(loaded(**batch).logits, model(**batch).logits, rtol=0, atol=1e-12)


@torch.no_grad()
def test_architecture_loses_nothing_on_a_row_of_padding_only(architecture):
    model = build_model(**architecture)
    ids, mask = pad([SOURCES[0], []])
    labels = torch.tensor([[5, 2], [5, 2]])
    both = model(input_ids=ids, attention_mask=mask, labels=labels)
    narrow = model(input_ids=ids[1:, :1], attention_mask=mask[1:, :1], labels=labels[1:])
    torch.testing.assert_close(both.logits[1:], narrow.logits, rtol=0, atol=1e-12)
    assert both.logits.isfinite().all()


@pytest.mark.parametrize("name", [name for name in ARCHITECTURES if name.startswith(("copy_", "see2017"))])
def test_probabilities_with_copying_sum_to_1(name):
    model = build_model(**ARCHITECTURES[name])
    probabilities = model(**encode_batch()).logits.exp()
    torch.testing.assert_close(probabilities.sum(-1), torch.ones(3, 5, dtype=torch.float64), rtol=0, atol=1e-12)
