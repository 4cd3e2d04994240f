"""What all parts of the RNN encoder-decoder share: initialisation, saving, tied weights, resizing."""

import os

import torch
from torch import nn
from transformers import initialization as init
from transformers.modeling_utils import PreTrainedModel

from .checkpoint_code import copy_code
from .configuration_rnn_seq2seq import RnnSeq2SeqConfig
from .modeling_attention import AdditiveAttention
from .modeling_cells import GateNorm, RecurrentCell, init_recurrent_weights


class RnnSeq2SeqPreTrainedModel(PreTrainedModel):
    """Initialisation, loading and saving shared by the RNN encoder-decoder's parts."""

    config_class = RnnSeq2SeqConfig
    base_model_prefix = "model"
    main_input_name = "input_ids"
    _no_split_modules = ["RecurrentLayer", "DeepTransitionLayer", "ConditionalLayer"]
    supports_gradient_checkpointing = True
    # transformers chooses a cache by the model's class name; the recurrent state is none that it knows
    _is_stateful = True

    @classmethod
    def _supports_default_dynamic_cache(cls) -> bool:
        return False

    # the stock rule would close every forget gate and leave GRUs to torch
    # trf-ignore: TRF018
    @torch.no_grad()
    def _init_weights(self, module: nn.Module):
        if isinstance(module, GateNorm):
            init.ones_(module.weight)
            init.zeros_(module.bias)
        # CODEPATH: sutskever2014, luong2015, gnmt2016 and see2017 draw everything alike
        elif self.config.init_uniform is not None:
            for parameter in module.parameters(recurse=False):
                init.uniform_(parameter, -self.config.init_uniform, self.config.init_uniform)
        elif isinstance(module, nn.Embedding):
            init.normal_(module.weight, std=self.config.embedding_init_std)
        elif isinstance(module, nn.Linear | nn.Conv1d):
            self._init_input_weight(module.weight)
            if module.bias is not None:
                init.zeros_(module.bias)
        elif isinstance(module, nn.RNNBase | RecurrentCell):
            init_recurrent_weights(module, self._init_input_weight)
        if isinstance(module, AdditiveAttention):
            self._init_additive_attention(module)
        has_padding = isinstance(module, nn.Embedding) and module.padding_idx is not None
        if has_padding and not getattr(module.weight, "_is_hf_initialized", False):
            init.zeros_(module.weight[module.padding_idx])

    def _init_input_weight(self, weight: torch.Tensor) -> None:
        # CODEPATH: normal for cho2014, bahdanau2015 and nematus2017, Xavier for our own
        if self.config.init_std is None:
            init.xavier_uniform_(weight)
        else:
            init.normal_(weight, std=self.config.init_std)

    def _init_additive_attention(self, attention: AdditiveAttention) -> None:
        if attention.gain is not None:
            init.constant_(attention.gain, self.config.attention_size**-0.5)
        # CODEPATH: drawn like all others for gnmt2016 and see2017
        if self.config.init_uniform is not None:
            return
        # CODEPATH: bahdanau2015 and nematus2017 start from even attention, our own as a linear layer does
        if self.config.init_std is not None:
            init.normal_(attention.query_proj.weight, std=self.config.init_std / 10)
            init.normal_(attention.memory_proj.weight, std=self.config.init_std / 10)
            init.zeros_(attention.energy_vector)
        else:
            bound = (6 / (1 + len(attention.energy_vector))) ** 0.5
            init.uniform_(attention.energy_vector, -bound, bound)

    def save_pretrained(self, save_directory: str | os.PathLike, is_main_process: bool = True, **kwargs):
        """As transformers' method, with the code that a user without this package needs beside the weights."""
        if is_main_process and not os.path.isfile(save_directory):
            copy_code(save_directory)
        generation_config = self.generation_config if self.can_generate() else None
        if generation_config is not None and generation_config.max_new_tokens is not None:
            # Seq2SeqTrainer fills in a `max_length` too, which would do nothing but warn at every use
            generation_config.max_length = None
        super().save_pretrained(save_directory, is_main_process=is_main_process, **kwargs)

    def get_expanded_tied_weights_keys(self, all_submodels: bool = False) -> dict[str, str]:
        # unlike the stock rule, source and target embedding can be shared without tying the output layer
        return super().get_expanded_tied_weights_keys(True) if all_submodels else dict(self._tied_weights_keys)

    def resize_token_embeddings(
        self,
        new_num_tokens: int | None = None,
        pad_to_multiple_of: int | None = None,
        mean_resizing: bool = True,
        *,
        side: str | None = None,
    ) -> nn.Embedding:
        """As transformers' method, and one side of a model whose two sides have vocabularies of their own.

        The output layer and its bias go with the target. Copying by attention goes by token ids and follows.

        Args:
            new_num_tokens (`int`, *optional*): tokens of the new vocabulary; nothing is changed if not given.
            pad_to_multiple_of (`int`, *optional*): round up to a multiple of this.
            mean_resizing (`bool`): draw new embeddings around the mean of the old ones.
            side (`"source"` or `"target"`, *optional*): must be given if the sides have their own vocabularies, and
                must not if they share one.

        Raises:
            ValueError: if it is not clear which vocabulary is meant.
        """
        options = (new_num_tokens, pad_to_multiple_of, mean_resizing)
        # CODEPATH: a joint tokenizer has one vocabulary, two tokenizers have two
        if self.config.share_encoder_decoder_embeddings:
            if side is not None:
                raise ValueError(f"`side` must be left out where both sides share one vocabulary, got {side!r}.")
            embeddings = super().resize_token_embeddings(*options)
            self.config.decoder_vocab_size = self.config.vocab_size
            return embeddings
        if side == "source":
            embeddings = self._get_resized_embeddings(self.get_encoder().embed_tokens, *options)
            self.config.vocab_size = embeddings.num_embeddings
            return embeddings
        if side != "target":
            raise ValueError(
                "`side` of `resize_token_embeddings` must be 'source' or 'target' for a model with "
                f"`vocab_size`={self.config.vocab_size} and `decoder_vocab_size`={self.config.decoder_vocab_size}, "
                f"got {side!r}."
            )
        embeddings = self._get_resized_embeddings(self.get_decoder().embed_tokens, *options)
        self.config.decoder_vocab_size = embeddings.num_embeddings
        lm_head = self.get_output_embeddings()
        if lm_head is not None:
            resized = self._get_resized_lm_head(lm_head, embeddings.num_embeddings, mean_resizing=mean_resizing)
            self.set_output_embeddings(resized)
        self.tie_weights()
        return embeddings


__all__ = ["RnnSeq2SeqPreTrainedModel"]
