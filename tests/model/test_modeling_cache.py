"""The recurrent cache under the operations of beam search."""

import pytest
import torch

from tests.conftest import build_model, pad


def decode_prefix(model, ids, mask, prefix):
    return model(input_ids=ids, attention_mask=mask, decoder_input_ids=prefix, use_cache=True).past_key_values


def assert_same_state(cache, other):
    for state, expected in zip(cache.states, other.states, strict=True):
        for tensor, twin in zip(state, expected, strict=True):
            torch.testing.assert_close(tensor, twin, rtol=0, atol=1e-12)
    for ours, twin in [(cache.feed, other.feed), (cache.past_weights, other.past_weights)]:
        assert (ours is None) == (twin is None)
        if ours is not None:
            torch.testing.assert_close(ours, twin, rtol=0, atol=1e-12)
    if cache.memory is not None:
        torch.testing.assert_close(cache.memory, other.memory, rtol=0, atol=1e-12)


def test_reordered_state_is_the_state_of_the_reordered_prefixes(architecture):
    model = build_model(**architecture)
    # two beams of one sentence
    ids, mask = pad([[4, 5, 2], [4, 5, 2]])
    prefix = torch.tensor([[1, 5, 6], [1, 7, 8]])
    order = torch.tensor([1, 1])
    cache = decode_prefix(model, ids, mask, prefix)
    cache.reorder_cache(order)
    assert_same_state(cache, decode_prefix(model, ids, mask, prefix[order]))


def test_repeated_and_selected_rows_are_those_of_the_batch(architecture):
    model = build_model(**architecture)
    ids, mask = pad([[4, 5, 2], [9, 2]])
    prefix = torch.tensor([[1, 5, 6], [1, 7, 8]])
    cache = decode_prefix(model, ids, mask, prefix)
    cache.batch_repeat_interleave(2)
    rows = torch.tensor([0, 0, 1, 1])
    assert_same_state(cache, decode_prefix(model, ids[rows], mask[rows], prefix[rows]))
    assert cache.batch_size == 4
    cache.batch_select_indices(torch.tensor([3]))
    assert_same_state(cache, decode_prefix(model, ids[1:], mask[1:], prefix[1:]))


def test_reset_cache_starts_a_new_target():
    model = build_model()
    ids, mask = pad([[4, 5, 2]])
    prefix = torch.tensor([[1, 5]])
    cache = decode_prefix(model, ids, mask, prefix)
    fresh = model(input_ids=ids, attention_mask=mask, decoder_input_ids=prefix).logits
    cache.reset()
    assert (len(cache), cache.get_seq_length(), cache.batch_size, cache.is_initialized) == (0, 0, 0, False)
    again = model(input_ids=ids, attention_mask=mask, decoder_input_ids=prefix, past_key_values=cache).logits
    torch.testing.assert_close(again, fresh, rtol=0, atol=0)


def test_generation_without_cache_gives_the_same_tokens(decoder_type):
    model = build_model(decoder_type=decoder_type)
    ids, mask = pad([[4, 5, 6, 2], [9, 2]], "left")
    options = {"num_beams": 3, "max_new_tokens": 6}
    with_cache = model.generate(input_ids=ids, attention_mask=mask, **options)
    assert torch.equal(with_cache, model.generate(input_ids=ids, attention_mask=mask, use_cache=False, **options))


def test_crop_is_refused():
    model = build_model()
    ids, mask = pad([[4, 2]])
    with pytest.raises(NotImplementedError, match="cannot be taken back"):
        decode_prefix(model, ids, mask, torch.tensor([[1]])).crop(-1)
