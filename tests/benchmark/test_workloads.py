"""Synthetic batches and models to measure with."""

import statistics

import torch

from hf_rnn_seq2seq.benchmark.workloads import END, WORKLOADS, build_model, draw_pairs, plan_batches


def test_lengths_are_distributed_as_those_of_multi30k():
    pairs = draw_pairs(20_000)
    sources, targets = ([len(getattr(pair, side)) for pair in pairs] for side in ("source", "target"))
    # of the training captions: 14.13 and 4.09, 13.61 and 4.26, 0.864
    assert abs(statistics.mean(sources) - 14.13) < 0.15
    assert abs(statistics.mean(targets) - 13.61) < 0.15
    assert abs(statistics.stdev(sources) - 4.09) < 0.3
    assert abs(statistics.stdev(targets) - 4.26) < 0.3
    assert abs(statistics.correlation(sources, targets) - 0.864) < 0.03
    assert pairs == draw_pairs(20_000)


def test_batches_are_full_and_of_similar_length():
    batches = plan_batches(draw_pairs(1000), 32, 5)
    assert [len(batch) for batch in batches] == [32] * 5
    assert max(len({len(pair.target) for pair in batch}) for batch in batches) <= 8


def test_every_workload_is_a_model_that_does_not_end_by_itself():
    small = {"vocab_size": 50, "decoder_vocab_size": 50}
    for name, workload in WORKLOADS.items():
        if name == "w4":
            # as it is, it takes gigabytes
            small.update(embedding_size=16, encoder_hidden_size=16, decoder_hidden_size=16, attention_size=16)
        model = build_model(workload, **small).eval()
        written = model.generate(torch.tensor([[5, 6, END]]), max_new_tokens=6)
        assert written.shape == (1, 7)
        assert END not in written
