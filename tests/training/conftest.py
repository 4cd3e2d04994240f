"""A tiny recipe on the built-in corpus, and a fresh Accelerate for every test."""

import json

import pytest
from accelerate.state import AcceleratorState

from hf_rnn_seq2seq.training.arguments import read_recipe


@pytest.fixture(autouse=True)
def _fresh_accelerator():
    AcceleratorState._reset_state(reset_partial_state=True)
    yield
    AcceleratorState._reset_state(reset_partial_state=True)


def recipe_words(folder, *overrides):
    """Words of a recipe that trains for a moment."""
    return [
        "data.train={dataset: dates, split: train, max_examples: 120}",
        "data.validation={dataset: dates, split: validation, max_examples: 8}",
        "tokenizer={kind: char, vocab_size: 100}",
        "model={cell_type: gru, embedding_size: 8, encoder_hidden_size: 8, decoder_hidden_size: 16}",
        "generation={num_beams: 1, max_new_tokens: 8}",
        f"training.output_dir={folder}",
        "training.batch_size=20",
        "training.warmup_updates=2",
        "training.log_every=1",
        *overrides,
    ]


def tiny_recipe(folder, *overrides):
    return read_recipe(None, recipe_words(folder, *overrides))


def read_log(folder):
    lines = (folder / "training_log.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def train_losses(folder):
    return [entry["train_loss"] for entry in read_log(folder) if "train_loss" in entry]
