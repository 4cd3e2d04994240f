"""Attention over the encoder memory: energies, mask, softmax, context."""

from typing import NamedTuple

import torch
from torch import nn
from transformers.modeling_layers import GradientCheckpointingLayer

from .modeling_energies import AdditiveEnergies
from .modeling_fast_paths import has_fast_paths


class Memory(NamedTuple):
    """One source sentence as attention reads it, made once by `project_memory`; N heads.

    Attributes:
        keys (`torch.Tensor` of shape `(B, N, S, A / N)`): what queries are compared with.
        values (`torch.Tensor` of shape `(B, N, S, M / N)`): what the context is a mean of.
        mask (`torch.BoolTensor` of shape `(B, S)`, *optional*): True where a source token stands.
    """

    keys: torch.Tensor
    values: torch.Tensor
    mask: torch.Tensor | None


def weigh_memory(
    energies: torch.Tensor, values: torch.Tensor, mask: torch.Tensor | None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Turn energies into attention weights and the context they select.

    Bahdanau et al. 2015, https://arxiv.org/abs/1409.0473, equations 5 and 6.

    Args:
        energies (`torch.Tensor` of shape `(B, N, T, S)`): match of every query with every memory slot.
        values, mask: as in [`Memory`].

    Returns:
        `(context, weights)` of shapes `(B, T, M)` and `(B, N, T, S)`. `weights` sum to 1 over S and are 0 on padding;
        in a row that is all padding they, and the context, are 0.
    """
    dtype = energies.dtype
    energies = energies.to(torch.promote_types(dtype, torch.float32))
    if mask is None:
        weights = energies.softmax(-1)
    else:
        is_padding = ~mask[:, None, None]
        # finfo.min, not -inf: a row of padding only must not become NaN
        weights = energies.masked_fill(is_padding, torch.finfo(energies.dtype).min).softmax(-1)
        # such a row is uniform now, over a width that depends on its neighbours in the batch
        weights = weights.masked_fill(is_padding, 0.0)
    weights = weights.to(dtype)
    context = weights @ values.to(dtype)
    return context.transpose(1, 2).flatten(2), weights


class LocalWindow(nn.Module):
    """Energies of a window around a place that the query predicts: Luong et al. 2015, section 3.2, "local-p".

    `p = S sigmoid(v . tanh(W q))` (equation 9); what lies further than D from p is left out, the rest is weighed by a
    Gaussian of standard deviation D / 2 (equation 10). The Gaussian enters before the softmax, so that, unlike in the
    paper, the weights still sum to 1. Places count real source tokens from 0.

    Args:
        query_size (`int`): width of the decoder query, H.
        window (`int`): D.
    """

    def __init__(self, *, query_size: int, window: int):
        super().__init__()
        self.window = window
        self.hidden_proj = nn.Linear(query_size, query_size, bias=False)
        self.place_proj = nn.Linear(query_size, 1, bias=False)

    def forward(self, energies: torch.Tensor, query: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        """Energies `(B, N, T, S)` of the window around the place that the queries `(B, T, H)` predict."""
        if mask is None:
            mask = torch.ones(len(energies), energies.shape[-1], dtype=torch.bool, device=energies.device)
        shares = self.place_proj(torch.tanh(self.hidden_proj(query))).sigmoid()  # (B, T, 1)
        # float32 at least: bfloat16 cannot count beyond 256
        numbers = mask.to(torch.promote_types(shares.dtype, torch.float32)).cumsum(-1)[:, None]  # (B, 1, S)
        distances = numbers - 1 - numbers[:, :, -1:] * shares  # (B, T, S)
        energies = energies - 2 * (distances / self.window).square()[:, None].to(energies.dtype)
        # the nearest token lies at most 1 away: a window is never empty
        return energies.masked_fill((distances.abs() > self.window)[:, None], torch.finfo(energies.dtype).min)


class Attention(GradientCheckpointingLayer):
    """What all kinds share. A kind says how to make keys of the memory, and energies of queries and keys.

    Args:
        query_size (`int`): width of the decoder query, H.
        memory_size (`int`): width of one encoder output, M.
        num_heads (`int`): N; with several, each weighs its part of `W m`, `M / N` wide (Vaswani et al. 2017, section
            3.2.2; in RNMT+, Chen et al. 2018).
        window (`int`, *optional*): see [`LocalWindow`].
    """

    def __init__(self, *, query_size: int, memory_size: int, num_heads: int = 1, window: int | None = None):
        super().__init__()
        self.num_heads = num_heads
        self.value_proj = nn.Linear(memory_size, memory_size, bias=False) if num_heads > 1 else None
        self.local_window = None if window is None else LocalWindow(query_size=query_size, window=window)

    def project_memory(self, memory: torch.Tensor, mask: torch.Tensor | None = None) -> Memory:
        """What attention reads of encoder outputs `(B, S, M)`, computed once per source sentence.

        Args:
            mask (`torch.BoolTensor` of shape `(B, S)`, *optional*): True where a source token stands.
        """
        values = memory if self.value_proj is None else self.value_proj(memory)
        return Memory(self.split_heads(self.make_keys(memory)), self.split_heads(values), mask)

    def forward(
        self,
        query: torch.Tensor,
        keys: torch.Tensor,
        values: torch.Tensor,
        mask: torch.Tensor | None = None,
        past_weights: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]:
        """Weigh the memory by its match with each query.

        Args:
            query (`torch.Tensor` of shape `(B, T, H)`): decoder states; of K beams for each source, those of a source
                one after the other, also `(B * K, T, H)`, and likewise all that is returned.
            keys, values, mask: what `project_memory` returned.
            past_weights (`torch.Tensor` of shape `(B, S)`, *optional*): what this returned for the steps before; only
                with feedback, see [`AdditiveAttention`].

        Returns:
            `(context, weights, past_weights)` of shapes `(B, T, M)`, `(B, N, T, S)` and `(B, S)`; the last is None
            without feedback.
        """
        # CODEPATH: a search has several beams of a source, whose queries are like those of its steps
        beams = len(query) // len(keys) if has_fast_paths(query) else 1
        query = query.unflatten(0, (-1, beams)).flatten(1, 2) if beams > 1 else query
        energies = self.make_energies(query, keys.to(query.dtype))
        if self.local_window is not None:
            energies = self.local_window(energies, query, mask)
        context, weights = weigh_memory(energies, values, mask)
        if beams > 1:
            context = context.unflatten(1, (beams, -1)).flatten(0, 1)
            weights = weights.unflatten(2, (beams, -1)).transpose(1, 2).flatten(0, 1)
        return context, weights, None

    def make_keys(self, memory: torch.Tensor) -> torch.Tensor:
        """Keys `(B, S, A)` of encoder outputs `(B, S, M)`."""
        raise NotImplementedError

    def make_energies(self, query: torch.Tensor, keys: torch.Tensor) -> torch.Tensor:
        """Energies `(B, N, T, S)` of queries `(B, T, H)` and keys `(B, N, S, A / N)`."""
        raise NotImplementedError

    def split_heads(self, tensor: torch.Tensor) -> torch.Tensor:
        """`(B, T, N * width)` as `(B, N, T, width)`."""
        return tensor.unflatten(-1, (self.num_heads, -1)).transpose(1, 2)


class DotAttention(Attention):
    """`energy = scale * q . m`. Luong et al. 2015, https://arxiv.org/abs/1508.04025, equation 8, "dot".

    Args:
        scale (`float`): of every energy; 1 in the paper.

    Raises:
        ValueError: if `query_size` and `memory_size` differ.
    """

    def __init__(self, *, query_size: int, memory_size: int, scale: float = 1.0, **options):
        super().__init__(query_size=query_size, memory_size=memory_size, **options)
        self.scale = scale
        if query_size != memory_size:
            raise ValueError(
                f"`query_size` and `memory_size` must be equal for dot attention, got {query_size} and {memory_size}; "
                "use `GeneralAttention`."
            )

    def make_keys(self, memory: torch.Tensor) -> torch.Tensor:
        """The memory itself."""
        return memory

    def make_energies(self, query: torch.Tensor, keys: torch.Tensor) -> torch.Tensor:
        """As `Attention.make_energies`."""
        # the scale goes to the smaller factor
        return self.split_heads(query * self.scale) @ keys.transpose(-1, -2)


class GeneralAttention(DotAttention):
    """`energy = scale * q . W m`. Luong et al. 2015, https://arxiv.org/abs/1508.04025, equation 8, "general".

    Args:
        scale (`float`): of every energy; 1 in the paper.
    """

    def __init__(self, *, query_size: int, memory_size: int, **options):
        super().__init__(query_size=query_size, memory_size=query_size, **options)
        self.memory_proj = nn.Linear(memory_size, query_size, bias=False)

    def make_keys(self, memory: torch.Tensor) -> torch.Tensor:
        """`W m`, of shape `(B, S, H)`."""
        return self.memory_proj(memory)


class MultiHeadDotAttention(Attention):
    """`energy_n = scale * (W_n q + b_n) . U_n m` for each head n. Vaswani et al. 2017,
    https://arxiv.org/abs/1706.03762, equation 1 and section 3.2.2, without the projection of the joined heads, which
    the readout has.

    Args:
        attention_size (`int`): width A of all heads together.
        scale (`float`): of every energy; `(A / N) ** -0.5` in the paper.
    """

    def __init__(self, *, query_size: int, memory_size: int, attention_size: int, scale: float = 1.0, **options):
        super().__init__(query_size=query_size, memory_size=memory_size, **options)
        self.scale = scale
        self.query_proj = nn.Linear(query_size, attention_size)
        self.memory_proj = nn.Linear(memory_size, attention_size, bias=False)

    def make_keys(self, memory: torch.Tensor) -> torch.Tensor:
        """`U m`, of shape `(B, S, A)`."""
        return self.memory_proj(memory)

    def make_energies(self, query: torch.Tensor, keys: torch.Tensor) -> torch.Tensor:
        """As `Attention.make_energies`."""
        return self.split_heads(self.query_proj(query) * self.scale) @ keys.transpose(-1, -2)


class AdditiveAttention(Attention):
    """`energy = v . tanh(W q + b + U m)`, with several heads each with its part of W, b, U and v.

    Bahdanau et al. 2015, https://arxiv.org/abs/1409.0473, appendix A.1.2. Luong's "concat", `v . tanh(W [q; m])`, is
    the same with W in one piece. `normalized`: `g v / |v|` in place of v (Salimans and Kingma 2016,
    https://arxiv.org/abs/1602.07868, equation 2).

    With `feedback` the energies also read where the steps before have looked:

    - `"coverage"`: `+ w c` inside the tanh, c the sum of earlier weights of the slot (See et al. 2017,
      https://arxiv.org/abs/1704.04368, equation 11).
    - `"location"`: `+ W f` inside the tanh, f filters over the weights of the step before (Chorowski et al. 2015,
      https://arxiv.org/abs/1506.07503, equation 8).

    Args:
        attention_size (`int`): width A of the space both are projected into, of all heads together.
        normalized (`bool`): normalise v.
        feedback (`str`): `"none"`, `"coverage"` or `"location"`.
        location_channels (`int`): number of filters of `"location"`.
        location_kernel_size (`int`): width of a filter in source tokens, odd.
    """

    def __init__(
        self,
        *,
        query_size: int,
        memory_size: int,
        attention_size: int,
        normalized: bool = False,
        feedback: str = "none",
        location_channels: int = 1,
        location_kernel_size: int = 1,
        **options,
    ):
        super().__init__(query_size=query_size, memory_size=memory_size, **options)
        self.feedback = feedback
        self.query_proj = nn.Linear(query_size, attention_size)
        self.memory_proj = nn.Linear(memory_size, attention_size, bias=False)
        # v
        self.energy_vector = nn.Parameter(torch.randn(attention_size) * attention_size**-0.5)
        self.gain = nn.Parameter(torch.full((self.num_heads,), attention_size**-0.5)) if normalized else None
        if feedback == "coverage":
            self.feedback_proj = nn.Linear(1, attention_size, bias=False)
        elif feedback == "location":
            self.location_filters = nn.Conv1d(
                1, location_channels, location_kernel_size, padding=location_kernel_size // 2, bias=False
            )
            self.feedback_proj = nn.Linear(location_channels, attention_size, bias=False)

    def make_keys(self, memory: torch.Tensor) -> torch.Tensor:
        """`U m`, of shape `(B, S, A)`."""
        return self.memory_proj(memory)

    def make_energies(self, query: torch.Tensor, keys: torch.Tensor) -> torch.Tensor:
        """As `Attention.make_energies`."""
        query = self.split_heads(self.query_proj(query))
        vectors = self.energy_vector.view(self.num_heads, -1)
        if self.gain is not None:
            vectors = vectors * (self.gain / vectors.norm(dim=-1))[:, None]
        if has_fast_paths(query):
            return AdditiveEnergies.apply(query, keys, vectors)
        pairs = query[:, :, :, None] + keys[:, :, None]  # (B, N, T, S, A / N)
        if self.num_heads == 1:
            return nn.functional.linear(torch.tanh(pairs), vectors).squeeze(-1)
        return (torch.tanh(pairs) @ vectors[:, None, :, None]).squeeze(-1)

    def forward(
        self,
        query: torch.Tensor,
        keys: torch.Tensor,
        values: torch.Tensor,
        mask: torch.Tensor | None = None,
        past_weights: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]:
        """As `Attention.forward`; with feedback one step after the other."""
        # CODEPATH: none (bahdanau2015 and most), coverage (see2017), location (speech and other monotonic inputs)
        if self.feedback == "none":
            return super().forward(query, keys, values, mask)
        if past_weights is None:
            past_weights = query.new_zeros(len(query), keys.shape[2])
        contexts, all_weights = [], []
        for step in query.split(1, dim=1):
            seen = keys + self._read_past(past_weights)[:, None]
            context, weights, _ = super().forward(step, seen, values, mask)
            latest = weights[:, 0, 0]
            past_weights = past_weights + latest if self.feedback == "coverage" else latest
            contexts.append(context)
            all_weights.append(weights)
        return torch.cat(contexts, dim=1), torch.cat(all_weights, dim=2), past_weights

    def _read_past(self, past_weights: torch.Tensor) -> torch.Tensor:
        """What is added inside the tanh, `(B, S, A)`."""
        features = past_weights[:, None]
        if self.feedback == "location":
            features = self.location_filters(features)
        return self.feedback_proj(features.transpose(1, 2))


class FixedContext(nn.Module):
    """In place of attention one vector for all steps, `c = tanh(V h)` of the encoder's final state h.

    Cho et al. 2014, https://arxiv.org/abs/1406.1078, appendix A.1.1. It has the interface of `Attention` over a memory
    of one slot, and no weights.

    Args:
        memory_size (`int`): width of the encoder's final state, M.
    """

    def __init__(self, *, memory_size: int):
        super().__init__()
        self.proj = nn.Linear(memory_size, memory_size, bias=False)

    def project_memory(self, memory: torch.Tensor, mask: torch.Tensor | None = None) -> Memory:
        """The vector of final states `(B, 1, M)`."""
        values = torch.tanh(self.proj(memory))[:, None]
        return Memory(values, values, None)

    def forward(
        self,
        query: torch.Tensor,
        keys: torch.Tensor,
        values: torch.Tensor,
        mask: torch.Tensor | None = None,
        past_weights: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, None, None]:
        """The vector for each of the queries `(B, T, H)`, as context `(B, T, M)`."""
        context = values[:, 0]
        # CODEPATH: a search has several beams of a source
        if has_fast_paths(query) and len(query) > len(values):
            context = context.repeat_interleave(len(query) // len(values), dim=0)
        return context.expand(-1, query.shape[1], -1), None, None


__all__ = [
    "AdditiveAttention",
    "Attention",
    "DotAttention",
    "FixedContext",
    "GeneralAttention",
    "LocalWindow",
    "Memory",
    "MultiHeadDotAttention",
    "weigh_memory",
]
