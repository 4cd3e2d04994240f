"""Dropout: what is dropped, when, and how it is scaled."""

import pytest
import torch

from hf_rnn_seq2seq.model.modeling_dropout import SequenceDropout, WordDropout
from tests.conftest import build_model, pad


def test_entries_are_dropped_in_each_step_or_once_for_the_sequence():
    torch.manual_seed(0)
    ones = torch.ones(4, 6, 50)
    for per_sequence in (False, True):
        dropped = SequenceDropout(0.5, per_sequence=per_sequence)(ones)
        assert set(dropped.unique().tolist()) == {0.0, 2.0}
        assert (dropped == dropped[:, :1]).all() == per_sequence
        # rows of the batch differ all the same
        assert not torch.equal(dropped[0], dropped[1])


def test_factors_for_a_loop_are_those_of_a_sequence():
    torch.manual_seed(0)
    dropout = SequenceDropout(0.5, per_sequence=True)
    factors = dropout.draw(torch.ones(4, 3), 6, 50)
    assert factors.shape == (4, 6, 50)
    assert (factors == factors[:, :1]).all()
    assert not (SequenceDropout(0.5).draw(torch.ones(4, 3), 6, 50)[:, 0] == factors[:, 1]).all()
    assert dropout.eval().draw(torch.ones(4, 3), 6, 50) is None


def test_whole_tokens_are_dropped():
    torch.manual_seed(0)
    dropped = WordDropout(0.25)(torch.ones(20, 30, 5))
    assert (dropped == dropped[:, :, :1]).all()
    assert dropped.unique().tolist() == pytest.approx([0.0, 4 / 3])
    assert (dropped == 0).float().mean() == pytest.approx(0.25, abs=0.05)
    assert WordDropout(0.25).eval()(torch.ones(1)) == 1


@pytest.mark.parametrize("name", ["source_word_dropout", "target_word_dropout", "embedding_dropout", "layer_dropout"])
@pytest.mark.parametrize("variational_dropout", [False, True])
def test_every_dropout_acts_in_training_and_on_its_side(name, variational_dropout, decoder_type):
    model = build_model(decoder_type=decoder_type, variational_dropout=variational_dropout, **{name: 0.5})
    ids, mask = pad([[4, 5, 6, 2], [7, 2]])
    batch = {"input_ids": ids, "attention_mask": mask, "decoder_input_ids": torch.tensor([[1, 5, 6], [1, 8, 9]])}
    torch.testing.assert_close(model(**batch).logits, model(**batch).logits, rtol=0, atol=0)
    model.train()
    first, second = model(**batch), model(**batch)
    assert not torch.equal(first.logits, second.logits)
    is_encoder_touched = not torch.equal(first.encoder_last_hidden_state, second.encoder_last_hidden_state)
    assert is_encoder_touched == (name != "target_word_dropout")
