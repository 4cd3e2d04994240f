"""Presets: what their papers say, at their own size, and changed."""

import pytest
import torch

from hf_rnn_seq2seq import RnnSeq2SeqConfig, RnnSeq2SeqForConditionalGeneration
from hf_rnn_seq2seq.model.configuration_presets import PRESETS


@pytest.mark.parametrize("name", PRESETS)
def test_preset_is_a_model_of_its_papers_size(name):
    config = RnnSeq2SeqConfig.from_preset(name, vocab_size=30000)
    with torch.device("meta"):
        model = RnnSeq2SeqForConditionalGeneration(config)
    # every preset is a real model, none of them larger than GNMT
    assert 2e6 < model.num_parameters() < 4e8
    for field, value in PRESETS[name].items():
        assert getattr(config, field) == value


# shapes that a paper's text or figures give
SHAPES = {
    # Cho et al. 2014, appendix A: 1000 units, 500 maxout units, embeddings of rank 100
    "cho2014": {
        "decoder.readout.proj.weight": (2 * 500, 1000 + 1000 + 100),
        "decoder.attention.proj.weight": (1000, 1000),
    },
    # Sutskever et al. 2014, section 3.4: 4 layers of 1000
    "sutskever2014": {
        "decoder.layers.3.rnn.weight_hh_l0": (4000, 1000),
        "encoder.layers.0.rnn.weight_ih_l0": (4000, 1000),
    },
    # Bahdanau et al. 2015, appendix B.1: n = 1000, m = 620, l = 500, n' = 1000
    "bahdanau2015": {
        "decoder.attention.memory_proj.weight": (1000, 2000),
        "decoder.attention.query_proj.weight": (1000, 1000),
        "decoder.bridge.hidden_proj.weight": (1000, 1000),
        "decoder.layers.0.rnn.weight_ih_l0": (3000, 620 + 2000),
        "decoder.readout.proj.weight": (2 * 500, 2000 + 1000 + 620),
    },
    "luong2015": {
        "decoder.attention.memory_proj.weight": (1000, 1000),
        "decoder.readout.proj.weight": (1000, 2000),
    },
    # its section 3.3: the attentional vector is an input of the first layer
    "luong2015_input_feeding": {"decoder.layers.0.rnn.weight_ih_l0": (4000, 2000)},
    # Wu et al. 2016, figure 1: both directions in the first layer, the context in all layers but the first
    "gnmt2016": {
        "encoder.layers.1.rnn.weight_ih_l0": (4096, 2048),
        "encoder.layers.2.rnn.weight_ih_l0": (4096, 1024),
        "decoder.layers.0.rnn.weight_ih_l0": (4096, 1024),
        "decoder.layers.7.rnn.weight_ih_l0": (4096, 2048),
    },
    "rnmt_plus2018": {
        "encoder.layers.5.directions.1.0.weight_ih": (4096, 2048),
        "encoder.layers.5.directions.1.0.cell_norm.weight": (1024,),
        "decoder.layers.7.directions.0.0.weight_ih": (4096, 1024 + 2048),
        "decoder.attention.value_proj.weight": (2048, 2048),
    },
    "nematus2017": {
        "decoder.layers.0.cells.0.weight_ih": (3072, 500),
        "decoder.layers.0.cells.1.weight_ih": (3072, 2048),
        "decoder.readout.proj.weight": (500, 2048 + 1024 + 500),
    },
    # See et al. 2017, equations 8 and 11
    "see2017": {
        "decoder.copy_gate.weight": (1, 512 + 256 + 128),
        "decoder.attention.feedback_proj.weight": (512, 1),
    },
}


@pytest.mark.parametrize(("name", "shapes"), SHAPES.items(), ids=SHAPES)
def test_preset_has_its_papers_matrices(name, shapes):
    with torch.device("meta"):
        model = RnnSeq2SeqForConditionalGeneration(RnnSeq2SeqConfig.from_preset(name, vocab_size=30000))
    for parameter, shape in shapes.items():
        assert tuple(model.get_parameter(f"model.{parameter}").shape) == shape


def test_fields_change_a_preset():
    config = RnnSeq2SeqConfig.from_preset("bahdanau2015", vocab_size=50, encoder_hidden_size=7)
    assert (config.vocab_size, config.encoder_hidden_size, config.decoder_hidden_size) == (50, 7, 1000)


def test_unknown_preset_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match="must be one of cho2014, sutskever2014, .*, got 'vaswani2017'"):
        RnnSeq2SeqConfig.from_preset("vaswani2017")


@pytest.mark.parametrize("name", ["sutskever2014", "luong2015", "gnmt2016", "see2017"])
def test_uniform_presets_draw_all_weights_alike(name):
    small = {"embedding_size": 64, "encoder_hidden_size": 64, "decoder_hidden_size": 64, "attention_size": 64}
    small |= {"readout_size": 64} if name == "see2017" else {}
    config = RnnSeq2SeqConfig.from_preset(name, vocab_size=100, **small)
    model = RnnSeq2SeqForConditionalGeneration(config)
    for parameter in model.parameters():
        assert parameter.detach().abs().max() <= config.init_uniform
        if parameter.numel() >= 4096:
            assert float(parameter.detach().std()) == pytest.approx(config.init_uniform / 3**0.5, rel=0.05)


@pytest.mark.parametrize("name", ["cho2014", "bahdanau2015", "nematus2017"])
def test_groundhog_presets_draw_as_their_papers_say(name):
    small = {"embedding_size": 64, "encoder_hidden_size": 64, "decoder_hidden_size": 64, "attention_size": 64}
    model = RnnSeq2SeqForConditionalGeneration(RnnSeq2SeqConfig.from_preset(name, vocab_size=100, **small))
    for path, parameter in model.named_parameters():
        parameter = parameter.detach()
        if "weight_hh" in path:
            for gate in parameter.split(64):
                torch.testing.assert_close(gate @ gate.T, torch.eye(64), rtol=0, atol=1e-4)
        elif path.endswith("energy_vector") or "bias" in path:
            assert (parameter == 0).all()
        elif "attention." in path and "proj" in path and name != "cho2014":
            assert float(parameter.std()) == pytest.approx(0.001, rel=0.1)
        elif parameter.ndim == 2:
            assert float(parameter.std()) == pytest.approx(0.01, rel=0.1), path
