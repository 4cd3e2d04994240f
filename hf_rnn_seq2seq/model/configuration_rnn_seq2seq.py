"""Configuration of the RNN encoder-decoder: fields, derived sizes, contradictions refused."""

import copy
from typing import Literal

from huggingface_hub.dataclasses import strict
from transformers.configuration_utils import PreTrainedConfig


@strict
class RnnSeq2SeqConfig(PreTrainedConfig):
    r"""Sizes and choices of an RNN encoder-decoder with attention.

    The defaults are the Luong et al. 2015 family (https://arxiv.org/abs/1508.04025): LSTM, general attention after
    the recurrence, one vocabulary of 10,000 pieces whose embedding serves source, target and output layer.

    Args:
        vocab_size (`int`): number of source tokens; of all tokens when both sides share one vocabulary.
        decoder_vocab_size (`int`, *optional*): number of target tokens, `vocab_size` if not given.
        embedding_size (`int`): width E of source and target embeddings.
        cell_type (`"lstm"` or `"gru"`): recurrence of both sides.
        num_encoder_layers (`int`): number of stacked encoder layers.
        encoder_hidden_size (`int`): units of one encoder layer **in one direction**.
        bidirectional (`bool`): read the source in both directions; the memory is then `2 * encoder_hidden_size` wide.
        num_decoder_layers (`int`): number of stacked decoder layers.
        decoder_hidden_size (`int`): units H of one decoder layer.
        decoder_type (`"luong"`, `"input_feeding"` or `"bahdanau"`): where attention stands.
            `"luong"`: after the recurrence (Luong et al. 2015, section 3.1), the fast one, since whole target
            sequences pass the recurrence at once. `"input_feeding"`: as `"luong"`, and the attentional vector of a
            step is an input of the next (section 3.3). `"bahdanau"`: the previous state is the query and the context
            an input of the cell (Bahdanau et al. 2015, appendix A.2.2).
        attention_type (`"general"`, `"dot"` or `"additive"`): energy of a query and a memory slot. `"general"` and
            `"dot"`: Luong et al. 2015, equation 8; `"additive"`: Bahdanau et al. 2015, appendix A.1.2.
        scale_attention (`bool`): divide the energies of `"general"` and `"dot"` by `sqrt(decoder_hidden_size)`
            (Vaswani et al. 2017, equation 1), without which wide states make attention all or nothing.
        attention_size (`int`, *optional*): width A of the additive attention's hidden layer, `decoder_hidden_size`
            if not given; not used by the other types.
        readout_size (`int`, *optional*): width of the features before the output layer. If not given,
            `embedding_size` when the output layer is tied to the embedding, else `decoder_hidden_size`.
        embedding_dropout (`float`): probability of dropping an entry of an embedding.
        layer_dropout (`float`): probability of dropping an entry of what one layer hands to the next, the memory
            handed to the decoder included.
        output_dropout (`float`): probability of dropping an entry of the features before the output layer.
        tie_word_embeddings (`bool`): output layer and target embedding are one matrix.
        share_encoder_decoder_embeddings (`bool`): source and target embedding are one matrix.
        scale_embedding (`bool`): multiply embeddings by `sqrt(embedding_size)` where they are read (Vaswani et al.
            2017, section 3.4), so that a matrix small enough for the output layer still drives the recurrence.
        embedding_init_std (`float`, *optional*): standard deviation of new embeddings, `embedding_size ** -0.5` if
            not given.

    Raises:
        ValueError: if fields contradict each other; the message names them and the way out.

    Example:

    ```python
    >>> from hf_rnn_seq2seq import RnnSeq2SeqConfig, RnnSeq2SeqForConditionalGeneration

    >>> model = RnnSeq2SeqForConditionalGeneration(RnnSeq2SeqConfig(vocab_size=8000, cell_type="gru"))
    ```
    """

    model_type = "rnn_seq2seq"
    keys_to_ignore_at_inference = ["past_key_values"]
    attribute_map = {"hidden_size": "decoder_hidden_size", "num_hidden_layers": "num_decoder_layers"}

    vocab_size: int = 10000
    decoder_vocab_size: int | None = None
    embedding_size: int = 256
    cell_type: Literal["lstm", "gru"] = "lstm"
    num_encoder_layers: int = 1
    encoder_hidden_size: int = 256
    bidirectional: bool = True
    num_decoder_layers: int = 1
    decoder_hidden_size: int = 512
    decoder_type: Literal["luong", "input_feeding", "bahdanau"] = "luong"
    attention_type: Literal["general", "dot", "additive"] = "general"
    scale_attention: bool = True
    attention_size: int | None = None
    readout_size: int | None = None
    embedding_dropout: float | int = 0.3
    layer_dropout: float | int = 0.3
    output_dropout: float | int = 0.3
    tie_word_embeddings: bool = True
    share_encoder_decoder_embeddings: bool = True
    scale_embedding: bool = True
    embedding_init_std: float | None = None
    is_encoder_decoder: bool = True
    use_cache: bool = True
    pad_token_id: int | None = 0
    bos_token_id: int | None = 1
    eos_token_id: int | list[int] | None = 2
    decoder_start_token_id: int | None = 1

    def __post_init__(self, **kwargs):
        # where transformers finds these filled, it looks for remote code, which installed code does not need
        if not __name__.startswith("transformers_modules."):
            kwargs.pop("auto_map", None)
            kwargs.pop("custom_pipelines", None)
        if self.decoder_vocab_size is None:
            self.decoder_vocab_size = self.vocab_size
        if self.attention_size is None:
            self.attention_size = self.decoder_hidden_size
        if self.readout_size is None:
            self.readout_size = self.embedding_size if self.tie_word_embeddings else self.decoder_hidden_size
        super().__post_init__(**kwargs)
        self._refuse_bad_numbers()
        self._refuse_contradictions()
        if self.embedding_init_std is None:
            self.embedding_init_std = self.embedding_size**-0.5

    @property
    def memory_size(self) -> int:
        """Width M of one encoder output."""
        return self.encoder_hidden_size * (2 if self.bidirectional else 1)

    def get_text_config(self, decoder: bool | None = None, encoder: bool | None = None) -> "RnnSeq2SeqConfig":
        """This config; with the target's `vocab_size`, which `generate` asks for, unless the encoder is meant."""
        if self.decoder_vocab_size == self.vocab_size or (encoder and not decoder):
            return self
        config = copy.copy(self)
        config.vocab_size = self.decoder_vocab_size
        return config

    def to_diff_dict(self) -> dict:
        """What `config.json` holds: fields that are not defaults, and where the code beside it is found."""
        return {**super().to_diff_dict(), "auto_map": _AUTO_MAP, "custom_pipelines": _CUSTOM_PIPELINES}

    def _refuse_bad_numbers(self):
        for name in _SIZE_FIELDS:
            if getattr(self, name) < 1:
                raise ValueError(f"`{name}` must be at least 1, got {getattr(self, name)}.")
        for name in ("embedding_dropout", "layer_dropout", "output_dropout"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"`{name}` is a probability in [0, 1), got {getattr(self, name)}.")
        pad = self.pad_token_id
        if pad is not None and not 0 <= pad < min(self.vocab_size, self.decoder_vocab_size):
            raise ValueError(
                f"`pad_token_id` must be an id of both vocabularies, got {pad} with `vocab_size`={self.vocab_size} "
                f"and `decoder_vocab_size`={self.decoder_vocab_size}; set the tokenizer's own pad id."
            )

    def _refuse_contradictions(self):
        if self.share_encoder_decoder_embeddings and self.decoder_vocab_size != self.vocab_size:
            raise ValueError(
                "`share_encoder_decoder_embeddings=True` needs one vocabulary, got "
                f"`vocab_size`={self.vocab_size} and `decoder_vocab_size`={self.decoder_vocab_size}; "
                "use a joint tokenizer or set `share_encoder_decoder_embeddings=False`."
            )
        if self.tie_word_embeddings and self.readout_size != self.embedding_size:
            raise ValueError(
                "`tie_word_embeddings=True` needs features as wide as an embedding, got "
                f"`readout_size`={self.readout_size} and `embedding_size`={self.embedding_size}; "
                "leave `readout_size` out or set `tie_word_embeddings=False`."
            )
        if self.attention_type == "dot" and self.memory_size != self.decoder_hidden_size:
            raise ValueError(
                "`attention_type='dot'` compares decoder and encoder states entry by entry, got "
                f"`decoder_hidden_size`={self.decoder_hidden_size} and a memory of {self.memory_size} "
                '(both directions); make them equal or use `attention_type="general"`.'
            )


# where users without the package find the classes: files that lie beside config.json
_AUTO_MAP = {
    "AutoConfig": "configuration_rnn_seq2seq.RnnSeq2SeqConfig",
    "AutoModel": "modeling_rnn_seq2seq.RnnSeq2SeqModel",
    "AutoModelForSeq2SeqLM": "modeling_rnn_seq2seq.RnnSeq2SeqForConditionalGeneration",
}
_CUSTOM_PIPELINES = {
    "translation": {"impl": "pipeline_rnn_seq2seq.TranslationPipeline", "pt": ["AutoModelForSeq2SeqLM"]}
}
_SIZE_FIELDS = (
    "vocab_size",
    "decoder_vocab_size",
    "embedding_size",
    "num_encoder_layers",
    "encoder_hidden_size",
    "num_decoder_layers",
    "decoder_hidden_size",
    "attention_size",
    "readout_size",
)

__all__ = ["RnnSeq2SeqConfig"]
