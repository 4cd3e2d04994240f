"""The matrix products of a model, and how fast this machine multiplies matrices of those shapes: the limit."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import torch

from ..data.batching import EncodedPair
from ..model.configuration_rnn_seq2seq import RnnSeq2SeqConfig
from ..model.modeling_products import multiply
from ..model.modeling_steps import NUM_GATES


@dataclass(frozen=True)
class Product:
    """Products of matrices `(rows, inner)` and `(inner, columns)`.

    Attributes:
        rows, inner, columns (`int`): shape of one.
        flops (`float`): floating-point operations of all of them, for real tokens only.
    """

    rows: int
    inner: int
    columns: int
    flops: float


def list_layers(config: RnnSeq2SeqConfig) -> list[tuple[str, int, int, bool]]:
    """The matrices of a model: side (`"source"` or `"target"`), inputs, outputs, and True if one step after the other.

    What a decoder feeds back, or attends with, step by step counts as such.
    """
    gates, layers = NUM_GATES[config.cell_type], []
    for index in range(config.num_encoder_layers):
        size = config.encoder_output_size(index - 1) if index else config.embedding_size
        for _ in range(2 if config.is_bidirectional(index) else 1):
            layers.append(("source", size, gates * config.encoder_hidden_size, False))
            layers.append(("source", config.encoder_hidden_size, gates * config.encoder_hidden_size, True))
    hidden, memory, kind = config.decoder_hidden_size, config.memory_size, config.decoder_type
    extra = {"input_feeding": config.readout_size, "bahdanau": memory}.get(kind, 0)
    is_stepwise = kind in ("input_feeding", "bahdanau")
    layers.append(("target", config.decoder_embedding_size, gates * hidden, False))
    layers.append(("target", hidden + extra, gates * hidden, True))
    for _ in range(1, config.num_decoder_layers):
        layers.append(("target", hidden + (memory if kind == "gnmt" else 0), gates * hidden, is_stepwise))
        layers.append(("target", hidden, gates * hidden, True))
    if config.attention_type == "general":
        layers.append(("source", memory, hidden, False))
    elif config.attention_type.endswith("additive"):
        layers.append(("source", memory, config.attention_size, False))
        layers.append(("target", hidden, config.attention_size, is_stepwise))
    if config.readout_type in ("linear", "tanh", "maxout"):
        parts = hidden + memory + (config.decoder_embedding_size if kind == "bahdanau" else 0)
        width = config.readout_size * (2 if config.readout_type == "maxout" else 1)
        layers.append(("target", parts, width, kind == "input_feeding"))
    layers.append(("target", config.readout_size, config.decoder_vocab_size, False))
    return layers


def list_training_products(config: RnnSeq2SeqConfig, batches: Sequence[Sequence[EncodedPair]]) -> list[Product]:
    """Forward, and the gradients of inputs and weights, of the mean batch; padding does not count."""
    sentences = sum(map(len, batches))
    batch_size = round(sentences / len(batches))
    products = []
    tokens = {
        "source": sum(len(pair.source) for batch in batches for pair in batch),
        "target": sum(len(pair.target) for batch in batches for pair in batch),
    }
    for side, inner, columns, is_stepwise in list_layers(config):
        flops = 2.0 * tokens[side] * inner * columns
        all_rows = round(tokens[side] / len(batches))
        rows = batch_size if is_stepwise else all_rows
        products.append(Product(rows, inner, columns, flops))
        products.append(Product(rows, columns, inner, flops))
        products.append(Product(columns, all_rows, inner, flops))
    pairs = sum(len(pair.source) * len(pair.target) for batch in batches for pair in batch)
    return products + _attention_products(config, pairs, tokens, sentences, passes=3)


def list_decoding_products(
    config: RnnSeq2SeqConfig, pairs: Sequence[EncodedPair], batch_size: int, num_beams: int
) -> list[Product]:
    """Of decoding as many tokens as the targets have, with all beams."""
    tokens = {"source": sum(len(pair.source) for pair in pairs), "target": sum(len(pair.target) for pair in pairs)}
    source_rows = round(tokens["source"] * batch_size / len(pairs))
    products = []
    for side, inner, columns, is_stepwise in list_layers(config):
        is_source = side == "source"
        rows = batch_size if is_stepwise and is_source else source_rows if is_source else batch_size * num_beams
        flops = 2.0 * tokens[side] * (1 if is_source else num_beams) * inner * columns
        products.append(Product(rows, inner, columns, flops))
    attended = num_beams * sum(len(pair.source) * len(pair.target) for pair in pairs)
    return products + _attention_products(config, attended, tokens, len(pairs), passes=1)


def _attention_products(config, pairs: int, tokens: dict[str, int], sentences: int, passes: int) -> list[Product]:
    """Energies and contexts: matrices of one sentence."""
    widths = [config.memory_size]
    if config.attention_type in ("general", "dot"):
        widths.append(config.decoder_hidden_size)
    source, target = (max(1, round(tokens[side] / sentences)) for side in ("source", "target"))
    return [Product(target, width, source, 2.0 * passes * pairs * width) for width in widths]


def measure_seconds(products: Sequence[Product], dtype: torch.dtype) -> float:
    """How long nothing but these products takes here, each at the best rate of its shape."""
    return sum(
        product.flops / measure_rate(product.rows, product.inner, product.columns, dtype) for product in products
    )


@cache
@torch.inference_mode()
def measure_rate(rows: int, inner: int, columns: int, dtype: torch.dtype) -> float:
    """Best floating-point operations per second of a product of these shapes: of ways to lay out and to multiply."""
    # small ones are measured many at a time, as attention has them
    count = max(1, round(2e7 / (rows * inner * columns)))
    left = torch.randn(count, rows, inner).to(dtype)
    right = torch.randn(count, inner, columns).to(dtype)
    turned = right.transpose(1, 2).contiguous()
    if count > 1:
        ways = [lambda: torch.bmm(left, right), lambda: torch.bmm(left, turned.transpose(1, 2))]
    else:
        ways = [
            lambda: torch.mm(left[0], right[0]),
            lambda: torch.mm(left[0], turned[0].t()),
            lambda: multiply(left[0], turned[0]),
        ]
    return 2.0 * count * rows * inner * columns / min(_time(way) for way in ways)


def _time(function, *, budget: float = 0.15) -> float:
    """Shortest of several calls, in seconds."""
    function()
    seconds, stop = [], time.perf_counter() + budget
    while len(seconds) < 3 or time.perf_counter() < stop:
        start = time.perf_counter()
        function()
        seconds.append(time.perf_counter() - start)
    return min(seconds)
