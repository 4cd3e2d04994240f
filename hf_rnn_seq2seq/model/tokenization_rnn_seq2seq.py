"""A tokenizer with one vocabulary for the source and another for the target."""

import copy
import os

from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerFast


class RnnSeq2SeqTokenizer(PreTrainedTokenizerFast):
    """Two tokenizers behind one interface: `text` goes through the source's, `text_target` through the target's.

    `decode` and `batch_decode` read target ids, since that is what a model generates. Special tokens have the same
    text and the same id on both sides. A joint vocabulary needs none of this: it is a plain
    `PreTrainedTokenizerFast`.

    Args:
        tokenizer_object (`tokenizers.Tokenizer`, *optional*): the source side.
        target_tokenizer_object (`tokenizers.Tokenizer`, *optional*): the target side.
        tokenizer_file (`str`, *optional*): file of the source side, in place of `tokenizer_object`.
        target_tokenizer_file (`str`, *optional*): file of the target side, in place of `target_tokenizer_object`.

    Raises:
        ValueError: if the target side is missing, or gives a special token another id than the source side.
    """

    vocab_files_names = {"tokenizer_file": "tokenizer.json", "target_tokenizer_file": "target_tokenizer.json"}
    model_input_names = ["input_ids", "attention_mask"]
    # this file is saved beside the vocabularies, for users without the package
    _auto_class = "AutoTokenizer"

    def __init__(self, *args, target_tokenizer_object=None, target_tokenizer_file=None, **kwargs):
        if target_tokenizer_object is None and target_tokenizer_file is None:
            raise ValueError(
                "The target side is missing: give `target_tokenizer_file` (`target_tokenizer.json` of a saved folder) "
                "or `target_tokenizer_object`."
            )
        super().__init__(*args, **kwargs)
        self._source_tokenizer = self._tokenizer
        if target_tokenizer_object is not None:
            self._target_tokenizer = copy.deepcopy(target_tokenizer_object)
        else:
            self._target_tokenizer = Tokenizer.from_file(target_tokenizer_file)
        for token, token_id in zip(self.all_special_tokens, self.all_special_ids, strict=True):
            if self._target_tokenizer.token_to_id(token) != token_id:
                raise ValueError(
                    f"Special token {token!r} must have one id on both sides, got {token_id} in the source and "
                    f"{self._target_tokenizer.token_to_id(token)} in the target vocabulary; train both with "
                    "`train_tokenizer(..., joint=False)`."
                )

    @classmethod
    def convert_to_native_format(cls, **kwargs):
        # the saved file is the whole source side; the stock method would rebuild it without its pre-tokenizer
        return kwargs

    @property
    def target_vocab_size(self) -> int:
        """Number of target tokens; `len(tokenizer)` is the number of source tokens."""
        return self._target_tokenizer.get_vocab_size()

    def convert_target_ids_to_tokens(self, ids: list[int]) -> list[str]:
        """Target tokens of target ids; `convert_ids_to_tokens` reads source ids."""
        return [self._target_tokenizer.id_to_token(token_id) for token_id in ids]

    def _switch_to_input_mode(self):
        self._tokenizer = self._source_tokenizer

    def _switch_to_target_mode(self):
        self._tokenizer = self._target_tokenizer

    def _decode(self, *args, **kwargs):
        self._switch_to_target_mode()
        try:
            return super()._decode(*args, **kwargs)
        finally:
            self._switch_to_input_mode()

    def _save_pretrained(self, save_directory, file_names, legacy_format=None, filename_prefix=None):
        file_names = super()._save_pretrained(save_directory, file_names, legacy_format, filename_prefix)
        prefix = f"{filename_prefix}-" if filename_prefix else ""
        target_file = os.path.join(save_directory, prefix + self.vocab_files_names["target_tokenizer_file"])
        self._target_tokenizer.save(target_file)
        return (*file_names, target_file)


__all__ = ["RnnSeq2SeqTokenizer"]
