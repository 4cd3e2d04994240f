"""ONNX: the graphs give the logits of PyTorch, the searches the translations of `generate`."""

import random

import numpy as np
import pytest
import torch

from hf_rnn_seq2seq import train_tokenizer
from hf_rnn_seq2seq.export.onnx_export import export_onnx
from hf_rnn_seq2seq.export.onnx_runner import OnnxTranslator
from tests.conftest import build_model

# every cell, decoder, attention and bridge at least once
ARCHITECTURES = {
    "luong": {},
    "input_feeding": {"decoder_type": "input_feeding", "cell_type": "gru", "attention_type": "dot"},
    "bahdanau": {"decoder_type": "bahdanau", "attention_type": "additive", "bridge_input": "backward"},
    "bahdanau_gru": {"decoder_type": "bahdanau", "cell_type": "gru", "readout_type": "maxout"},
    "conditional": {"decoder_type": "conditional", "cell_type": "gru", "bridge_input": "mean"},
    "gnmt": {
        "decoder_type": "gnmt",
        "attention_type": "normalized_additive",
        "bidirectional": "first",
        "num_encoder_layers": 3,
        "residual_from_layer": 3,
        "bridge_type": "zeros",
    },
    "heads": {"attention_type": "dot", "num_attention_heads": 2, "cell_type": "rnn_tanh", "bridge_type": "copy"},
    "local": {"local_attention_window": 2, "readout_type": "concat"},
}


@pytest.fixture(scope="module")
def tokenizer():
    return train_tokenizer(["a b c d e f g h i"] * 2, kind="word")


@pytest.fixture(scope="module", params=ARCHITECTURES)
def exported(request, tokenizer, tmp_path_factory):
    fields = ARCHITECTURES[request.param]
    model = build_model(vocab_size=len(tokenizer), tie_word_embeddings=False, **fields).float()
    # far from uniform, so that sentences differ and some end early
    for parameter in model.parameters():
        parameter.data.mul_(2.5)
    model.generation_config.update(num_beams=3, max_new_tokens=12, eos_token_id=2, pad_token_id=0)
    folder = tmp_path_factory.mktemp("onnx")
    export_onnx(model, tokenizer, folder)
    return model, folder


@pytest.fixture(scope="module")
def sentences():
    rng = random.Random(0)
    return ["", *[" ".join(rng.choices("abcdefghi", k=rng.randint(1, 12))) for _ in range(100)]]


@torch.no_grad()
def test_logits_are_those_of_torch(exported, tokenizer, sentences):
    model, folder = exported
    translator = OnnxTranslator(folder)
    batch = tokenizer(sentences[1:8], padding=True, return_tensors="pt")
    target = torch.tensor([1, 5, 7, 4, 6])
    expected = model(**batch, decoder_input_ids=target.repeat(7, 1)).logits.numpy()
    source = {"lengths": batch["attention_mask"].sum(1).numpy()}
    keys, values, *states = translator.encoder.run(None, {"input_ids": batch["input_ids"].numpy(), **source})
    source |= {"keys": keys, "values": values}
    # two beams that do the same
    carried = [state[:, None].repeat(2, 1) for state in states]
    carried += [np.zeros((7, 2, size), np.float32) for size in translator.carried_sizes[len(states) :]]
    for step, token in enumerate(target.tolist()):
        inputs = dict(zip(translator.carried_names, carried, strict=True))
        tokens, candidates = np.full((7, 2), token), np.array([3])
        logits, log_probs, ids, *carried = translator.decoder_step.run(
            None, {"input_ids": tokens, "num_candidates": candidates, **source, **inputs}
        )
        for beam in range(2):
            np.testing.assert_allclose(logits[:, beam], expected[:, step], atol=5e-4)
        best = torch.tensor(expected[:, step]).log_softmax(-1).topk(3)
        np.testing.assert_array_equal(ids[:, 0], best.indices)
        np.testing.assert_allclose(log_probs[:, 0], best.values, atol=5e-4)


@pytest.mark.parametrize("settings", [{"num_beams": 1}, {}, {"num_beams": 4, "length_penalty": 0.4}])
def test_translations_are_those_of_generate(exported, tokenizer, sentences, settings):
    model, folder = exported
    results = OnnxTranslator(folder).translate(sentences, batch_size=16, **settings)
    assert results[0] == ""
    batch = tokenizer(sentences[1:], padding=True, return_tensors="pt")
    expected = tokenizer.batch_decode(model.generate(**batch, **settings), skip_special_tokens=True)
    assert results[1:] == expected
    assert len(set(results)) > 2


@pytest.mark.parametrize("early_stopping", [True, "never"])
def test_early_stopping_is_that_of_generate(exported, tokenizer, sentences, early_stopping):
    model, folder = exported
    results = OnnxTranslator(folder).translate(sentences[1:40], early_stopping=early_stopping)
    batch = tokenizer(sentences[1:40], padding=True, return_tensors="pt")
    expected = model.generate(**batch, early_stopping=early_stopping)
    assert results == tokenizer.batch_decode(expected, skip_special_tokens=True)


def test_int8_logits_are_near(exported, tokenizer, sentences):
    _, folder = exported
    batch = tokenizer(sentences[1:8], padding=True, return_tensors="np")
    found = []
    for precision in ("fp32", "int8"):
        translator = OnnxTranslator(folder, precision=precision)
        source = {"lengths": batch["attention_mask"].sum(1)}
        _, values, *_ = translator.encoder.run(None, {"input_ids": batch["input_ids"], **source})
        found.append(values)
        assert len(translator.translate(sentences)) == len(sentences)
    assert np.abs(found[0]).max() > 0.5
    # 8 bits of a weight and of every activation, states between -1 and 1
    assert np.abs(found[1] - found[0]).mean() < 0.05


def test_output_shapes_hold_for_any_number_of_candidates(exported, sentences, capfd):
    _, folder = exported
    OnnxTranslator(folder).translate(sentences[1:3], num_beams=4)
    assert "VerifyOutputSizes" not in capfd.readouterr().err


def test_unknown_precision_is_refused(exported):
    _, folder = exported
    with pytest.raises(ValueError, match="`precision` must be one of fp32, int8, got 'int4'"):
        OnnxTranslator(folder, precision="int4")


def test_two_vocabularies_can_be_exported(tmp_path):
    tokenizer = train_tokenizer(["a b c"], ["x y z w"], kind="word", joint=False)
    model = build_model(
        vocab_size=len(tokenizer),
        decoder_vocab_size=tokenizer.target_vocab_size,
        share_encoder_decoder_embeddings=False,
    ).float()
    model.generation_config.update(num_beams=2, max_new_tokens=5, eos_token_id=2, pad_token_id=0)
    export_onnx(model, tokenizer, tmp_path, int8=False)
    inputs = tokenizer("b a c", return_tensors="pt")
    expected = tokenizer.decode(model.generate(**inputs)[0], skip_special_tokens=True)
    assert OnnxTranslator(tmp_path).translate(["b a c"]) == [expected]
    assert not (tmp_path / "encoder.int8.onnx").exists()


def test_several_ends_are_those_of_generate(tmp_path, tokenizer, sentences):
    model = build_model(vocab_size=len(tokenizer), tie_word_embeddings=False).float()
    for parameter in model.parameters():
        parameter.data.mul_(2.5)
    model.generation_config.update(num_beams=3, max_new_tokens=12, eos_token_id=[2, 5, 7], pad_token_id=0)
    export_onnx(model, tokenizer, tmp_path, int8=False)
    batch = tokenizer(sentences[1:], padding=True, return_tensors="pt")
    expected = tokenizer.batch_decode(model.generate(**batch), skip_special_tokens=True)
    assert OnnxTranslator(tmp_path).translate(sentences[1:]) == expected


def test_settings_that_the_search_lacks_are_refused(tmp_path, tokenizer):
    model = build_model(vocab_size=len(tokenizer)).float()
    model.generation_config.update(no_repeat_ngram_size=2, do_sample=False, num_return_sequences=1)
    export_onnx(model, tokenizer, tmp_path, int8=False)
    with pytest.raises(ValueError, match="asks for `no_repeat_ngram_size`, which the search on ONNX Runtime does not"):
        OnnxTranslator(tmp_path)
    with pytest.raises(FileNotFoundError, match="hf-rnn-seq2seq export"):
        OnnxTranslator(tmp_path, precision="int8")


def test_architectures_that_the_graphs_lack_are_refused(tmp_path, tokenizer):
    model = build_model(vocab_size=len(tokenizer), reverse_source=True, bidirectional=False, copy_attention=True)
    with pytest.raises(ValueError, match="does not know `reverse_source=True`, `copy_attention=True`; run this model"):
        export_onnx(model, tokenizer, tmp_path / "onnx")
    assert not (tmp_path / "onnx").exists()
