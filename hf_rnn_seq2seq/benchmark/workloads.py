"""Fixed work to measure speed on: models by name, and batches with the lengths of real captions."""

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch

from ..data.batching import BatchPlan, EncodedPair
from ..model.configuration_rnn_seq2seq import RnnSeq2SeqConfig
from ..model.modeling_rnn_seq2seq import RnnSeq2SeqForConditionalGeneration

PAD, START, END = 0, 1, 2
# lengths in tokens with `</s>`, as logarithms, of the 29,000 training captions of Multi30k (Elliott et al. 2016,
# https://arxiv.org/abs/1605.00459) split into words and punctuation, English and German: mean, deviation, correlation
_SOURCE_LENGTH, _TARGET_LENGTH, _CORRELATION = (2.609, 0.276), (2.565, 0.300), 0.855
_LONGEST = 46


@dataclass(frozen=True)
class Workload:
    """A model to train and decode with.

    Attributes:
        title (`str`): for tables.
        config (`dict`): fields of `RnnSeq2SeqConfig` that differ from those of W1, or from those of `preset`.
        preset (`str`, *optional*): a named architecture.
        batch_size (`int`): sentences in a training batch.
    """

    title: str
    config: dict = field(default_factory=dict)
    preset: str | None = None
    batch_size: int = 128


_TOKENS = {"pad_token_id": PAD, "bos_token_id": START, "decoder_start_token_id": START, "eos_token_id": END}
_SMALL = {
    "vocab_size": 10_000,
    "decoder_vocab_size": 10_000,
    "embedding_size": 256,
    "encoder_hidden_size": 256,
    "decoder_hidden_size": 512,
    "num_encoder_layers": 1,
    "num_decoder_layers": 1,
    "cell_type": "lstm",
    "decoder_type": "luong",
    "attention_type": "general",
    "attention_size": 512,
    "share_encoder_decoder_embeddings": False,
    "tie_word_embeddings": False,
    "embedding_dropout": 0.3,
    "layer_dropout": 0.3,
    "output_dropout": 0.3,
}
_TWO_LAYERS = {"num_encoder_layers": 2, "num_decoder_layers": 2, "encoder_hidden_size": 512}
_GNMT = {
    "vocab_size": 32_000,
    "decoder_vocab_size": 32_000,
    "embedding_size": 1024,
    "encoder_hidden_size": 1024,
    "decoder_hidden_size": 1024,
    "attention_size": 1024,
    "num_encoder_layers": 4,
    "num_decoder_layers": 4,
}
WORKLOADS = {
    "w1": Workload("W1, 1 + 1 layers, attention after the recurrence"),
    "w1_input_feeding": Workload("W1 with input feeding", {"decoder_type": "input_feeding"}),
    "w1_bahdanau": Workload(
        "W1 with Bahdanau's attention", {"decoder_type": "bahdanau", "attention_type": "additive"}
    ),
    "w1_gru": Workload("W1 with GRUs", {"cell_type": "gru"}),
    "w2": Workload("W2, 2 + 2 layers", _TWO_LAYERS),
    "w4": Workload("W4, GNMT", _GNMT, preset="gnmt2016", batch_size=512),
}


def build_model(workload: Workload, **changes) -> RnnSeq2SeqForConditionalGeneration:
    """The model of a workload with random weights, which never ends a sentence by itself.

    Args:
        changes: fields of the config that differ from the workload's.
    """
    torch.manual_seed(1)
    if workload.preset is None:
        config = RnnSeq2SeqConfig(**{**_TOKENS, **_SMALL, **workload.config, **changes})
    else:
        config = RnnSeq2SeqConfig.from_preset(workload.preset, **{**_TOKENS, **workload.config, **changes})
    model = RnnSeq2SeqForConditionalGeneration(config)
    with torch.no_grad():
        model.lm_head.bias[END] = -1e4
    return model


def draw_pairs(number: int, *, vocab_size: int = 10_000, seed: int = 1) -> list[EncodedPair]:
    """Pairs of random tokens whose lengths are distributed as those of Multi30k."""
    rng = random.Random(seed)
    pairs = []
    for _ in range(number):
        first = rng.gauss(0, 1)
        second = _CORRELATION * first + math.sqrt(1 - _CORRELATION**2) * rng.gauss(0, 1)
        lengths = (
            min(_LONGEST, max(3, round(math.exp(mean + deviation * value))))
            for value, (mean, deviation) in ((first, _SOURCE_LENGTH), (second, _TARGET_LENGTH))
        )
        source, target = ([*rng.choices(range(3, vocab_size), k=length - 1), END] for length in lengths)
        pairs.append(EncodedPair(source, target))
    return pairs


def plan_batches(pairs: Sequence[EncodedPair], batch_size: int, number: int, seed: int = 1) -> list[list[EncodedPair]]:
    """`number` full batches of pairs of similar length in random order, as training makes them."""
    batches = BatchPlan(batch_size=batch_size, seed=seed).batches(pairs)
    return [batch for batch in batches if len(batch) == batch_size][:number]
