"""Batches: budgets, every pair once, order by seed, padding."""

import pytest
import torch

from hf_rnn_seq2seq.data.batching import BatchPlan, EncodedPair, LengthFilter, collate, encode_pairs
from hf_rnn_seq2seq.data.tokenizer_training import train_tokenizer


def random_pairs(number=200):
    generator = torch.Generator().manual_seed(0)
    lengths = torch.randint(1, 30, (number, 2), generator=generator).tolist()
    return [EncodedPair([5] * source, [6] * target) for source, target in lengths]


@pytest.mark.parametrize("seed", [None, 3])
def test_token_budget_holds_and_every_pair_comes_once(seed):
    pairs = random_pairs()
    batches = BatchPlan(max_tokens=120, seed=seed).batches(pairs)
    assert all(len(batch) * max(pair.length for pair in batch) <= 120 for batch in batches)
    assert sorted(id(pair) for batch in batches for pair in batch) == sorted(map(id, pairs))


def test_pair_over_the_budget_gets_a_batch_of_its_own():
    pairs = [EncodedPair([5] * 50, [6] * 3), EncodedPair([5], [6])]
    assert sorted(map(len, BatchPlan(max_tokens=10).batches(pairs))) == [1, 1]


def test_fixed_size_batches_are_full_but_one():
    sizes = sorted(len(batch) for batch in BatchPlan(batch_size=32, seed=1).batches(random_pairs()))
    assert sizes == [8, 32, 32, 32, 32, 32, 32]


def test_sentences_of_a_batch_are_of_similar_length():
    pairs = random_pairs()
    batches = BatchPlan(batch_size=20, seed=1).batches(pairs)
    padded = sum(len(batch) * max(len(pair.target) for pair in batch) for batch in batches)
    assert padded < 1.1 * sum(len(pair.target) for pair in pairs)


def test_order_depends_on_seed_and_epoch_only():
    pairs = random_pairs()
    plan = BatchPlan(max_tokens=120, seed=1)
    assert plan.batches(pairs, 0) == plan.batches(pairs, 0)
    assert plan.batches(pairs, 0) != plan.batches(pairs, 1)
    assert plan.batches(pairs, 0) != BatchPlan(max_tokens=120, seed=2).batches(pairs, 0)


def test_stream_reads_only_a_buffer_ahead_and_loses_nothing():
    pairs = random_pairs()
    taken = []

    def read():
        for pair in pairs:
            taken.append(pair)
            yield pair

    stream = BatchPlan(batch_size=7, seed=1).stream(read(), buffer_size=50)
    first = next(stream)
    assert len(taken) == 50
    batches = [first, *stream]
    assert sorted(id(pair) for batch in batches for pair in batch) == sorted(map(id, pairs))


def test_plan_needs_exactly_one_kind_of_size():
    with pytest.raises(ValueError, match="Exactly one of `max_tokens` and `batch_size`"):
        BatchPlan()
    with pytest.raises(ValueError, match="Exactly one of `max_tokens` and `batch_size`"):
        BatchPlan(max_tokens=3, batch_size=3)
    with pytest.raises(ValueError, match="must hold something, got -1"):
        BatchPlan(batch_size=-1)


def test_length_filter_counts_what_it_drops():
    pairs = [EncodedPair([5] * 3, [6] * 3), EncodedPair([5] * 9, [6] * 3), EncodedPair([5] * 2, [6] * 7)]
    keep = LengthFilter(max_source_tokens=8)
    assert list(keep(pairs)) == [pairs[0], pairs[2]]
    assert keep.num_dropped == 1
    assert list(LengthFilter(max_target_tokens=6)(pairs)) == pairs[:2]
    assert list(LengthFilter(max_length_ratio=3.0)(pairs)) == pairs[:2]


def test_collate_pads_sources_and_labels_and_adds_rows_without_labels():
    batch = collate([EncodedPair([5, 6, 2], [7, 2]), EncodedPair([8, 2], [9, 9, 2])], pad_token_id=0, num_rows=3)
    assert batch["input_ids"].tolist() == [[5, 6, 2], [8, 2, 0], [0, 0, 0]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1], [1, 1, 0], [1, 0, 0]]
    assert batch["labels"].tolist() == [[7, 2, -100], [9, 9, 2], [-100, -100, -100]]


def test_encoding_in_chunks_equals_encoding_at_once():
    texts = [("a b", "x"), ("c", "y z"), ("a", "x y")]
    tokenizer = train_tokenizer([s for s, _ in texts], [t for _, t in texts], kind="word")
    whole = list(encode_pairs(texts, tokenizer))
    assert whole == list(encode_pairs(iter(texts), tokenizer, chunk_size=2))
    assert whole[0].source == tokenizer("a b")["input_ids"]
    assert whole[1].target == tokenizer(text_target="y z")["input_ids"]
