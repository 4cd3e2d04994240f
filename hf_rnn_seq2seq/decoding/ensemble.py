"""Several models that decode as one."""

import math
from collections.abc import Sequence

import torch
from torch import nn
from transformers import PreTrainedTokenizerBase
from transformers.cache_utils import Cache
from transformers.generation import GenerationMixin
from transformers.modeling_outputs import Seq2SeqLMOutput
from transformers.utils import ModelOutput

from ..model.modeling_pretrained import RnnSeq2SeqPreTrainedModel
from ..model.modeling_rnn_seq2seq import RnnSeq2SeqForConditionalGeneration
from ..model.pipeline_attention import name_target_tokens

# what members must share, so that a token of one is the same token of all
_SHARED = ("vocab_size", "decoder_vocab_size", "pad_token_id", "eos_token_id", "decoder_start_token_id")


def check_same_tokens(
    tokenizer: PreTrainedTokenizerBase, other: PreTrainedTokenizerBase, *, num_target: int, name: str
) -> None:
    """Refuse a member whose ids stand for other tokens.

    Args:
        num_target (`int`): number of target tokens.
        name (`str`): of the model of `other`, for the message.

    Raises:
        ValueError: if the tokenizers differ on either side.
    """
    ids = list(range(num_target))
    is_same = tokenizer.get_vocab() == other.get_vocab()
    if not is_same or name_target_tokens(tokenizer, ids) != name_target_tokens(other, ids):
        raise ValueError(
            f"The members of an ensemble must share one tokenizer, got another one in {name!r}; train it with "
            "`tokenizer.path` set to that of the first."
        )


class EnsembleCache(Cache):
    """A cache of each member.

    Attributes:
        members (`list[Cache]`): empty before the first call.
    """

    def __init__(self):
        super().__init__(layers=[])
        self.members: list[Cache] = []

    def __len__(self):
        return len(self.members)

    def reorder_cache(self, beam_idx: torch.LongTensor) -> None:
        """Let row i continue from the state of row `beam_idx[i]`."""
        for member in self.members:
            member.reorder_cache(beam_idx)

    def batch_repeat_interleave(self, repeats: int) -> None:
        """Repeat every row `repeats` times."""
        for member in self.members:
            member.batch_repeat_interleave(repeats)

    def batch_select_indices(self, indices: torch.Tensor) -> None:
        """Keep only the rows `indices`."""
        for member in self.members:
            member.batch_select_indices(indices)

    def get_seq_length(self, layer_idx: int = 0) -> int:
        """Number of target tokens that the states have read."""
        return self.members[0].get_seq_length() if self.members else 0


class EnsembleEncoder(nn.Module):
    """The encoders of all members; its output holds what each returned, under names that begin with its number."""

    main_input_name = "input_ids"

    def __init__(self, encoders: Sequence[nn.Module]):
        super().__init__()
        self.encoders = nn.ModuleList(encoders)

    def forward(
        self, input_ids: torch.LongTensor | None = None, attention_mask: torch.Tensor | None = None, **kwargs
    ) -> ModelOutput:
        """Encode source sentences; arguments as of the members' encoders.

        Raises:
            ValueError: if there are no `input_ids`: every member has embeddings of its own.
        """
        if input_ids is None:
            raise ValueError("An ensemble needs `input_ids`, got none: its members have embeddings of their own.")
        together = ModelOutput()
        for number, encoder in enumerate(self.encoders):
            output = encoder(input_ids=input_ids, attention_mask=attention_mask, return_dict=True)
            for name in output:
                together[f"{number}_{name}"] = output[name]
        # by this name `generate` knows the batch
        together["last_hidden_state"] = together["0_last_hidden_state"]
        return together


class EnsembleForConditionalGeneration(RnnSeq2SeqPreTrainedModel, GenerationMixin):
    """Models of one vocabulary as one model: the probability of a next token is the mean of theirs.

    It decodes as a model does, with `generate`, `translate` and `score`; architectures may differ. It reads token ids
    only, has no hidden states of its own, and is neither trained nor saved: its members are.

    Args:
        members: models of ours, trained with the same tokenizer.

    Raises:
        ValueError: if there are fewer than two, or they do not share their vocabulary and special tokens.
    """

    _tied_weights_keys = {}

    def __init__(self, members: Sequence[RnnSeq2SeqForConditionalGeneration]):
        if len(members) < 2:
            raise ValueError(f"An ensemble needs at least two `members`, got {len(members)}.")
        for name in _SHARED:
            values = [getattr(member.config, name) for member in members]
            if any(value != values[0] for value in values):
                raise ValueError(
                    f"The members of an ensemble must share `{name}`, got {values}; train them with one tokenizer."
                )
        super().__init__(members[0].config)
        self.members = nn.ModuleList(members)
        self.generation_config = members[0].generation_config
        self.eval()

    def get_encoder(self, modality: str | None = None) -> EnsembleEncoder:
        return EnsembleEncoder([member.get_encoder() for member in self.members])

    def get_input_embeddings(self) -> nn.Embedding:
        return self.members[0].get_input_embeddings()

    def save_pretrained(self, *args, **kwargs):
        raise NotImplementedError("An ensemble is not saved; save each of its `members` with `save_pretrained`.")

    def forward(
        self,
        input_ids: torch.LongTensor | None = None,
        attention_mask: torch.Tensor | None = None,
        decoder_input_ids: torch.LongTensor | None = None,
        encoder_outputs: ModelOutput | None = None,
        past_key_values: EnsembleCache | None = None,
        use_cache: bool | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        labels: torch.LongTensor | None = None,
        **kwargs,
    ) -> Seq2SeqLMOutput:
        """Log-probabilities of every next target token; arguments as of the members.

        Returns:
            `logits` of shape `(B, T, V)`, the logarithm of the mean of the members' probabilities; `cross_attentions`,
            one tensor `(B, 1, T, S)`, the mean of those members that have attention for each source token.

        Raises:
            ValueError: if `labels` or hidden states are asked for.
        """
        if labels is not None or output_hidden_states:
            raise ValueError("An ensemble has neither a loss nor hidden states; ask each of its `members`.")
        if encoder_outputs is None:
            encoder_outputs = self.get_encoder()(input_ids, attention_mask)
        cache = EnsembleCache() if past_key_values is None else past_key_values
        outputs = []
        for number, member in enumerate(self.members):
            prefix = f"{number}_"
            own = {
                name.removeprefix(prefix): value for name, value in encoder_outputs.items() if name.startswith(prefix)
            }
            outputs.append(
                member(
                    encoder_outputs=ModelOutput(own),
                    attention_mask=attention_mask,
                    decoder_input_ids=decoder_input_ids,
                    past_key_values=cache.members[number] if cache.members else None,
                    use_cache=use_cache,
                    output_attentions=output_attentions,
                )
            )
        cache.members = [output.past_key_values for output in outputs] if use_cache else []
        # float32 at least
        dtype = torch.promote_types(outputs[0].logits.dtype, torch.float32)
        log_probabilities = torch.stack([output.logits.to(dtype).log_softmax(-1) for output in outputs])
        weights = [
            output.cross_attentions[0].mean(1, keepdim=True)
            for member, output in zip(self.members, outputs, strict=True)
            if output.cross_attentions and member.config.has_token_attention
        ]
        return Seq2SeqLMOutput(
            logits=log_probabilities.logsumexp(0) - math.log(len(outputs)),
            past_key_values=cache if use_cache else None,
            cross_attentions=(torch.stack(weights).mean(0),) if weights else None,
        )
