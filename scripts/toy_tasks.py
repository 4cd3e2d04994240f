"""Copy, reverse and sort letters with a pointer network, and show that attention is the diagonal, the anti-diagonal
and the sorting permutation.

python scripts/toy_tasks.py --output docs/toy_tasks.png

All letters of a word differ, and the gate of copying is closed: the probability of a letter is the attention to its
only place in the source. A confident right answer therefore proves where attention is.
"""

import argparse
import random
import sys
from collections.abc import Iterator
from pathlib import Path

import torch

from hf_rnn_seq2seq import RnnSeq2SeqConfig, RnnSeq2SeqForConditionalGeneration

LETTERS = "abcdefghijklmnopqrst"
PAD, START, END, FIRST = 0, 1, 2, 3
TASKS = {"copy": list, "reverse": lambda word: word[::-1], "sort": sorted}


def draw_words(seed: int) -> Iterator[list[int]]:
    """Token ids of words of 3 to 8 letters, none of them twice, without end."""
    rng = random.Random(seed)
    while True:
        yield rng.sample(range(FIRST, FIRST + len(LETTERS)), rng.randint(3, 8))


def collate(words: list[list[int]], fill: int) -> torch.Tensor:
    """Words with their end, padded on the right with `fill`."""
    rows = [torch.tensor([*word, END]) for word in words]
    return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=fill)


def build_pointer() -> RnnSeq2SeqForConditionalGeneration:
    """A model that can only copy."""
    config = RnnSeq2SeqConfig(
        vocab_size=FIRST + len(LETTERS),
        cell_type="gru",
        embedding_size=32,
        encoder_hidden_size=48,
        decoder_hidden_size=96,
        attention_type="additive",
        decoder_type="bahdanau",
        copy_attention=True,
        embedding_dropout=0.0,
        layer_dropout=0.0,
        output_dropout=0.0,
    )
    model = RnnSeq2SeqForConditionalGeneration(config)
    gate = model.get_decoder().copy_gate.requires_grad_(False)
    gate.weight.zero_()
    gate.bias.fill_(-30.0)
    return model


def train(task: str, num_updates: int, seed: int = 1) -> tuple[RnnSeq2SeqForConditionalGeneration, float]:
    """A pointer network trained on `num_updates` batches of 64 words, and its last loss in nats per token."""
    torch.manual_seed(seed)
    model, words = build_pointer().train(), draw_words(seed)
    optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=3e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=3e-3, total_steps=num_updates)
    for _ in range(num_updates):
        batch = [next(words) for _ in range(64)]
        source, labels = collate(batch, PAD), collate([TASKS[task](word) for word in batch], -100)
        loss = model(input_ids=source, attention_mask=(source != PAD).long(), labels=labels).loss
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
    return model.eval(), loss.item()


@torch.no_grad()
def attend(model: RnnSeq2SeqForConditionalGeneration, task: str, word: list[int]) -> tuple[list[int], torch.Tensor]:
    """What the model writes for a word, and its attention `(T, S)` while it writes that."""
    source = collate([word], PAD)
    output = model.generate(
        input_ids=source, max_new_tokens=12, return_dict_in_generate=True, output_attentions=True, num_beams=1
    )
    weights = torch.cat([step[0][0, 0] for step in output.cross_attentions])
    return output.sequences[0, 1:].tolist(), weights


def places(task: str, word: list[int]) -> list[int]:
    """Where in the source each target token stands, the end included."""
    return [*(word.index(letter) for letter in TASKS[task](word)), len(word)]


def plot(models: dict[str, RnnSeq2SeqForConditionalGeneration], word: list[int], picture: Path) -> None:
    """Attention of each model for one word, side by side."""
    from matplotlib.figure import Figure

    def name(ids: list[int]) -> list[str]:
        return ["</s>" if token == END else LETTERS[token - FIRST] for token in ids]

    figure = Figure(figsize=(10.5, 3.4), layout="constrained")
    for axes, (task, model) in zip(figure.subplots(1, len(models)), models.items(), strict=True):
        written, weights = attend(model, task, word)
        image = axes.imshow(weights.numpy(), cmap="Blues", vmin=0, vmax=1)
        axes.set_xticks(range(len(word) + 1), name([*word, END]))
        axes.set_yticks(range(len(written)), name(written))
        axes.set(title=task, xlabel="source", ylabel="written")
    figure.colorbar(image, ax=figure.axes, label="attention weight", shrink=0.8)
    figure.savefig(picture, dpi=120)


def main() -> None:
    """Train the three, count, and draw."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--output", type=Path, required=True, help="PNG to write")
    parser.add_argument("--updates", type=int, default=1500, help="updates of each task (%(default)s)")
    arguments = parser.parse_args()
    models, tests = {}, draw_words(seed=2)
    words = [next(tests) for _ in range(200)]
    for task in TASKS:
        models[task], loss = train(task, arguments.updates)
        right = weight = total = 0.0
        for word in words:
            written, weights = attend(models[task], task, word)
            right += written == [*TASKS[task](word), END]
            weight += sum(weights[step, place].item() for step, place in enumerate(places(task, word)[: len(weights)]))
            total += len(word) + 1
        sys.stdout.write(
            f"{task}: loss {loss:.4f}, {right / len(words):.1%} of {len(words)} new words right, "
            f"mean attention to the right place {weight / total:.4f}\n"
        )
    plot(models, next(word for word in words if len(word) == 8), arguments.output)


if __name__ == "__main__":
    main()
