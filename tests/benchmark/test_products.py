"""Counting the matrix products of a model."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from hf_rnn_seq2seq.benchmark.products import (
    list_decoding_products,
    list_training_products,
    measure_rate,
    measure_seconds,
)
from hf_rnn_seq2seq.benchmark.workloads import PAD, WORKLOADS, build_model
from hf_rnn_seq2seq.data.batching import EncodedPair, collate
from hf_rnn_seq2seq.model import modeling_bptt

SMALL = {"vocab_size": 97, "decoder_vocab_size": 97}


@pytest.mark.parametrize("name", ["w1", "w1_input_feeding", "w1_bahdanau", "w1_gru", "w2"])
def test_counted_operations_are_those_of_torch_where_nothing_is_padded(monkeypatch, name):
    # the counter is blind for products in place
    monkeypatch.setattr(modeling_bptt, "add_product", lambda total, inputs, weight: total.add_(inputs @ weight.t()))
    # in float64, whose products torch's counter sees
    model = build_model(WORKLOADS[name], **SMALL).double()
    batch = [EncodedPair([5] * 6, [6] * 4)] * 3
    with FlopCounterMode(display=False) as counter:
        model(**collate(batch, pad_token_id=PAD), skip_logits=True).loss.backward()
    counted = sum(product.flops for product in list_training_products(model.config, [batch]))
    # the bridge, and the energies of additive attention, are left out
    assert 0.9 * counter.get_total_flops() <= counted <= counter.get_total_flops()


def test_padding_does_not_count():
    config = build_model(WORKLOADS["w1"], **SMALL).config
    short, long = EncodedPair([5] * 3, [6] * 2), EncodedPair([5] * 9, [6] * 8)

    def count(*batch):
        return sum(product.flops for product in list_training_products(config, [batch]))

    assert count(short, long) == pytest.approx(count(short) + count(long))


def test_beams_multiply_what_the_decoder_does_only():
    config = build_model(WORKLOADS["w1"], **SMALL).config
    pairs = [EncodedPair([5] * 6, [6] * 4)]
    one, two, three = (
        sum(product.flops for product in list_decoding_products(config, pairs, 1, num_beams))
        for num_beams in (1, 2, 3)
    )
    assert three - two == pytest.approx(two - one)
    assert one > two - one


def test_rates_are_rates():
    assert measure_rate(8, 16, 32, torch.float32) > 0
    config = build_model(WORKLOADS["w1"], **SMALL).config
    products = list_training_products(config, [[EncodedPair([5] * 6, [6] * 4)]])
    assert measure_seconds(products, torch.float32) > 0
