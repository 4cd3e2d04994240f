"""The model card: facts in, text out."""

import json

import pytest
import yaml
from huggingface_hub import ModelCard

from hf_rnn_seq2seq import RnnSeq2SeqConfig
from hf_rnn_seq2seq.hub.card import write_model_card

FACTS = {
    "weights": "best (step-00000007)",
    "num_parameters": 1234567,
    "num_training_pairs": 29000,
    "updates": 4321,
    "epochs": 12,
    "training_wall_seconds": 1230.0,
    "target_tokens_per_second": 9876.5,
    "seed": 3,
    "num_processes": 1,
    "hardware": "2 CPU threads (an example)",
    "mixed_precision": "bf16",
    "num_beams": 5,
    "validation": {"loss": 1.5, "perplexity": 4.48, "bleu": 33.3, "chrf": 55.5, "exact_match": 6.6},
    "test": [{"name": "BLEU", "value": 38.765, "signature": "nrefs:1|tok:13a"}],
}
RECIPE = {
    "data": {
        "source_language": "en",
        "target_language": "de",
        "train": {"source_file": "/home/me/train.en", "target_file": "/home/me/train.de"},
        "test": {"file": "/home/me/test.tsv"},
    },
    "tokenizer": {"kind": "bpe", "joint": True},
}


@pytest.fixture
def folder(tmp_path):
    RnnSeq2SeqConfig(vocab_size=8000, cell_type="gru", decoder_type="bahdanau").save_pretrained(tmp_path)
    (tmp_path / "results.json").write_text(json.dumps(FACTS))
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(RECIPE))
    return tmp_path


def test_card_says_what_was_trained_how_and_how_well(folder):
    text = str(write_model_card(folder, example='Say "hello".'))
    for part in (
        "1,234,567",
        "29,000 pairs",
        "train.en, train.de",
        "4,321 updates, 12 epochs, in 20.5 minutes",
        "9,876 target tokens/s",
        "seed 3",
        "| BLEU | 38.77 | `nrefs:1\\|tok:13a` |",
        "test.tsv, beam 5",
        "1-layer bidirectional GRU encoder (256 units a direction)",
        "`bahdanau`",
        "joint bpe, 8,000 tokens",
        'tokenizer("Say \\"hello\\".", return_tensors="pt")',
    ):
        assert part in text
    assert "learning_curves.png" not in text


def test_metadata_is_what_the_hub_reads(folder):
    write_model_card(folder, example="x")
    data = ModelCard.load(folder / "README.md").data
    assert (data.pipeline_tag, data.library_name, data.language) == ("translation", "transformers", ["en", "de"])
    (result,) = data.eval_results
    assert (result.metric_type, result.metric_value, result.dataset_name) == ("bleu", 38.77, "test.tsv")


def test_card_shows_curves_where_there_are_some_and_no_test_where_there_is_none(folder):
    (folder / "learning_curves.png").write_bytes(b"")
    facts = {name: value for name, value in FACTS.items() if name != "test"}
    (folder / "results.json").write_text(json.dumps(facts))
    (folder / "recipe.yaml").write_text(
        yaml.safe_dump({**RECIPE, "data": {"train": {"dataset": "dates", "split": "train"}}})
    )
    text = str(write_model_card(folder, example="x"))
    assert "![learning curves](learning_curves.png)" in text
    assert "dates (train), 29,000 pairs" in text
    assert "signature" not in text


def test_card_needs_the_facts_of_a_run(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"results\.json"):
        write_model_card(tmp_path, example="x")
