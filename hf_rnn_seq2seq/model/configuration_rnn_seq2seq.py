"""Configuration of the RNN encoder-decoder: fields, derived sizes, contradictions refused."""

import copy
from typing import Literal

from huggingface_hub.dataclasses import strict
from transformers.configuration_utils import PreTrainedConfig

from .configuration_presets import PRESETS


@strict
class RnnSeq2SeqConfig(PreTrainedConfig):
    r"""Sizes and choices of an RNN encoder-decoder with attention.

    The defaults are the Luong et al. 2015 family (https://arxiv.org/abs/1508.04025): LSTM, general attention after
    the recurrence, one vocabulary of 10,000 pieces whose embedding serves source, target and output layer.

    Args:
        vocab_size (`int`): number of source tokens; of all tokens when both sides share one vocabulary.
        decoder_vocab_size (`int`, *optional*): number of target tokens, `vocab_size` if not given.
        embedding_size (`int`): width E of source embeddings, and of `inputs_embeds` given in their place.
        decoder_embedding_size (`int`, *optional*): width of target embeddings, `embedding_size` if not given.
        cell_type (`"lstm"`, `"gru"`, `"rnn_tanh"` or `"rnn_relu"`): recurrence of both sides.
        layer_norm (`bool`): layer-normalised cells (Ba et al. 2016, gate by gate as in RNMT+).
        num_encoder_layers (`int`): number of stacked encoder layers.
        encoder_hidden_size (`int`): units of one encoder layer **in one direction**.
        bidirectional (`bool` or `"first"`): read the source in both directions, in all layers or in the first one only
            (GNMT). The memory is `2 * encoder_hidden_size` wide if the top layer is bidirectional.
        reverse_source (`bool`): read the source from its end (Sutskever et al. 2014, section 3.3).
        encoder_stride (`int`): every encoder layer after the first reads this many neighbouring outputs of the layer
            below as one, so that the memory of long inputs gets short (Chan et al. 2016, equation 5).
        encoder_transitions (`int`): transition cells of every encoder layer between two inputs (Miceli Barone et al.
            2017).
        residual_from_layer (`int`, *optional*): number of the first layer, counted from 1, that adds its input to its
            output, on both sides (3 in GNMT); none if not given.
        num_decoder_layers (`int`): number of stacked decoder layers.
        decoder_hidden_size (`int`): units H of one decoder layer.
        decoder_transitions (`int`): transition cells after the two cells of `decoder_type="conditional"`.
        bridge_type (`"dense_tanh"`, `"dense"`, `"copy"` or `"zeros"`): how the decoder starts, see [`Bridge`].
        bridge_input (`"final"`, `"forward"`, `"backward"` or `"mean"`): what it starts from: the encoder's state after
            its last token, of both directions or of one (the backward direction's last token is the first of the
            sentence), or the mean of the memory.
        bridge_cell (`"cell"` or `"hidden"`): start cells are made of the encoder's cells, or equal the start hiddens.
        decoder_type (`str`): where attention stands.
            `"luong"`: after the recurrence (Luong et al. 2015, section 3.1), the fast one, since whole target
            sequences pass the recurrence at once. `"input_feeding"`: as `"luong"`, and the attentional vector of a
            step is an input of the next (section 3.3). `"bahdanau"`: the previous state is the query and the context
            an input of the cell (Bahdanau et al. 2015, appendix A.2.2). `"conditional"`: between two cells of the
            first layer (Nematus, Sennrich et al. 2017, section 3.1). `"gnmt"`: the first layer's output is the query
            and the context an input of all layers above (Wu et al. 2016, section 3; as fast as `"luong"`).
        attention_type (`str`): energy of a query and a memory slot. `"general"` and `"dot"`: Luong et al. 2015,
            equation 8. `"additive"`: Bahdanau et al. 2015, appendix A.1.2, which is also Luong's "concat".
            `"normalized_additive"`: with a normalised output vector. `"none"`: no attention; `decoder_type="luong"`
            then knows the source from its start state only (Sutskever et al. 2014), `"bahdanau"` has one context for
            all steps (Cho et al. 2014).
        num_attention_heads (`int`): several of `"dot"` or additive attention (RNMT+).
        scale_attention (`bool`): divide the energies of `"general"` and `"dot"` by the square root of the width that
            is summed over (Vaswani et al. 2017, equation 1), without which wide states make attention all or nothing.
        attention_size (`int`, *optional*): width A of additive attention's hidden layer and of several `"dot"` heads
            together, `decoder_hidden_size` if not given; not used by the other types.
        attention_feedback (`"none"`, `"coverage"` or `"location"`): additive energies also read earlier weights, see
            [`AdditiveAttention`].
        location_channels (`int`): filters of `attention_feedback="location"`; the default, as that of the next, is
            Shen et al. 2018, https://arxiv.org/abs/1712.05884, section 2.2.
        location_kernel_size (`int`): width of such a filter in source tokens, odd.
        local_attention_window (`int`, *optional*): attend within this many tokens of a predicted place only (Luong et
            al. 2015, section 3.2, "local-p"); everywhere if not given.
        readout_type (`str`): features before the output layer from state and context: `"tanh"`, `"linear"`,
            `"maxout"`, `"context_gate"`, `"concat"` or `"state"`, see [`Readout`].
        readout_size (`int`, *optional*): width of these features. If not given, the target embedding's width when the
            output layer is tied to it, else `decoder_hidden_size`. `"state"` and `"concat"` know theirs.
        copy_attention (`bool`): copy source tokens by attention (pointer-generator, See et al. 2017, section 2.2); one
            vocabulary for both sides.
        coverage_loss_weight (`float`): lambda of the coverage loss in training (See et al. 2017, equation 13); 0 is
            without.
        source_word_dropout (`float`): probability of dropping a whole source token's embedding.
        target_word_dropout (`float`): the same of the target.
        variational_dropout (`bool`): the next three drop the same entries in all steps of a sequence (as the inputs
            and outputs of Gal and Ghahramani 2016, section 4; recurrent connections are not dropped).
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
        init_uniform (`float`, *optional*): draw all new weights uniformly from plus and minus this; if not given,
            Xavier input weights, orthogonal recurrent weights and open forget gates.
        init_std (`float`, *optional*): in place of Xavier weights a normal distribution of this standard deviation, a
            tenth of it for the projections of additive attention, whose output vector is 0 (Cho et al. 2014, section
            4.1; Bahdanau et al. 2015, appendix B.1).

    Raises:
        ValueError: if fields contradict each other; the message names them and the way out.

    Example:

    ```python
    >>> from hf_rnn_seq2seq import RnnSeq2SeqConfig, RnnSeq2SeqForConditionalGeneration

    >>> model = RnnSeq2SeqForConditionalGeneration(RnnSeq2SeqConfig(vocab_size=8000, cell_type="gru"))
    >>> model = RnnSeq2SeqForConditionalGeneration(RnnSeq2SeqConfig.from_preset("bahdanau2015", vocab_size=8000))
    ```
    """

    model_type = "rnn_seq2seq"
    keys_to_ignore_at_inference = ["past_key_values"]
    attribute_map = {"hidden_size": "decoder_hidden_size", "num_hidden_layers": "num_decoder_layers"}

    vocab_size: int = 10000
    decoder_vocab_size: int | None = None
    embedding_size: int = 256
    decoder_embedding_size: int | None = None
    cell_type: Literal["lstm", "gru", "rnn_tanh", "rnn_relu"] = "lstm"
    layer_norm: bool = False
    num_encoder_layers: int = 1
    encoder_hidden_size: int = 256
    bidirectional: bool | Literal["first"] = True
    reverse_source: bool = False
    encoder_stride: int = 1
    encoder_transitions: int = 0
    residual_from_layer: int | None = None
    num_decoder_layers: int = 1
    decoder_hidden_size: int = 512
    decoder_transitions: int = 0
    bridge_type: Literal["dense_tanh", "dense", "copy", "zeros"] = "dense_tanh"
    bridge_input: Literal["final", "forward", "backward", "mean"] = "final"
    bridge_cell: Literal["cell", "hidden"] = "cell"
    decoder_type: Literal["luong", "input_feeding", "bahdanau", "conditional", "gnmt"] = "luong"
    attention_type: Literal["general", "dot", "additive", "normalized_additive", "none"] = "general"
    num_attention_heads: int = 1
    scale_attention: bool = True
    attention_size: int | None = None
    attention_feedback: Literal["none", "coverage", "location"] = "none"
    location_channels: int = 32
    location_kernel_size: int = 31
    local_attention_window: int | None = None
    readout_type: Literal["tanh", "linear", "maxout", "context_gate", "concat", "state"] = "tanh"
    readout_size: int | None = None
    copy_attention: bool = False
    coverage_loss_weight: float | int = 0.0
    source_word_dropout: float | int = 0.0
    target_word_dropout: float | int = 0.0
    variational_dropout: bool = False
    embedding_dropout: float | int = 0.3
    layer_dropout: float | int = 0.3
    output_dropout: float | int = 0.3
    tie_word_embeddings: bool = True
    share_encoder_decoder_embeddings: bool = True
    scale_embedding: bool = True
    embedding_init_std: float | None = None
    init_uniform: float | None = None
    init_std: float | None = None
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
        if self.decoder_embedding_size is None:
            self.decoder_embedding_size = self.embedding_size
        if self.readout_size is None:
            self.readout_size = self._default_readout_size()
        super().__post_init__(**kwargs)
        self._refuse_bad_numbers()
        for is_wrong, message in self._contradictions():
            if is_wrong:
                raise ValueError(message)
        if self.embedding_init_std is None:
            self.embedding_init_std = self.embedding_size**-0.5

    @classmethod
    def from_preset(cls, name: str, **fields) -> "RnnSeq2SeqConfig":
        """The architecture of a paper with its sizes, changed by `fields`.

        Args:
            name (`str`): one of `configuration_presets.PRESETS`, such as `"bahdanau2015"`.
            fields: of this config, which win over the preset; the vocabulary's size and special ids at least.

        Raises:
            ValueError: if `name` is unknown.
        """
        if name not in PRESETS:
            raise ValueError(f"`name` of a preset must be one of {', '.join(PRESETS)}, got {name!r}.")
        return cls(**{**PRESETS[name], **fields})

    def is_bidirectional(self, layer: int) -> bool:
        """Whether the encoder layer of this index reads in both directions."""
        # CODEPATH: all layers (most presets), the first one only (gnmt2016), or none (sutskever2014, luong2015)
        return layer == 0 if self.bidirectional == "first" else self.bidirectional

    def encoder_output_size(self, layer: int) -> int:
        """Width of the outputs of the encoder layer of this index."""
        return self.encoder_hidden_size * (2 if self.is_bidirectional(layer) else 1)

    def is_residual(self, layer: int) -> bool:
        """Whether the layer of this index, of either side, adds its input to its output."""
        # CODEPATH: gnmt2016 and rnmt_plus2018, from the third layer
        return self.residual_from_layer is not None and layer + 1 >= self.residual_from_layer

    @property
    def memory_size(self) -> int:
        """Width M of one encoder output."""
        return self.encoder_output_size(self.num_encoder_layers - 1)

    @property
    def context_size(self) -> int:
        """Width of what a decoder step knows of the source besides its state: M, or 0 without attention."""
        return 0 if self.attention_type == "none" and self.decoder_type == "luong" else self.memory_size

    @property
    def has_token_attention(self) -> bool:
        """Whether there are attention weights, each of one source token."""
        return self.attention_type != "none" and self.encoder_stride == 1

    def _default_readout_size(self) -> int:
        if self.readout_type == "state":
            return self.decoder_hidden_size
        if self.readout_type == "concat":
            return sum(self.readout_part_sizes())
        return self.decoder_embedding_size if self.tie_word_embeddings else self.decoder_hidden_size

    def readout_part_sizes(self) -> list[int]:
        """Widths of what the readout reads: context, state, and with the context in the cell the embedding."""
        if self.readout_type == "state":
            return [self.decoder_hidden_size]
        parts = [self.context_size] if self.context_size else []
        # CODEPATH: the deep output of bahdanau2015, cho2014 and nematus2017 sees the previous target embedding
        has_embedding = self.decoder_type in ("bahdanau", "conditional")
        return [*parts, self.decoder_hidden_size, *([self.decoder_embedding_size] if has_embedding else [])]

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
        for name, smallest in _SMALLEST.items():
            value = getattr(self, name)
            if value is not None and value < smallest:
                raise ValueError(f"`{name}` must be at least {smallest}, got {value}.")
        for name in _PROBABILITIES:
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"`{name}` is a probability in [0, 1), got {getattr(self, name)}.")
        for name in ("embedding_init_std", "init_uniform", "init_std"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ValueError(f"`{name}` must be larger than 0, got {value}.")
        if self.location_kernel_size % 2 == 0:
            raise ValueError(f"`location_kernel_size` must be odd, got {self.location_kernel_size}; add 1.")
        pad = self.pad_token_id
        if pad is not None and not 0 <= pad < min(self.vocab_size, self.decoder_vocab_size):
            raise ValueError(
                f"`pad_token_id` must be an id of both vocabularies, got {pad} with `vocab_size`={self.vocab_size} "
                f"and `decoder_vocab_size`={self.decoder_vocab_size}; set the tokenizer's own pad id."
            )

    def _contradictions(self) -> list[tuple[bool, str]]:
        """Pairs: do fields contradict each other, and what to say then."""
        return [
            *self._contradictions_of_embeddings(),
            *self._contradictions_of_the_encoder(),
            *self._contradictions_of_attention(),
            *self._contradictions_of_the_readout(),
        ]

    def _contradictions_of_embeddings(self) -> list[tuple[bool, str]]:
        return [
            (
                self.share_encoder_decoder_embeddings and self.decoder_vocab_size != self.vocab_size,
                "`share_encoder_decoder_embeddings=True` needs one vocabulary, got "
                f"`vocab_size`={self.vocab_size} and `decoder_vocab_size`={self.decoder_vocab_size}; "
                "use a joint tokenizer or set `share_encoder_decoder_embeddings=False`.",
            ),
            (
                self.share_encoder_decoder_embeddings and self.decoder_embedding_size != self.embedding_size,
                "`share_encoder_decoder_embeddings=True` needs one width, got "
                f"`embedding_size`={self.embedding_size} and `decoder_embedding_size`={self.decoder_embedding_size}; "
                "leave `decoder_embedding_size` out or set `share_encoder_decoder_embeddings=False`.",
            ),
            (
                self.tie_word_embeddings and self.readout_size != self.decoder_embedding_size,
                "`tie_word_embeddings=True` needs features as wide as an embedding, got "
                f"`readout_size`={self.readout_size} (of `readout_type`={self.readout_type!r}) and "
                f"{self.decoder_embedding_size} of the target embedding; leave `readout_size` out or set "
                "`tie_word_embeddings=False`.",
            ),
        ]

    def _contradictions_of_the_encoder(self) -> list[tuple[bool, str]]:
        top, first = self.num_encoder_layers - 1, self.residual_from_layer
        widths = [self.encoder_output_size(layer) for layer in range(self.num_encoder_layers)]
        residual = [] if first is None else widths[max(first - 2, 0) :]
        final = {"forward": 1, "backward": 1}.get(self.bridge_input, 2 if self.is_bidirectional(top) else 1)
        return [
            (
                self.reverse_source and self.bidirectional is not False,
                f"`reverse_source=True` does nothing for an encoder of both directions, got `bidirectional`="
                f"{self.bidirectional!r}; set one of them to False.",
            ),
            (
                self.encoder_stride > 1 and self.num_encoder_layers == 1,
                f"`encoder_stride`={self.encoder_stride} goes between layers, got `num_encoder_layers`=1; use 2.",
            ),
            (
                first == 1 or len(set(residual)) > 1 or (bool(residual) and self.encoder_stride > 1),
                f"`residual_from_layer`={first} adds inputs to outputs of another width (encoder outputs are {widths} "
                f"wide, read {self.encoder_stride} at a time); begin at a later layer.",
            ),
            (
                self.bridge_input in ("forward", "backward") and not self.is_bidirectional(top),
                f"`bridge_input={self.bridge_input!r}` needs a top encoder layer of both directions, got "
                f'`bidirectional`={self.bidirectional!r}; use `bridge_input="final"`.',
            ),
            (
                self.bridge_type in ("copy", "zeros") and self.bridge_input == "mean",
                f'`bridge_input="mean"` goes through `bridge_type="dense_tanh"` or `"dense"`, got '
                f"{self.bridge_type!r}.",
            ),
            (
                self.bridge_input == "mean" and self.cell_type == "lstm" and self.bridge_cell == "cell",
                '`bridge_input="mean"` has no cells for an LSTM to start from; set `bridge_cell="hidden"`.',
            ),
            (
                self.bridge_type == "copy"
                and (
                    len(set(widths)) > 1
                    or self.num_encoder_layers != self.num_decoder_layers
                    or final * self.encoder_hidden_size != self.decoder_hidden_size
                ),
                f'`bridge_type="copy"` needs as many layers on both sides and states of one width, got '
                f"{self.num_encoder_layers} encoder layers with final states of {final * self.encoder_hidden_size} "
                f"and {self.num_decoder_layers} decoder layers of {self.decoder_hidden_size}; use "
                '`bridge_type="dense_tanh"`.',
            ),
        ]

    def _contradictions_of_attention(self) -> list[tuple[bool, str]]:
        kind, heads = self.attention_type, self.num_attention_heads
        is_additive = kind.endswith("additive")
        has_feedback = self.attention_feedback != "none"
        return [
            (
                kind == "none" and self.decoder_type not in ("luong", "bahdanau"),
                f'`attention_type="none"` goes with `decoder_type="luong"` or `"bahdanau"`, got '
                f"{self.decoder_type!r}, which is about attention.",
            ),
            (
                kind == "none"
                and bool(self.copy_attention or self.coverage_loss_weight or self.local_attention_window),
                "`copy_attention`, `coverage_loss_weight` and `local_attention_window` need attention, got "
                '`attention_type="none"`.',
            ),
            (
                kind == "dot" and heads == 1 and self.memory_size != self.decoder_hidden_size,
                "`attention_type='dot'` compares decoder and encoder states entry by entry, got "
                f"`decoder_hidden_size`={self.decoder_hidden_size} and a memory of {self.memory_size} "
                '(both directions); make them equal or use `attention_type="general"`.',
            ),
            (
                heads > 1 and kind != "dot" and not is_additive,
                f'`num_attention_heads`={heads} goes with `attention_type="dot"` or additive attention, got {kind!r}.',
            ),
            (
                bool(self.attention_size % heads or self.memory_size % heads),
                f"`num_attention_heads`={heads} must divide `attention_size`={self.attention_size} and the memory's "
                f"width {self.memory_size}.",
            ),
            (
                has_feedback and (not is_additive or heads > 1),
                f"`attention_feedback={self.attention_feedback!r}` goes with additive attention of one head, got "
                f"`attention_type`={kind!r} with {heads}.",
            ),
            (
                self.decoder_type == "gnmt" and self.num_decoder_layers == 1,
                '`decoder_type="gnmt"` gives the context to the layers above the first, got `num_decoder_layers`=1; '
                'use at least 2 or `decoder_type="luong"`.',
            ),
            (
                self.decoder_transitions > 0 and self.decoder_type != "conditional",
                f'`decoder_transitions`={self.decoder_transitions} goes with `decoder_type="conditional"`, got '
                f"{self.decoder_type!r}.",
            ),
            (
                self.copy_attention and not self.share_encoder_decoder_embeddings,
                "`copy_attention=True` needs source and target to share one vocabulary, got "
                "`share_encoder_decoder_embeddings=False`; use a joint tokenizer.",
            ),
            (
                self.copy_attention and self.encoder_stride > 1,
                f"`copy_attention=True` copies single tokens, got `encoder_stride`={self.encoder_stride}.",
            ),
        ]

    def _contradictions_of_the_readout(self) -> list[tuple[bool, str]]:
        kind, parts = self.readout_type, self.readout_part_sizes()
        return [
            (
                kind == "state" and self.decoder_type in ("luong", "input_feeding") and self.attention_type != "none",
                f'`readout_type="state"` would leave the context of `decoder_type={self.decoder_type!r}` unread; use '
                '`"tanh"`, or `attention_type="none"`.',
            ),
            (
                kind == "context_gate" and not self.context_size,
                '`readout_type="context_gate"` needs attention, got `attention_type="none"`.',
            ),
            (
                kind in ("state", "concat") and self.readout_size != sum(parts),
                f"`readout_type={kind!r}` makes features {sum(parts)} wide, got `readout_size`={self.readout_size}; "
                "leave `readout_size` out.",
            ),
        ]


# where users without the package find the classes: files that lie beside config.json
_AUTO_MAP = {
    "AutoConfig": "configuration_rnn_seq2seq.RnnSeq2SeqConfig",
    "AutoModel": "modeling_rnn_seq2seq.RnnSeq2SeqModel",
    "AutoModelForSeq2SeqLM": "modeling_rnn_seq2seq.RnnSeq2SeqForConditionalGeneration",
}
_CUSTOM_PIPELINES = {
    "translation": {"impl": "pipeline_rnn_seq2seq.TranslationPipeline", "pt": ["AutoModelForSeq2SeqLM"]}
}
_SMALLEST = {
    "vocab_size": 1,
    "decoder_vocab_size": 1,
    "embedding_size": 1,
    "decoder_embedding_size": 1,
    "num_encoder_layers": 1,
    "encoder_hidden_size": 1,
    "encoder_stride": 1,
    "encoder_transitions": 0,
    "residual_from_layer": 1,
    "num_decoder_layers": 1,
    "decoder_hidden_size": 1,
    "decoder_transitions": 0,
    "num_attention_heads": 1,
    "attention_size": 1,
    "location_channels": 1,
    "location_kernel_size": 1,
    "local_attention_window": 1,
    "readout_size": 1,
    "coverage_loss_weight": 0,
}
_PROBABILITIES = (
    "embedding_dropout",
    "layer_dropout",
    "output_dropout",
    "source_word_dropout",
    "target_word_dropout",
)

__all__ = ["RnnSeq2SeqConfig"]
