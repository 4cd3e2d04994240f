"""From pairs of text to padded batches: encode, filter by length, group sentences of similar length."""

import itertools
import logging
import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
from transformers import PreTrainedTokenizerBase

logger = logging.getLogger(__name__)

LABEL_PADDING = -100


@dataclass(frozen=True)
class EncodedPair:
    """One pair as token ids, `</s>` included."""

    source: list[int]
    target: list[int]

    @property
    def length(self) -> int:
        """Tokens of the longer side, which is what the pair costs in a padded batch."""
        return max(len(self.source), len(self.target))


def encode_pairs(
    pairs: Iterable[tuple[str, str]], tokenizer: PreTrainedTokenizerBase, *, chunk_size: int = 1000
) -> Iterator[EncodedPair]:
    """Token ids of pairs of text, lazily, `chunk_size` pairs at a time."""
    pairs = iter(pairs)
    while chunk := list(itertools.islice(pairs, chunk_size)):
        sources, targets = zip(*chunk, strict=True)
        encoded = tokenizer(list(sources), text_target=list(targets), return_attention_mask=False)
        for source, target in zip(encoded["input_ids"], encoded["labels"], strict=True):
            yield EncodedPair(source, target)


@dataclass
class LengthFilter:
    """Drops pairs that are too long or too unequal in length, and counts them.

    Args:
        max_source_tokens (`int`, *optional*): longest source kept, `</s>` included.
        max_target_tokens (`int`, *optional*): longest target kept, `</s>` included.
        max_length_ratio (`float`, *optional*): largest ratio kept of the longer side's tokens to the shorter's.
    """

    max_source_tokens: int | None = None
    max_target_tokens: int | None = None
    max_length_ratio: float | None = None
    num_dropped: int = 0

    def __call__(self, pairs: Iterable[EncodedPair]) -> Iterator[EncodedPair]:
        """The pairs that pass, in order; `num_dropped` is counted anew."""
        self.num_dropped = 0
        for pair in pairs:
            if self._passes(len(pair.source), len(pair.target)):
                yield pair
            else:
                self.num_dropped += 1

    def _passes(self, num_source: int, num_target: int) -> bool:
        if self.max_source_tokens is not None and num_source > self.max_source_tokens:
            return False
        if self.max_target_tokens is not None and num_target > self.max_target_tokens:
            return False
        ratio = max(num_source, num_target) / max(1, min(num_source, num_target))
        return self.max_length_ratio is None or ratio <= self.max_length_ratio


@dataclass(frozen=True)
class BatchPlan:
    """How pairs are grouped into batches. Give exactly one of `max_tokens` and `batch_size`.

    Args:
        max_tokens (`int`, *optional*): budget of a batch: sentences times tokens of its longest side.
        batch_size (`int`, *optional*): sentences in a batch.
        seed (`int`, *optional*): shuffle pairs of equal length and the order of batches, differently in each epoch;
            None keeps the pairs in order of length.
    """

    max_tokens: int | None = None
    batch_size: int | None = None
    seed: int | None = None

    def __post_init__(self):
        if (self.max_tokens is None) == (self.batch_size is None):
            raise ValueError(
                "Exactly one of `max_tokens` and `batch_size` must be given, got "
                f"{self.max_tokens} and {self.batch_size}."
            )
        if (self.max_tokens or self.batch_size) < 1:
            raise ValueError(f"A batch must hold something, got {self.max_tokens or self.batch_size}.")

    def batches(self, pairs: Sequence[EncodedPair], epoch: int = 0) -> list[list[EncodedPair]]:
        """The batches of one epoch: pairs of similar length together, every pair once."""
        rng = None if self.seed is None else random.Random(f"{self.seed}/{epoch}")
        order = list(range(len(pairs)))
        if rng is not None:
            rng.shuffle(order)
        order.sort(key=lambda index: (len(pairs[index].target), len(pairs[index].source)))
        batches, batch, longest = [], [], 0
        for index in order:
            longest = max(longest, pairs[index].length)
            if batch and self._is_over(len(batch) + 1, longest):
                batches.append(batch)
                batch, longest = [], pairs[index].length
            batch.append(pairs[index])
        if batch:
            batches.append(batch)
        if rng is not None:
            rng.shuffle(batches)
        return batches

    def stream(
        self, pairs: Iterable[EncodedPair], epoch: int = 0, *, buffer_size: int = 20000
    ) -> Iterator[list[EncodedPair]]:
        """As `batches`, for pairs that do not fit in memory: planned within buffers of `buffer_size` pairs."""
        pairs = iter(pairs)
        for part in itertools.count():
            buffer = list(itertools.islice(pairs, buffer_size))
            if not buffer:
                return
            yield from self.batches(buffer, epoch=f"{epoch}.{part}")

    def _is_over(self, num_sentences: int, longest: int) -> bool:
        if self.batch_size is not None:
            return num_sentences > self.batch_size
        return num_sentences * longest > self.max_tokens


def collate(
    batch: Sequence[EncodedPair], *, pad_token_id: int, num_rows: int | None = None
) -> dict[str, torch.Tensor]:
    """Pad a batch on the right.

    Args:
        batch: at least one pair, unless `num_rows` says otherwise.
        pad_token_id (`int`): fills `input_ids`; `labels` are filled with -100.
        num_rows (`int`, *optional*): add rows without labels up to this number, which add nothing to a summed loss.

    Returns:
        `input_ids` and `attention_mask` of shape `(B, S)`, `labels` of shape `(B, T)`.
    """
    filler = EncodedPair([pad_token_id], [LABEL_PADDING])
    batch = [*batch, *[filler] * ((num_rows or 0) - len(batch))]
    sources = torch.nn.utils.rnn.pad_sequence(
        [torch.tensor(pair.source) for pair in batch], batch_first=True, padding_value=pad_token_id
    )
    labels = torch.nn.utils.rnn.pad_sequence(
        [torch.tensor(pair.target) for pair in batch], batch_first=True, padding_value=LABEL_PADDING
    )
    lengths = torch.tensor([len(pair.source) for pair in batch])
    attention_mask = (torch.arange(sources.shape[1]) < lengths[:, None]).long()
    return {"input_ids": sources, "attention_mask": attention_mask, "labels": labels}
