"""What all parts of the RNN encoder-decoder share: initialisation, saving, tied weights, resizing."""

import os

import torch
from torch import nn
from transformers import initialization as init
from transformers.modeling_utils import PreTrainedModel

from .checkpoint_code import copy_code
from .configuration_rnn_seq2seq import RnnSeq2SeqConfig
from .modeling_recurrence import init_recurrent_weights


class RnnSeq2SeqPreTrainedModel(PreTrainedModel):
    """Initialisation, loading and saving shared by the RNN encoder-decoder's parts."""

    config_class = RnnSeq2SeqConfig
    base_model_prefix = "model"
    main_input_name = "input_ids"
    _no_split_modules = ["RecurrentLayer"]
    # transformers chooses a cache by the model's class name; the recurrent state is none that it knows
    _is_stateful = True

    @classmethod
    def _supports_default_dynamic_cache(cls) -> bool:
        return False

    # the stock rule would close every forget gate and leave GRUs to torch
    # trf-ignore: TRF018
    @torch.no_grad()
    def _init_weights(self, module: nn.Module):
        if isinstance(module, nn.Embedding):
            init.normal_(module.weight, std=self.config.embedding_init_std)
            if module.padding_idx is not None and not getattr(module.weight, "_is_hf_initialized", False):
                init.zeros_(module.weight[module.padding_idx])
        elif isinstance(module, nn.Linear):
            init.xavier_uniform_(module.weight)
            if module.bias is not None:
                init.zeros_(module.bias)
        elif isinstance(module, nn.LSTM | nn.GRU):
            init_recurrent_weights(module)

    def save_pretrained(self, save_directory: str | os.PathLike, is_main_process: bool = True, **kwargs):
        """As transformers' method, with the code that a user without this package needs beside the weights."""
        if is_main_process and not os.path.isfile(save_directory):
            copy_code(save_directory)
        generation_config = self.generation_config
        if generation_config is not None and generation_config.max_new_tokens is not None:
            # Seq2SeqTrainer fills in a `max_length` too, which would do nothing but warn at every use
            generation_config.max_length = None
        super().save_pretrained(save_directory, is_main_process=is_main_process, **kwargs)

    def get_expanded_tied_weights_keys(self, all_submodels: bool = False) -> dict[str, str]:
        # unlike the stock rule, source and target embedding can be shared without tying the output layer
        return super().get_expanded_tied_weights_keys(True) if all_submodels else dict(self._tied_weights_keys)

    def resize_token_embeddings(self, new_num_tokens: int | None = None, *args, **kwargs) -> nn.Embedding:
        """As transformers' method, for models whose two sides share one vocabulary.

        Raises:
            ValueError: if source and target have vocabularies of their own.
        """
        if not self.config.share_encoder_decoder_embeddings:
            raise ValueError(
                "`resize_token_embeddings` cannot know which side to resize, got a model with "
                f"`vocab_size`={self.config.vocab_size} and `decoder_vocab_size`={self.config.decoder_vocab_size}; "
                "train a new model on the longer vocabularies."
            )
        embeddings = super().resize_token_embeddings(new_num_tokens, *args, **kwargs)
        self.config.decoder_vocab_size = self.config.vocab_size
        return embeddings


__all__ = ["RnnSeq2SeqPreTrainedModel"]
