"""The model card: facts in, text out."""

import json

import pytest
import yaml
from huggingface_hub import ModelCard

from hf_rnn_seq2seq import RnnSeq2SeqConfig
from hf_rnn_seq2seq.hub.card import is_unedited, write_model_card

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
    "num_test_pairs": 1000,
    "num_dropped_pairs": 12,
    "example": 'Say "hello".',
    "changed_settings": {"training.max_tokens": 2500},
    "fingerprints": {"train": "0123abcd"},
    "versions": {"torch": "2.13.0"},
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
    text = write_model_card(folder)
    for part in (
        "1,234,567",
        "train.en, train.de, 29,000 pairs (12 too long ones dropped)",
        "| updates | 4,321, 12 epochs |",
        "20.5 minutes",
        "9,876 target tokens/s",
        "| seed | 3 |",
        "| torch | 2.13.0 |",
        "| SHA-256 of train text | `0123abcd` |",
        "| `training.max_tokens` | 2500 |",
        "| BLEU | 38.77 | `nrefs:1\\|tok:13a` |",
        "test.tsv, 1,000 pairs, beam 5",
        "1-layer bidirectional GRU encoder (256 units a direction)",
        "`bahdanau`",
        "joint bpe, 8,000 tokens",
        'translate("Say \\"hello\\".")',
        "hf-rnn-seq2seq train recipe.yaml",
        "other domains, longer sentences",
    ):
        assert part in text
    assert "learning_curves.png" not in text


def test_metadata_is_what_the_hub_reads(folder):
    write_model_card(folder)
    data = ModelCard.load(folder / "README.md").data
    assert (data.pipeline_tag, data.library_name, data.language) == ("translation", "transformers", ["en", "de"])
    assert (data.license, data.datasets) == (None, None)
    (result,) = data.eval_results
    assert (result.metric_type, result.metric_value, result.dataset_name) == ("bleu", 38.77, "test.tsv")


def test_card_shows_curves_where_there_are_some_and_no_test_where_there_is_none(folder):
    (folder / "learning_curves.png").write_bytes(b"")
    facts = {name: value for name, value in FACTS.items() if name != "test"}
    (folder / "results.json").write_text(json.dumps(facts))
    (folder / "recipe.yaml").write_text(
        yaml.safe_dump({**RECIPE, "data": {"train": {"dataset": "dates", "split": "train"}}})
    )
    text = write_model_card(folder)
    assert "![learning curves](learning_curves.png)" in text
    assert "dates (train), 29,000 pairs" in text
    assert "signature" not in text


def test_card_needs_the_facts_of_a_run(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"results\.json"):
        write_model_card(tmp_path)


def test_recipe_can_say_licence_data_notes_and_limits(folder):
    about = {"license": "mit", "datasets": ["me/data"], "notes": "Found there.", "limits": "Only dates."}
    (folder / "recipe.yaml").write_text(yaml.safe_dump({**RECIPE, "card": about}))
    card = ModelCard(write_model_card(folder))
    assert (card.data.license, card.data.datasets) == ("mit", ["me/data"])
    assert "Found there." in card.text
    assert card.text.partition("## Limits")[2].strip().startswith("Only dates.")


def test_card_of_a_fine_tuned_model_says_from_what_and_what_it_gained(folder):
    before = [{**FACTS["test"][0], "value": 12.34}]
    facts = {**FACTS, "base_model": "me/general", "before": before}
    (folder / "results.json").write_text(json.dumps(facts))
    card = ModelCard(write_model_card(folder))
    assert card.data.base_model == "me/general"
    assert "fine-tuned from `me/general`" in card.text
    assert "| BLEU | 12.34 | 38.77 |" in card.text
    assert "hf-rnn-seq2seq finetune recipe.yaml" in card.text


def test_folder_of_this_machine_is_no_base_model_on_the_hub(folder):
    (folder / "results.json").write_text(json.dumps({**FACTS, "base_model": "general"}))
    card = ModelCard(write_model_card(folder))
    assert card.data.base_model is None
    assert "fine-tuned from `general`" in card.text


def test_card_knows_whether_it_was_edited(folder):
    card = write_model_card(folder)
    assert is_unedited(card)
    assert not is_unedited(card.replace("38.77", "99.99"))
    assert not is_unedited("Mine.")


def test_card_takes_a_template_of_ones_own(folder, tmp_path):
    template = tmp_path / "mine.jinja"
    template.write_text("---\n{{ card_data }}\n---\n{{ title }}: {{ facts.updates }} updates\n")
    (folder / "recipe.yaml").write_text(yaml.safe_dump({**RECIPE, "card": {"template": str(template)}}))
    assert f"{folder.name}: 4321 updates" in write_model_card(folder)


def test_card_names_what_is_unusual_in_an_architecture(folder):
    RnnSeq2SeqConfig.from_preset("see2017", vocab_size=8000).save_pretrained(folder)
    text = write_model_card(folder)
    assert "1-layer bidirectional LSTM encoder (256 units a direction), 1-layer decoder" in text
    assert "additive attention, embeddings 128, `attention_feedback=coverage`, `readout_type=linear`, `copy_a" in text
    RnnSeq2SeqConfig.from_preset("cho2014", vocab_size=8000, decoder_vocab_size=9000).save_pretrained(folder)
    text = write_model_card(folder)
    assert "1-layer GRU encoder (1000 units a direction)" in text
    assert "no attention, embeddings 100, `readout_type=maxout`" in text
