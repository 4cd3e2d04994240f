"""Attention is where it must be: the diagonal, the anti-diagonal, the sorting permutation."""

import importlib.util
from pathlib import Path

import pytest
import torch

SCRIPT = Path(__file__).parents[1] / "scripts" / "toy_tasks.py"


@pytest.fixture(scope="module")
def toy():
    specification = importlib.util.spec_from_file_location("toy_tasks", SCRIPT)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


@pytest.mark.parametrize(("task", "share"), [("copy", 0.99), ("reverse", 0.99), ("sort", 0.9)])
def test_attention_of_a_pointer_is_the_permutation_that_it_learnt(toy, task, share):
    model, _ = toy.train(task, num_updates=300)
    words = toy.draw_words(seed=2)
    num_right = 0
    for _ in range(100):
        word = next(words)
        written, weights = toy.attend(model, task, word)
        if written != [*toy.TASKS[task](word), toy.END]:
            continue
        num_right += 1
        # the gate is closed and no letter comes twice: the probability of a letter is the attention to its place
        probabilities = (
            model(input_ids=toy.collate([word], toy.PAD), decoder_input_ids=torch.tensor([[toy.START, *written[:-1]]]))
            .logits[0]
            .exp()
        )
        right = torch.tensor(toy.places(task, word))
        for step, (token, place) in enumerate(zip(written, right.tolist(), strict=True)):
            torch.testing.assert_close(weights[step, place], probabilities[step, token], rtol=0, atol=1e-5)
        assert weights.argmax(1).tolist() == right.tolist()
    assert num_right / 100 >= share
    # the first words of the task, spelled out: diagonal, anti-diagonal
    if task != "sort":
        expected = torch.eye(len(word))
        expected = expected if task == "copy" else expected.flip(1)
        torch.testing.assert_close(weights[:-1, :-1], expected, rtol=0, atol=0.2)
