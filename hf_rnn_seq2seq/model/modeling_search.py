"""Greedy and beam search for `generate`, with transformers' results and without what a recurrent decoder need not do.

A source is encoded and projected once and not once for each beam, only its states are reordered, log-probabilities are
computed for candidates and not for the whole vocabulary, and a finished sentence leaves the batch.
"""

from typing import NamedTuple

import torch
from transformers.generation import EosTokenCriteria, GenerationConfig, MaxLengthCriteria, StoppingCriteria
from transformers.modeling_outputs import ModelOutput

from .modeling_cache import RnnSeq2SeqCache
from .modeling_fast_paths import has_fast_paths, is_as_built
from .modeling_products import speed_up_linear

_IMPOSSIBLE = -1e9
# entries of a group whose largest is looked at first
_GROUP = 64
# what `generate` may ask for; anything else is left to transformers
_ARGUMENTS = {"encoder_outputs", "attention_mask", "use_cache", "logits_to_keep"}


class SearchMixin:
    """In front of `GenerationMixin`: searches of our own for the usual settings."""

    def _sample(
        self,
        input_ids: torch.LongTensor,
        logits_processor,
        stopping_criteria,
        generation_config: GenerationConfig,
        synced_gpus: bool = False,
        streamer=None,
        **model_kwargs,
    ):
        settings = (logits_processor, stopping_criteria, generation_config)
        if synced_gpus or streamer is not None or not self._can_search(input_ids, *settings, model_kwargs):
            return super()._sample(input_ids, *settings, synced_gpus, streamer, **model_kwargs)
        with speed_up_linear(self.dtype, self.device):
            return _search_greedily(_Stepper(self, model_kwargs), input_ids, generation_config)

    def _beam_search(
        self,
        input_ids: torch.LongTensor,
        logits_processor,
        stopping_criteria,
        generation_config: GenerationConfig,
        synced_gpus: bool = False,
        **model_kwargs,
    ):
        settings = (logits_processor, stopping_criteria, generation_config)
        if synced_gpus or not self._can_search(input_ids, *settings, model_kwargs):
            return super()._beam_search(input_ids, *settings, synced_gpus, **model_kwargs)
        num_beams = generation_config.num_beams
        with speed_up_linear(self.dtype, self.device):
            return _search_beams(_Stepper(self, model_kwargs, num_beams), input_ids[::num_beams], generation_config)

    def _can_search(self, input_ids, logits_processor, stopping_criteria, generation_config, model_kwargs) -> bool:
        given = {name for name, value in model_kwargs.items() if value is not None}
        num_candidates = _count_candidates(generation_config)
        # CODEPATH: probabilities of copying (see2017) and feedback of attention are made by the whole model
        is_plain = not self.config.copy_attention and self.config.attention_feedback == "none"
        return (
            is_plain
            and type(self).__module__.rpartition(".")[0] == __package__
            and is_as_built(self)
            and is_as_built(self.model)
            and has_fast_paths(input_ids)
            and not torch.is_grad_enabled()
            and not generation_config.do_sample
            and not logits_processor
            and not generation_config.return_dict_in_generate
            and not generation_config.low_memory
            and generation_config.use_cache
            and self.config.decoder_vocab_size >= num_candidates
            and isinstance(model_kwargs["encoder_outputs"], ModelOutput)
            and all(_is_usual(criterion, generation_config) for criterion in stopping_criteria)
            and given <= _ARGUMENTS
        )


def _is_usual(criterion: StoppingCriteria, generation_config: GenerationConfig) -> bool:
    """True for those criteria that `generate` makes itself."""
    if type(criterion) is MaxLengthCriteria:
        return criterion.max_length == generation_config.max_length
    ends = generation_config._eos_token_tensor
    return type(criterion) is EosTokenCriteria and ends is not None and torch.equal(criterion.eos_token_id, ends)


class _Stepper:
    """The model as a function from last tokens to logits, over fewer and fewer sentences.

    Args:
        model: whose decoder and output layer to use.
        model_kwargs (`dict`): of `generate`, every source repeated `num_beams` times.
        num_beams (`int`): rows of a source after the first step.
    """

    def __init__(self, model, model_kwargs: dict, num_beams: int = 1):
        self.decoder, self.lm_head, self.num_beams = model.get_decoder(), model.lm_head, num_beams
        outputs = model_kwargs["encoder_outputs"]
        unrepeated = {
            name: value[::num_beams] if isinstance(value, torch.Tensor) else value for name, value in outputs.items()
        }
        self.encoder_outputs = type(outputs)(**unrepeated)
        mask = model_kwargs.get("attention_mask")
        self.mask = None if mask is None else mask[::num_beams]
        self.cache = RnnSeq2SeqCache()

    def step(self, ids: torch.LongTensor) -> torch.Tensor:
        """Logits `(rows, V)` after tokens `(rows, T)`, in float32, in which torch finds maxima fastest."""
        outputs = self.decoder(
            input_ids=ids,
            encoder_outputs=self.encoder_outputs,
            encoder_attention_mask=self.mask,
            past_key_values=self.cache,
            use_cache=True,
            output_attentions=False,
            output_hidden_states=False,
        )
        return self.lm_head(outputs.last_hidden_state[:, -1]).float()

    def keep(self, sources: torch.LongTensor | None, rows: torch.LongTensor) -> None:
        """Go on with these sources, all of them if None, and these rows of the state."""
        self.cache.reorder_cache(rows)
        if sources is None:
            return
        if self.cache.memory is not None:
            self.cache.memory = tuple(tensor[sources] for tensor in self.cache.memory)
        self.mask = None if self.mask is None else self.mask[sources]
        if self.encoder_outputs.get("memory_mask") is not None:
            self.encoder_outputs["memory_mask"] = self.encoder_outputs["memory_mask"][sources]


def _search_greedily(
    stepper: _Stepper, ids: torch.LongTensor, generation_config: GenerationConfig
) -> torch.LongTensor:
    """The likeliest token in every step, `(B, length)`."""
    prompt_length, ends = ids.shape[1], generation_config._eos_token_tensor
    pad = generation_config._pad_token_tensor
    sequences = ids.new_full((len(ids), generation_config.max_length), 0 if pad is None else int(pad))
    sequences[:, :prompt_length] = ids
    rows, length = torch.arange(len(ids)), prompt_length
    while length < generation_config.max_length and len(rows):
        tokens = stepper.step(ids).argmax(-1)
        sequences[rows, length] = tokens
        length += 1
        ids = tokens[:, None]
        if ends is not None and (is_open := ~torch.isin(tokens, ends)).logical_not().any():
            kept = is_open.nonzero()[:, 0]
            rows, ids = rows[kept], ids[kept]
            stepper.keep(kept, kept)
    return sequences[:, :length]


class _Beams(NamedTuple):
    """Beams of B sources, the best first: K of them, running or finished.

    Attributes:
        scores (`torch.Tensor` of shape `(B, K)`): log-probabilities in nats; of finished ones, with length penalty.
        sequences (`torch.LongTensor` of shape `(B, K, length)`): tokens.
        lengths (`torch.LongTensor` of shape `(B, K)`): tokens of them, the rest is filling.
        has_ended (`torch.BoolTensor` of shape `(B, K)`): True where the last token is the end.
    """

    scores: torch.Tensor
    sequences: torch.Tensor
    lengths: torch.Tensor
    has_ended: torch.Tensor

    def pick(self, places: torch.Tensor) -> "_Beams":
        """The beams `(B, k)` of these, for each source."""
        return _Beams(*(_pick(tensor, places) for tensor in self))

    def write(self, sources: torch.Tensor, beams: "_Beams") -> None:
        """Put the beams of some sources in their place."""
        for tensor, part in zip(self, beams, strict=True):
            tensor[sources] = part

    def select(self, sources: torch.Tensor) -> "_Beams":
        """All beams of some sources."""
        return _Beams(*(tensor[sources] for tensor in self))


def _search_beams(stepper: _Stepper, ids: torch.LongTensor, generation_config: GenerationConfig) -> torch.LongTensor:
    """The best `num_return_sequences` beams of each source, as transformers' beam search finds them."""
    (num_sources, prompt_length), num_beams = ids.shape, stepper.num_beams
    running, finished = _start_beams(ids, generation_config)
    results, sources = _Beams(*(tensor.clone() for tensor in finished)), torch.arange(num_sources)
    for length in range(prompt_length, generation_config.max_length):
        logits = stepper.step(ids).unflatten(0, (len(sources), -1))
        candidates, parents = _extend(running, logits, length, generation_config)
        finished = _finish(finished, candidates, length + 1 - prompt_length, generation_config.length_penalty)
        places = (candidates.scores + candidates.has_ended * _IMPOSSIBLE).topk(num_beams).indices
        running = candidates.pick(places)
        ids = running.sequences[:, :, length]
        rows = parents.gather(1, places) + torch.arange(len(sources))[:, None] * logits.shape[1]
        is_open = _may_improve(running, finished, prompt_length, length + 1, generation_config)
        if is_open.all():
            stepper.keep(None, rows.flatten())
        else:
            results.write(sources, finished)
            kept = is_open.nonzero()[:, 0]
            if not len(kept):
                break
            stepper.keep(kept, rows[kept].flatten())
            sources, ids, running, finished = sources[kept], ids[kept], running.select(kept), finished.select(kept)
        ids = ids.flatten()[:, None]
    else:
        results.write(sources, finished)
    best = _Beams(*(tensor[:, : generation_config.num_return_sequences].flatten(0, 1) for tensor in results))
    return best.sequences[:, : int(best.lengths.max())]


def _start_beams(ids: torch.LongTensor, generation_config: GenerationConfig) -> tuple[_Beams, _Beams]:
    """One running beam of each source, its prompt, and no finished ones."""
    num_sources, prompt_length = ids.shape
    ends, pad = generation_config._eos_token_tensor, generation_config._pad_token_tensor
    filling = -1 if ends is None else int(pad or ends[0])
    sequences = ids.new_full((num_sources, 1, generation_config.max_length), filling)
    sequences[:, :, :prompt_length] = ids[:, None]
    lengths = ids.new_full((num_sources, 1), prompt_length)
    running = _Beams(torch.zeros(num_sources, 1), sequences, lengths, torch.zeros(num_sources, 1, dtype=torch.bool))
    finished = _Beams(*(tensor.repeat_interleave(generation_config.num_beams, dim=1) for tensor in running))
    finished.scores.fill_(_IMPOSSIBLE)
    return running, finished


def _extend(
    running: _Beams, logits: torch.Tensor, length: int, generation_config: GenerationConfig
) -> tuple[_Beams, torch.LongTensor]:
    """The best ways to go on by a token, after `length` of them, and from which of the running beams."""
    scores, parents, tokens = _best_candidates(logits, running.scores, _count_candidates(generation_config))
    sequences = _pick(running.sequences, parents)
    sequences[:, :, length] = tokens
    has_ended = torch.full_like(tokens, length + 1 == generation_config.max_length, dtype=torch.bool)
    if generation_config._eos_token_tensor is not None:
        has_ended |= torch.isin(tokens, generation_config._eos_token_tensor)
    return _Beams(scores, sequences, torch.full_like(tokens, length + 1), has_ended), parents


def _finish(finished: _Beams, candidates: _Beams, num_new: int, length_penalty: float) -> _Beams:
    """The best beams that have ended, before or by their newest token, of `num_new` after the prompt."""
    num_beams = finished.scores.shape[1]
    # only the first may end; the others stand by to go on in their place
    may_end = candidates.has_ended & (torch.arange(candidates.has_ended.shape[1]) < num_beams)
    scores = (candidates.scores / num_new**length_penalty).masked_fill(~may_end, 2 * _IMPOSSIBLE)
    ending = candidates._replace(scores=scores, has_ended=may_end)
    pool = _Beams(*(torch.cat(pair, dim=1) for pair in zip(finished, ending, strict=True)))
    return pool.pick(pool.scores.topk(num_beams).indices)


def _may_improve(
    running: _Beams, finished: _Beams, prompt_length: int, length: int, generation_config: GenerationConfig
) -> torch.BoolTensor:
    """True for sources, `(B)`, of which a running beam may yet be among the best."""
    is_open = ~finished.has_ended.all(1)
    if generation_config.early_stopping is True:
        return is_open
    # transformers' guess at the length of the best hypothesis yet to come
    is_patient = generation_config.early_stopping == "never" and generation_config.length_penalty > 0
    num_new = (generation_config.max_length if is_patient else length) - prompt_length
    best_score = (running.scores + running.has_ended * _IMPOSSIBLE)[:, 0]
    return is_open | (best_score / num_new**generation_config.length_penalty > finished.scores.amin(1))


def _count_candidates(generation_config: GenerationConfig) -> int:
    """How many ways to go on are looked at: enough for all beams even if all of them end."""
    num_ends = 0 if generation_config._eos_token_tensor is None else len(generation_config._eos_token_tensor)
    return max(2, 1 + num_ends) * generation_config.num_beams


def _best_candidates(
    logits: torch.Tensor, scores: torch.Tensor, number: int
) -> tuple[torch.Tensor, torch.LongTensor, torch.LongTensor]:
    """The best ways to go on: score, beam and token, `(B, number)`, the best first.

    Args:
        logits (`torch.Tensor` of shape `(B, K, V)`): of the next token.
        scores (`torch.Tensor` of shape `(B, K)`): of the beams so far.
        number (`int`): how many.
    """
    values, tokens = find_largest(logits, min(number, logits.shape[-1]))  # (B, K, number)
    # the largest probability is 1 / sum exp(logit - largest)
    log_sums = values[..., 0] - logits.softmax(-1).amax(-1).log()
    totals = (values - log_sums[..., None]) + scores[:, :, None]
    best, places = totals.flatten(1).topk(number)
    return best, places // values.shape[-1], tokens.flatten(1).gather(1, places)


def find_largest(values: torch.Tensor, number: int) -> tuple[torch.Tensor, torch.LongTensor]:
    """As `values.topk(number)` over the last dimension, faster where it is long.

    The largest entries lie in those groups of entries whose own largest are the largest.

    Args:
        values (`torch.Tensor` of shape `(..., size)`): numbers.
        number (`int`): how many to find, at most `size`.

    Returns:
        `(values, indices)`, both of shape `(..., number)`, the largest first.
    """
    size = values.shape[-1]
    num_groups = size // _GROUP
    if num_groups < 4 * number:
        return values.topk(number)
    groups, rest = values[..., : num_groups * _GROUP].unflatten(-1, (-1, _GROUP)), values[..., num_groups * _GROUP :]
    chosen = groups.amax(-1).topk(number).indices  # (..., number)
    members = groups.gather(-2, chosen[..., None].expand(*chosen.shape, _GROUP)).flatten(-2)
    found, places = torch.cat([members, rest], dim=-1).topk(number)
    in_rest = places >= number * _GROUP
    group = chosen.gather(-1, (places // _GROUP).clamp(max=number - 1))
    index = torch.where(in_rest, places - number * _GROUP + num_groups * _GROUP, group * _GROUP + places % _GROUP)
    return found, index


def _pick(tensor: torch.Tensor, places: torch.LongTensor) -> torch.Tensor:
    """Entries `(B, k, ...)` of `(B, K, ...)` at places `(B, k)`."""
    return torch.take_along_dim(tensor, places.view(*places.shape, *[1] * (tensor.ndim - 2)), dim=1)


__all__ = ["SearchMixin", "find_largest"]
