"""Named architectures with their papers' sizes, as fields of the config; what a paper does not say is left out."""

# one recurrent layer each side, attention and a deep output: what Bahdanau et al. and Nematus share
_GROUNDHOG = {
    "cell_type": "gru",
    "embedding_size": 620,
    "encoder_hidden_size": 1000,
    "decoder_hidden_size": 1000,
    "decoder_type": "bahdanau",
    "readout_type": "maxout",
    "readout_size": 500,
    "tie_word_embeddings": False,
    "share_encoder_decoder_embeddings": False,
    "scale_embedding": False,
    "embedding_init_std": 0.01,
    "init_std": 0.01,
    "embedding_dropout": 0.0,
    "layer_dropout": 0.0,
    "output_dropout": 0.0,
}
# four layers of 1000 units that read the source backwards
_STACKED = {
    "cell_type": "lstm",
    "embedding_size": 1000,
    "num_encoder_layers": 4,
    "num_decoder_layers": 4,
    "encoder_hidden_size": 1000,
    "decoder_hidden_size": 1000,
    "bidirectional": False,
    "reverse_source": True,
    "bridge_type": "copy",
    "tie_word_embeddings": False,
    "share_encoder_decoder_embeddings": False,
    "scale_embedding": False,
}
_LUONG = {
    **_STACKED,
    "attention_type": "general",
    "scale_attention": False,
    "init_uniform": 0.1,
    "embedding_dropout": 0.2,
    "layer_dropout": 0.2,
    "output_dropout": 0.2,
}
_GNMT = {
    "cell_type": "lstm",
    "embedding_size": 1024,
    "encoder_hidden_size": 1024,
    "num_decoder_layers": 8,
    "decoder_hidden_size": 1024,
    "residual_from_layer": 3,
    "bridge_type": "zeros",
    "decoder_type": "gnmt",
    "attention_type": "additive",
    "attention_size": 1024,
    "tie_word_embeddings": False,
    "scale_embedding": False,
}

PRESETS = {
    # Cho et al. 2014, https://arxiv.org/abs/1406.1078, section 4.1 and appendix A
    "cho2014": {
        **_GROUNDHOG,
        "embedding_size": 100,
        "bidirectional": False,
        "attention_type": "none",
    },
    # Sutskever et al. 2014, https://arxiv.org/abs/1409.3215, section 3.4
    "sutskever2014": {
        **_STACKED,
        "attention_type": "none",
        "readout_type": "state",
        "init_uniform": 0.08,
        "embedding_dropout": 0.0,
        "layer_dropout": 0.0,
        "output_dropout": 0.0,
    },
    # Bahdanau et al. 2015, https://arxiv.org/abs/1409.0473, appendices A and B, "RNNsearch"
    "bahdanau2015": {
        **_GROUNDHOG,
        "attention_type": "additive",
        "attention_size": 1000,
        "bridge_input": "backward",
    },
    # Luong et al. 2015, https://arxiv.org/abs/1508.04025, section 4.1, "global attention (general)"
    "luong2015": _LUONG,
    # the same, section 3.3
    "luong2015_input_feeding": {**_LUONG, "decoder_type": "input_feeding"},
    # Wu et al. 2016, https://arxiv.org/abs/1609.08144, section 3 and 8.3
    "gnmt2016": {
        **_GNMT,
        "num_encoder_layers": 8,
        "bidirectional": "first",
        "readout_type": "state",
        "init_uniform": 0.04,
        "embedding_dropout": 0.2,
        "layer_dropout": 0.2,
        "output_dropout": 0.0,
    },
    # Chen et al. 2018, https://arxiv.org/abs/1804.09849, section 4
    "rnmt_plus2018": {
        **_GNMT,
        "num_encoder_layers": 6,
        "bidirectional": True,
        "layer_norm": True,
        "num_attention_heads": 4,
        "readout_type": "concat",
        "embedding_dropout": 0.3,
        "layer_dropout": 0.3,
        "output_dropout": 0.0,
    },
    # Sennrich et al. 2017, https://arxiv.org/abs/1703.04357, section 3; dropout of https://arxiv.org/abs/1606.02891
    "nematus2017": {
        **_GROUNDHOG,
        "embedding_size": 500,
        "encoder_hidden_size": 1024,
        "decoder_hidden_size": 1024,
        "decoder_type": "conditional",
        "attention_type": "additive",
        "attention_size": 2048,
        "bridge_input": "mean",
        "readout_type": "tanh",
        "embedding_dropout": 0.2,
        "layer_dropout": 0.2,
        "output_dropout": 0.2,
        "source_word_dropout": 0.1,
        "target_word_dropout": 0.1,
        "variational_dropout": True,
    },
    # See et al. 2017, https://arxiv.org/abs/1704.04368, section 2 and 5
    "see2017": {
        "cell_type": "lstm",
        "embedding_size": 128,
        "encoder_hidden_size": 256,
        "decoder_hidden_size": 256,
        "bridge_type": "dense",
        "attention_type": "additive",
        "attention_size": 512,
        "attention_feedback": "coverage",
        "readout_type": "linear",
        "readout_size": 256,
        "copy_attention": True,
        "coverage_loss_weight": 1.0,
        "tie_word_embeddings": False,
        "scale_embedding": False,
        "init_uniform": 0.02,
        "embedding_dropout": 0.0,
        "layer_dropout": 0.0,
        "output_dropout": 0.0,
    },
    # ours: the sizes of the dates recipe, of the Multi30k recipe, and twice as deep and wide as that
    "tiny": {"cell_type": "gru", "embedding_size": 64, "encoder_hidden_size": 96, "decoder_hidden_size": 192},
    "small": {"embedding_size": 256, "encoder_hidden_size": 256, "decoder_hidden_size": 512},
    "base": {
        "embedding_size": 512,
        "num_encoder_layers": 2,
        "encoder_hidden_size": 512,
        "num_decoder_layers": 2,
        "decoder_hidden_size": 1024,
    },
}

__all__ = ["PRESETS"]
