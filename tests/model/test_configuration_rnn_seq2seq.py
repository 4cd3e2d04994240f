"""Configuration: derived sizes, contradictions, round trip."""

import pytest

from hf_rnn_seq2seq import RnnSeq2SeqConfig


def test_derived_sizes_follow_the_given_ones():
    config = RnnSeq2SeqConfig(vocab_size=100, embedding_size=64, encoder_hidden_size=32, decoder_hidden_size=48)
    assert (config.decoder_vocab_size, config.memory_size, config.attention_size) == (100, 64, 48)
    assert config.readout_size == 64
    assert config.embedding_init_std == 0.125
    assert RnnSeq2SeqConfig(tie_word_embeddings=False, decoder_hidden_size=48).readout_size == 48
    assert RnnSeq2SeqConfig(bidirectional=False, encoder_hidden_size=32).memory_size == 32


def test_saved_config_is_the_same_after_loading(tmp_path):
    config = RnnSeq2SeqConfig(vocab_size=50, cell_type="gru", decoder_type="bahdanau", attention_type="additive")
    config.save_pretrained(tmp_path)
    assert RnnSeq2SeqConfig.from_pretrained(tmp_path).to_dict() == config.to_dict()


def test_transformers_names_reach_our_fields():
    config = RnnSeq2SeqConfig(decoder_hidden_size=48, num_decoder_layers=3)
    assert (config.hidden_size, config.num_hidden_layers) == (48, 3)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"embedding_size": 0}, "`embedding_size` must be at least 1, got 0"),
        ({"layer_dropout": 1.0}, r"`layer_dropout` is a probability in \[0, 1\), got 1.0"),
        ({"pad_token_id": 10000}, "`pad_token_id` must be an id of both vocabularies, got 10000"),
        ({"decoder_vocab_size": 9}, "`share_encoder_decoder_embeddings=True` needs one vocabulary"),
        ({"readout_size": 99}, "`tie_word_embeddings=True` needs features as wide as an embedding"),
        ({"attention_type": "dot", "encoder_hidden_size": 99}, "`attention_type='dot'` compares"),
        ({"decoder_embedding_size": 99}, "`share_encoder_decoder_embeddings=True` needs one width"),
        ({"encoder_transitions": -1}, "`encoder_transitions` must be at least 0, got -1"),
        ({"location_kernel_size": 4}, "`location_kernel_size` must be odd, got 4; add 1"),
        ({"encoder_stride": 2}, "`encoder_stride`=2 goes between layers, got `num_encoder_layers`=1; use 2"),
        ({"init_std": -1.0}, "`init_std` must be larger than 0, got -1.0"),
        ({"init_uniform": 0.0}, "`init_uniform` must be larger than 0, got 0.0"),
        ({"reverse_source": True}, "`reverse_source=True` does nothing for an encoder of both directions"),
        ({"residual_from_layer": 1}, "`residual_from_layer`=1 adds inputs to outputs of another width"),
        ({"bidirectional": "first", "num_encoder_layers": 2, "residual_from_layer": 2}, r"outputs are \[512, 256\]"),
        ({"bridge_input": "backward", "bidirectional": False}, "`bridge_input='backward'` needs a top encoder layer"),
        ({"bridge_input": "mean", "bridge_type": "copy"}, '`bridge_input="mean"` goes through'),
        ({"bridge_input": "mean"}, "has no cells for an LSTM to start from"),
        ({"bridge_type": "copy", "num_decoder_layers": 2}, '`bridge_type="copy"` needs as many layers on both sides'),
        ({"attention_type": "none", "decoder_type": "gnmt"}, '`attention_type="none"` goes with'),
        ({"attention_type": "none", "copy_attention": True}, "`copy_attention`, .* need attention"),
        ({"num_attention_heads": 2}, "`num_attention_heads`=2 goes with"),
        ({"num_attention_heads": 3, "attention_type": "dot"}, "`num_attention_heads`=3 must divide"),
        ({"attention_feedback": "coverage"}, "`attention_feedback='coverage'` goes with additive attention"),
        ({"decoder_type": "gnmt"}, '`decoder_type="gnmt"` gives the context to the layers above'),
        ({"decoder_transitions": 2}, "`decoder_transitions`=2 goes with"),
        (
            {"copy_attention": True, "share_encoder_decoder_embeddings": False},
            "`copy_attention=True` needs",
        ),
        (
            {"copy_attention": True, "encoder_stride": 2, "num_encoder_layers": 2},
            "`copy_attention=True` copies single tokens",
        ),
        ({"readout_type": "state", "tie_word_embeddings": False}, "would leave the context .* unread"),
        (
            {"readout_type": "context_gate", "attention_type": "none"},
            '`readout_type="context_gate"` needs attention',
        ),
        (
            {"readout_type": "concat", "tie_word_embeddings": False, "readout_size": 5},
            "makes features 1024 wide, got `readout_size`=5",
        ),
    ],
)
def test_contradictions_are_refused_with_a_way_out(fields, message):
    with pytest.raises(ValueError, match=message):
        RnnSeq2SeqConfig(**fields)


def test_unknown_choice_is_refused():
    with pytest.raises(Exception, match="cell_type"):
        RnnSeq2SeqConfig(cell_type="transformer")


def test_generate_is_told_the_number_of_target_tokens():
    config = RnnSeq2SeqConfig(vocab_size=9, decoder_vocab_size=7, share_encoder_decoder_embeddings=False)
    assert config.get_text_config().vocab_size == config.get_text_config(decoder=True).vocab_size == 7
    assert config.get_text_config(encoder=True).vocab_size == config.vocab_size == 9
