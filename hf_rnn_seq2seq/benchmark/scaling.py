"""How speed changes with length, vocabulary, batch, beam and threads, as numbers and as a picture."""

import time
from pathlib import Path

import torch

from ..data.batching import EncodedPair
from .decoding import DecodingRun
from .timing import threads
from .training import TrainingRun
from .workloads import END

# what is varied, and over which values
LENGTHS = [8, 16, 32, 64, 128, 256, 512]
VOCABULARIES = [1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 64_000]
BATCHES = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512]
BEAMS = [1, 2, 4, 8, 16]


def measure_scaling(dtype_name: str) -> dict[str, dict[int, float]]:
    """Tokens per second of W1: target tokens of training by length, vocabulary, batch and threads, and written tokens
    of decoding by batch and beam.
    """
    return {
        "training: tokens in a sentence": {n: _train(dtype_name, n, max(1, 2048 // n)) for n in LENGTHS},
        "training: vocabulary": {
            n: _train(dtype_name, 14, 128, vocab_size=n, decoder_vocab_size=n) for n in VOCABULARIES
        },
        "training: sentences in a batch": {n: _train(dtype_name, 14, n) for n in BATCHES},
        "training: threads": {n: _train(dtype_name, 14, 128, num_threads=n) for n in (1, 2)},
        "greedy decoding: sentences in a batch": {n: _decode(dtype_name, n, 1) for n in BATCHES},
        "decoding 32 sentences: beams": {n: _decode(dtype_name, 32, n) for n in BEAMS},
    }


def _train(dtype_name: str, length: int, batch_size: int, *, num_threads: int | None = None, **config) -> float:
    pair = EncodedPair([3] * (length - 1) + [END], [3] * (length - 1) + [END])
    with threads(num_threads or torch.get_num_threads()):
        training_run = TrainingRun("w1", dtype_name, 0, [], **config)
        training_run.batches = [[pair] * batch_size]
        seconds = _shortest(training_run.run)
    return batch_size * length / seconds


def _decode(dtype_name: str, batch_size: int, num_beams: int) -> float:
    decoding_run = DecodingRun("w1", dtype_name, 1)
    pairs = [EncodedPair([3] * 13 + [END], [3] * 13 + [END])] * batch_size

    def run() -> float:
        start = time.perf_counter()
        decoding_run.generate(pairs, num_beams)
        return time.perf_counter() - start

    return batch_size * 14 / _shortest(run)


def _shortest(run) -> float:
    """Seconds of the shortest of three runs, or more if they are short."""
    run()
    seconds = [run() for _ in range(3)]
    while sum(seconds) < 0.5:
        seconds.append(run())
    return min(seconds)


def plot_scaling(results: dict[str, dict[str, dict[int, float]]], picture: Path) -> None:
    """Draw what `measure_scaling` measured.

    Args:
        results: by name of the type.
        picture (`Path`): PNG to write.
    """
    # the object interface needs no display and leaves the user's backend alone
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    titles = list(next(iter(results.values())))
    figure = Figure(figsize=(12, 7), layout="constrained")
    for axes, title in zip(figure.subplots(2, 3).flat, titles, strict=True):
        for dtype_name, series in results.items():
            axes.plot(list(series[title]), list(series[title].values()), marker="o", label=dtype_name)
        kind, _, varied = title.partition(": ")
        axes.set(title=kind, xlabel=varied, ylabel="tokens/s", xscale="log", yscale="log")
        axes.set_xticks(list(series[title]), [f"{value:,}" for value in series[title]], minor=False)
        axes.tick_params(axis="x", labelsize=7)
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
        axes.yaxis.set_minor_formatter(NullFormatter())
        axes.grid(alpha=0.3)
        axes.legend()
    figure.savefig(picture, dpi=110)
