"""Pieces of the loop: the loss and its normalisation."""

import copy

import pytest
import torch
from accelerate import Accelerator

from hf_rnn_seq2seq.data.batching import EncodedPair
from hf_rnn_seq2seq.data.tokenizer_training import train_tokenizer
from hf_rnn_seq2seq.training.arguments import TrainingArguments
from hf_rnn_seq2seq.training.loop import TrainingLoop
from tests.conftest import build_model

PAIRS = [EncodedPair([4, 5, 2], [6, 2]), EncodedPair([5, 2], [4, 5, 6, 2]), EncodedPair([6, 2], [5, 2])]


def build_loop(folder, model):
    tokenizer = train_tokenizer(["a b c"], kind="word")
    arguments = TrainingArguments(
        output_dir=str(folder), batch_size=3, max_updates=1, optimizer="adam", warmup_updates=0
    )
    return TrainingLoop(model, tokenizer, lambda: iter(PAIRS), [("a", "b")], arguments, Accelerator(cpu=True))


def update(folder, batches):
    loop = build_loop(folder, build_model(vocab_size=7))
    with loop._progress_bar() as bar:
        loop._update(batches, True, bar)
    return loop.bare_model


def test_accumulated_batches_make_the_update_of_one_batch(tmp_path):
    whole = update(tmp_path, [PAIRS])
    parts = update(tmp_path, [PAIRS[:1], PAIRS[1:]])
    for ours, theirs in zip(whole.parameters(), parts.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-5)


# tolerance 1% of the learning rate: the loss is in float32, and the first Adam update divides gradients by themselves
def test_update_follows_the_mean_loss_of_its_target_tokens(tmp_path):
    model = build_model(vocab_size=7)
    loop = build_loop(tmp_path, copy.deepcopy(model))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, betas=(0.9, 0.98), eps=1e-9)
    labels = torch.tensor([[6, 2, -100, -100], [4, 5, 6, 2], [5, 2, -100, -100]])
    ids = torch.tensor([[4, 5, 2], [5, 2, 0], [6, 2, 0]])
    logits = model(input_ids=ids, attention_mask=(ids != 0).long(), labels=labels).logits
    loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), labels.flatten(), label_smoothing=0.1)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    with loop._progress_bar() as bar:
        loop._update([PAIRS], True, bar)
    for ours, theirs in zip(loop.bare_model.parameters(), model.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-5)


def test_validation_loss_is_the_mean_over_all_target_tokens(tmp_path):
    model = build_model(vocab_size=7)
    loop = build_loop(tmp_path, model)
    loop.validation_pairs = PAIRS * 3
    total = sum(
        -model(input_ids=torch.tensor([pair.source]), labels=torch.tensor([pair.target]))
        .logits[0]
        .log_softmax(-1)
        .gather(1, torch.tensor([pair.target]).T)
        .sum()
        .item()
        for pair in PAIRS
    )
    assert loop._validation_loss() == pytest.approx(total / 8, rel=1e-5)


def test_diverged_loss_stops_the_run(tmp_path):
    model = build_model(vocab_size=7)
    model.lm_head.bias.data.fill_(float("nan"))
    loop = build_loop(tmp_path, model)
    with pytest.raises(FloatingPointError, match="The loss became nan at update 1; lower `learning_rate`"):
        loop.run()
