"""What the decoder remembers between two calls: recurrent state, feeds of attention, projected memory, length."""

from collections.abc import Callable

import torch
from transformers.cache_utils import Cache


class RnnSeq2SeqCache(Cache):
    """Recurrent state of a decoder, in place of the key/value cache of attention-only decoders.

    Its size does not grow with the number of generated tokens. All tensors are batch-first, so that beam search can
    expand, reorder and select rows.

    Attributes:
        states (`list[tuple[torch.Tensor, ...]]`): for each decoder layer `(hidden,)` or, LSTM, `(hidden, cell)`, each
            of shape `(B, H)`. Empty before the first call of the decoder.
        feed (`torch.Tensor` of shape `(B, R)`, *optional*): attentional vector of the last step (input feeding).
        past_weights (`torch.Tensor` of shape `(B, S)`, *optional*): attention of earlier steps (feedback).
        memory (`tuple` of `torch.Tensor`, *optional*): keys and values as projected for attention. They belong to
            the source sentence, which all beams of a sentence share: `reorder_cache` leaves them where they are.
    """

    def __init__(self):
        super().__init__(layers=[])
        self.reset()

    def __repr__(self):
        return f"{type(self).__name__}(num_layers={len(self.states)}, seq_length={self.seq_length})"

    def __len__(self):
        return len(self.states)

    def update(
        self,
        states: list[tuple[torch.Tensor, ...]],
        *,
        feed: torch.Tensor | None,
        past_weights: torch.Tensor | None,
        memory: tuple[torch.Tensor, ...] | None,
        num_new_tokens: int,
    ) -> None:
        """Replace what is remembered by what stands after `num_new_tokens` more target tokens."""
        self.states, self.feed, self.past_weights, self.memory = states, feed, past_weights, memory
        self.seq_length += num_new_tokens

    def reset(self) -> None:
        """Forget everything; the next call of the decoder starts a new target."""
        self.states: list[tuple[torch.Tensor, ...]] = []
        self.feed: torch.Tensor | None = None
        self.past_weights: torch.Tensor | None = None
        self.memory: tuple[torch.Tensor, ...] | None = None
        self.seq_length = 0

    def reorder_cache(self, beam_idx: torch.LongTensor) -> None:
        """Let row i continue from the state of row `beam_idx[i]`, a beam of the same source sentence."""
        self._map_states(lambda tensor: tensor.index_select(0, beam_idx.to(tensor.device)))

    def batch_repeat_interleave(self, repeats: int) -> None:
        """Repeat every row `repeats` times."""
        self._map_rows(lambda tensor: tensor.repeat_interleave(repeats, dim=0))

    def batch_select_indices(self, indices: torch.Tensor) -> None:
        """Keep only the rows `indices`."""
        self._map_rows(lambda tensor: tensor[indices])

    def crop(self, tokens_to_remove: int) -> None:
        """Not possible: a recurrent state does not hold its predecessors."""
        raise NotImplementedError(
            "`crop` is not supported: a recurrent state cannot be taken back; decode the shorter prefix again."
        )

    def get_seq_length(self, layer_idx: int = 0) -> int:
        """Number of target tokens that the state has read."""
        return self.seq_length

    def get_max_length(self, layer_idx: int | None = None) -> int:
        """-1: there is no maximum."""
        return -1

    @property
    def batch_size(self) -> int:
        """Number of rows, 0 before the first call of the decoder."""
        return self.states[0][0].shape[0] if self.states else 0

    @property
    def is_initialized(self) -> bool:
        """True after the first call of the decoder."""
        return bool(self.states)

    def _map_states(self, function: Callable[[torch.Tensor], torch.Tensor]) -> None:
        self.states = [tuple(function(tensor) for tensor in state) for state in self.states]
        self.feed = None if self.feed is None else function(self.feed)
        self.past_weights = None if self.past_weights is None else function(self.past_weights)

    def _map_rows(self, function: Callable[[torch.Tensor], torch.Tensor]) -> None:
        self._map_states(function)
        self.memory = None if self.memory is None else tuple(function(tensor) for tensor in self.memory)


__all__ = ["RnnSeq2SeqCache"]
