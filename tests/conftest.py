"""What many tests need: a tiny model of any kind, and batches with padding."""

import pytest
import torch

from hf_rnn_seq2seq import RnnSeq2SeqConfig, RnnSeq2SeqForConditionalGeneration
from hf_rnn_seq2seq.model.configuration_presets import PRESETS

CELLS = ["lstm", "gru", "rnn_tanh", "rnn_relu"]
DECODERS = ["luong", "input_feeding", "bahdanau", "conditional", "gnmt"]
ATTENTIONS = {
    "general": {"attention_type": "general"},
    "dot": {"attention_type": "dot"},
    "additive": {"attention_type": "additive"},
    "normalized": {"attention_type": "normalized_additive"},
    "heads_dot": {"attention_type": "dot", "num_attention_heads": 2},
    "heads_additive": {"attention_type": "additive", "num_attention_heads": 2},
    "coverage": {"attention_type": "additive", "attention_feedback": "coverage"},
    "location": {
        "attention_type": "additive",
        "attention_feedback": "location",
        "location_channels": 2,
        "location_kernel_size": 3,
    },
    "local": {"attention_type": "general", "local_attention_window": 2},
    "none": {"attention_type": "none"},
}
# one field, or a few that go together, besides the default architecture
VARIANTS = {
    "unidirectional": {"bidirectional": False, "encoder_hidden_size": 6},
    "reverse_source": {"bidirectional": False, "encoder_hidden_size": 6, "reverse_source": True},
    "first_bidirectional": {"bidirectional": "first", "num_encoder_layers": 3, "residual_from_layer": 3},
    "residual": {"num_encoder_layers": 3, "num_decoder_layers": 3, "residual_from_layer": 2},
    "residual_stepwise": {"num_decoder_layers": 3, "residual_from_layer": 3, "decoder_type": "input_feeding"},
    "stride": {"encoder_stride": 2, "num_encoder_layers": 3},
    "stride_reversed": {"encoder_stride": 2, "bidirectional": False, "reverse_source": True},
    "encoder_transitions": {"encoder_transitions": 2, "cell_type": "gru"},
    "decoder_transitions": {"decoder_transitions": 2, "cell_type": "gru", "decoder_type": "conditional"},
    "transitions_lstm": {"encoder_transitions": 1, "decoder_transitions": 1, "decoder_type": "conditional"},
    **{
        f"layer_norm_{cell}_{decoder}": {"layer_norm": True, "cell_type": cell, "decoder_type": decoder}
        for cell in CELLS
        for decoder in ("luong", "input_feeding", "conditional")
    },
    "layer_norm_transitions": {"layer_norm": True, "encoder_transitions": 1},
    **{f"bridge_{kind}": {"bridge_type": kind} for kind in ("zeros", "copy", "dense")},
    "bridge_forward": {"bridge_input": "forward"},
    "bridge_backward": {"bridge_input": "backward", "bridge_type": "dense"},
    "bridge_backward_copy": {"bridge_input": "backward", "bridge_type": "copy", "encoder_hidden_size": 6},
    "bridge_mean": {"bridge_input": "mean", "bridge_cell": "hidden"},
    "bridge_mean_gru": {"bridge_input": "mean", "cell_type": "gru", "bridge_type": "dense"},
    "bridge_cell_hidden": {"bridge_cell": "hidden"},
    "bridge_copy_hidden": {"bridge_type": "copy", "bridge_cell": "hidden"},
    **{
        f"readout_{kind}_{decoder}": {
            "readout_type": kind,
            "decoder_type": decoder,
            "tie_word_embeddings": False,
        }
        for kind in ("linear", "maxout", "context_gate", "concat")
        for decoder in ("luong", "input_feeding", "bahdanau")
    },
    "readout_state_gnmt": {"readout_type": "state", "decoder_type": "gnmt", "tie_word_embeddings": False},
    "readout_state_none": {"readout_type": "state", "attention_type": "none", "tie_word_embeddings": False},
    **{
        f"copy_{decoder}": {"copy_attention": True, "decoder_type": decoder, "coverage_loss_weight": 0.7}
        for decoder in DECODERS
    },
    "copy_heads": {"copy_attention": True, "attention_type": "additive", "num_attention_heads": 2},
    "decoder_embedding": {"decoder_embedding_size": 4, "share_encoder_decoder_embeddings": False},
    "init_uniform": {"init_uniform": 0.3},
    "init_std": {"init_std": 0.3, "attention_type": "additive"},
    "fixed_context_copy": {"attention_type": "none", "decoder_type": "bahdanau", "bridge_type": "copy"},
}
# sizes that are all different where they may be
TINY = {
    "vocab_size": 13,
    "embedding_size": 5,
    "encoder_hidden_size": 3,
    "decoder_hidden_size": 6,
    "num_encoder_layers": 2,
    "num_decoder_layers": 2,
    "attention_size": 4,
    "embedding_dropout": 0.0,
    "layer_dropout": 0.0,
    "output_dropout": 0.0,
}


def shrink_preset(name: str) -> dict:
    """Fields of a preset with sizes of a few units; what it says of layers and kinds stays."""
    fields = dict(PRESETS[name])
    is_copied = fields.get("bridge_type") == "copy"
    fields.update({"vocab_size": 13, "embedding_size": 5, "encoder_hidden_size": 6 if is_copied else 4})
    fields.update({"decoder_hidden_size": 6, "attention_size": 4})
    fields.update({name: 0.0 for name in fields if name.endswith("_dropout") and name != "variational_dropout"})
    fields.update(dict.fromkeys(("embedding_dropout", "layer_dropout", "output_dropout"), 0.0))
    if "readout_size" in fields:
        fields["readout_size"] = 7
    # weights of a paper's initialisation are too small to tell right from wrong
    for name in ("init_uniform", "init_std", "embedding_init_std"):
        fields.pop(name, None)
    return fields


def _is_accepted(fields: dict) -> bool:
    try:
        RnnSeq2SeqConfig(**{**TINY, **fields})
    except ValueError:
        return False
    return True


PAIRS = {
    f"{cell}-{attention}-{decoder}": {"cell_type": cell, "decoder_type": decoder, **ATTENTIONS[attention]}
    for cell in CELLS
    for attention in ATTENTIONS
    for decoder in DECODERS
}
# everything that the contract of `generate` is tested for
ARCHITECTURES = {
    **{name: fields for name, fields in PAIRS.items() if _is_accepted(fields)},
    **VARIANTS,
    **{name: shrink_preset(name) for name in PRESETS},
}


def build_model(**fields) -> RnnSeq2SeqForConditionalGeneration:
    """A tiny model in float64."""
    torch.manual_seed(0)
    model = RnnSeq2SeqForConditionalGeneration(RnnSeq2SeqConfig(**{**TINY, **fields})).double().eval()
    with torch.no_grad():
        # biases start at zero, where a forgotten bias would not show
        for parameter in model.parameters():
            if parameter.ndim == 1:
                parameter.add_(torch.randn_like(parameter) * 0.3)
    return model


def pad(sentences, side="right", extra=0, value=0):
    """Token ids and mask of sentences padded on one side, `extra` columns more than needed."""
    width = max(map(len, sentences)) + extra
    ids = torch.full((len(sentences), width), value)
    mask = torch.zeros(len(sentences), width, dtype=torch.long)
    for row, sentence in enumerate(sentences):
        place = slice(0, len(sentence)) if side == "right" else slice(width - len(sentence), width)
        ids[row, place] = torch.tensor(sentence, dtype=torch.long)
        mask[row, place] = 1
    return ids, mask


SOURCES = [[4, 5, 6, 7, 2], [8, 9, 2], [10, 2]]
TARGETS = [[5, 4, 2], [7, 8, 9, 11, 2], [12, 2]]


def encode_batch(side="right", extra=0):
    """Three sentence pairs of different lengths as a batch."""
    ids, mask = pad(SOURCES, side, extra)
    labels, _ = pad(TARGETS, value=-100)
    return {"input_ids": ids, "attention_mask": mask, "labels": labels}


@pytest.fixture(params=["lstm", "gru"])
def cell_type(request):
    return request.param


@pytest.fixture(params=DECODERS)
def decoder_type(request):
    return request.param


@pytest.fixture(params=ARCHITECTURES)
def architecture(request):
    """Fields of each accepted architecture in turn."""
    return ARCHITECTURES[request.param]
