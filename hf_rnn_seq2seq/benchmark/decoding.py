"""Speed of decoding through `generate`, with the hand-written paths and without."""

import time
from collections.abc import Sequence

import torch

from ..data.batching import EncodedPair, collate
from .timing import Timing, fast_paths, race
from .training import DTYPES
from .workloads import PAD, WORKLOADS, build_model, draw_pairs


class DecodingRun:
    """A model and sentences to decode, sorted by length; every batch as many tokens as its longest target has.

    Args:
        name (`str`): of the workload.
        dtype_name (`str`): `"fp32"`, or `"bf16"` for weights in bfloat16.
        num_sentences (`int`): sentences of one run.
    """

    def __init__(self, name: str, dtype_name: str, num_sentences: int, **config):
        self.model = build_model(WORKLOADS[name], **config).eval().to(DTYPES[dtype_name])
        pairs = draw_pairs(num_sentences, vocab_size=self.model.config.vocab_size, seed=2)
        self.pairs = sorted(pairs, key=lambda pair: (len(pair.target), len(pair.source)))

    def run(self, batch_size: int, num_beams: int) -> float:
        """Decode everything; seconds."""
        start = time.perf_counter()
        for first in range(0, len(self.pairs), batch_size):
            self.generate(self.pairs[first : first + batch_size], num_beams)
        return time.perf_counter() - start

    def generate(self, pairs: Sequence[EncodedPair], num_beams: int) -> torch.LongTensor:
        """Decode one batch."""
        rows = collate(pairs, pad_token_id=PAD)
        return self.model.generate(
            rows["input_ids"],
            attention_mask=rows["attention_mask"],
            num_beams=num_beams,
            max_new_tokens=max(len(pair.target) for pair in pairs),
        )


def time_decoding(decoding_run: DecodingRun, batch_size: int, num_beams: int, num_runs: int) -> dict[str, Timing]:
    """Timings of a run by path: `fast` and `plain`."""

    def run(are_on: bool) -> float:
        with fast_paths(are_on):
            return decoding_run.run(batch_size, num_beams)

    return race({"fast": lambda: run(True), "plain": lambda: run(False)}, num_runs)
