"""What many tests need: a tiny model of any kind, and batches with padding."""

import pytest
import torch

from hf_rnn_seq2seq import RnnSeq2SeqConfig, RnnSeq2SeqForConditionalGeneration

CELLS = ["lstm", "gru"]
DECODERS = ["luong", "input_feeding", "bahdanau"]
ATTENTIONS = ["general", "dot", "additive"]


def build_model(**fields) -> RnnSeq2SeqForConditionalGeneration:
    """A tiny model in float64 with sizes that are all different where they may be."""
    torch.manual_seed(0)
    sizes = {
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
    model = RnnSeq2SeqForConditionalGeneration(RnnSeq2SeqConfig(**{**sizes, **fields})).double().eval()
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


@pytest.fixture(params=CELLS)
def cell_type(request):
    return request.param


@pytest.fixture(params=DECODERS)
def decoder_type(request):
    return request.param


@pytest.fixture(params=ATTENTIONS)
def attention_type(request):
    return request.param
