"""pipeline("translation"): shapes of transformers 4, other people's models, and what is new."""

import copy
import logging

import datasets
import pytest
import torch
from transformers import (
    GenerationConfig,
    M2M100Config,
    M2M100ForConditionalGeneration,
    MarianConfig,
    MarianMTModel,
    NllbTokenizer,
    T5Config,
    T5ForConditionalGeneration,
    pipeline,
)
from transformers.pipelines.pt_utils import KeyDataset

from hf_rnn_seq2seq import map_attention, train_tokenizer
from hf_rnn_seq2seq.model.pipeline_rnn_seq2seq import split_into_sentences
from tests.conftest import build_model

TEXTS = ["b a c", "a", "c c b a"]
SMALL = {
    "d_model": 8,
    "encoder_layers": 1,
    "decoder_layers": 1,
    "encoder_ffn_dim": 8,
    "decoder_ffn_dim": 8,
    "encoder_attention_heads": 1,
    "decoder_attention_heads": 1,
    "max_position_embeddings": 32,
}


@pytest.fixture(scope="module")
def tokenizer():
    return train_tokenizer(["a b c . ! d e f"] * 3, kind="word")


@pytest.fixture(scope="module")
def model(tokenizer):
    model = build_model(vocab_size=len(tokenizer)).float()
    model.generation_config.update(num_beams=3, max_new_tokens=6, eos_token_id=2, pad_token_id=0, bos_token_id=1)
    return model


@pytest.fixture(scope="module")
def translate(model, tokenizer):
    return pipeline("translation", model=model, tokenizer=tokenizer)


def generate(model, tokenizer, text, **options):
    inputs = tokenizer(text, return_tensors="pt")
    ids = model.generate(input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"], **options)
    return [{"translation_text": tokenizer.decode(row, skip_special_tokens=True)} for row in ids]


def test_a_text_gives_a_list_of_one_record(translate, model, tokenizer):
    assert translate(TEXTS[0]) == generate(model, tokenizer, TEXTS[0])


@pytest.mark.parametrize("batch_size", [1, 2, 3])
def test_texts_give_a_record_each_in_any_batch(translate, model, tokenizer, batch_size):
    expected = [generate(model, tokenizer, text)[0] for text in TEXTS]
    assert translate(TEXTS, batch_size=batch_size) == expected
    assert translate(tuple(TEXTS), batch_size=batch_size) == expected
    column = datasets.Dataset.from_dict({"en": TEXTS})["en"]
    assert translate(column, batch_size=batch_size) == expected


@pytest.mark.parametrize("batch_size", [1, 2])
def test_generators_and_datasets_give_iterators(translate, model, tokenizer, batch_size):
    expected = [generate(model, tokenizer, text) for text in TEXTS]
    results = translate((text for text in TEXTS), batch_size=batch_size)
    assert not isinstance(results, list)
    assert list(results) == expected
    dataset = datasets.Dataset.from_dict({"en": TEXTS})
    assert list(translate(KeyDataset(dataset, "en"), batch_size=batch_size)) == expected
    assert list(translate(iter(TEXTS), batch_size=batch_size)) == expected


def test_several_translations_of_each_text_come_in_lists(translate, model, tokenizer):
    expected = [generate(model, tokenizer, text, num_return_sequences=2) for text in TEXTS]
    assert translate(TEXTS, num_return_sequences=2, batch_size=2) == expected
    assert translate(TEXTS[0], num_return_sequences=2) == expected[0]


def test_settings_of_the_pipeline_hold_until_a_call_says_otherwise(model, tokenizer):
    translate = pipeline("translation", model=model, tokenizer=tokenizer, max_new_tokens=2, num_beams=1)
    assert translate("a b") == generate(model, tokenizer, "a b", max_new_tokens=2, num_beams=1)
    assert translate("a b", max_new_tokens=3) == generate(model, tokenizer, "a b", max_new_tokens=3, num_beams=1)


def test_nothing_gives_nothing_and_blank_text_stays_blank(translate):
    assert translate([]) == []
    assert translate(["", " "]) == [{"translation_text": ""}] * 2
    (record,) = translate("", return_scores=True, return_alignments=True, return_attention=True)
    assert (record["score"], record["alignments"], record["attention"]["weights"]) == (None, [], [])


@pytest.mark.parametrize("wrong", [3, None, [3], [["a"]], {"text": "a"}])
def test_what_is_no_text_is_refused(translate, wrong):
    with pytest.raises(TypeError, match=r"must be a string"):
        translate(wrong)


@torch.no_grad()
@pytest.mark.parametrize("num_beams", [1, 3])
def test_score_is_the_mean_log_probability(translate, model, tokenizer, num_beams):
    (record,) = translate("b a", return_scores=True, return_tensors=True, num_beams=num_beams)
    ids = record["translation_token_ids"]
    logits = model(**tokenizer("b a", return_tensors="pt"), decoder_input_ids=ids[None, :-1]).logits[0]
    expected = logits.log_softmax(-1).gather(1, ids[1:, None]).mean()
    assert record["score"] == pytest.approx(float(expected), abs=1e-5)
    assert record["score"] == pytest.approx(
        translate(["b a", "c"], return_scores=True, num_beams=num_beams, batch_size=2)[0]["score"], abs=1e-5
    )


@torch.no_grad()
def test_score_of_a_sample_is_that_of_the_model(translate, model, tokenizer):
    # almost greedy: what is drawn has a probability of 1 there
    options = {"do_sample": True, "num_beams": 1, "top_k": 1, "temperature": 0.1, "max_new_tokens": 4}
    (record,) = translate("b a", return_scores=True, return_tensors=True, **options)
    ids = record["translation_token_ids"]
    logits = model(**tokenizer("b a", return_tensors="pt"), decoder_input_ids=ids[None, :-1]).logits[0]
    assert record["score"] == pytest.approx(float(logits.log_softmax(-1).gather(1, ids[1:, None]).mean()), abs=1e-5)
    (total,) = translate("b a", return_scores=True, length_penalty=0.0, **options)
    assert total["score"] == pytest.approx(record["score"] * (len(ids) - 1), abs=1e-5)


def test_generation_config_of_the_call_replaces_the_defaults(translate, model, tokenizer, caplog):
    config = GenerationConfig(num_beams=2, max_new_tokens=3, pad_token_id=0, eos_token_id=2, bos_token_id=1)
    expected = generate(model, tokenizer, "b a", generation_config=config)
    caplog.clear()
    (record,) = translate("b a", generation_config=config, return_scores=True, output_scores=True)
    assert record["translation_text"] == expected[0]["translation_text"]
    assert not any("deprecated" in message for message in caplog.messages)
    assert not config.output_scores


def test_stop_sequence_is_one_of_the_target():
    tokenizer = train_tokenizer(["a b c d e"], ["v w x y z"], kind="word", joint=False)
    sizes = {"vocab_size": len(tokenizer), "decoder_vocab_size": tokenizer.target_vocab_size}
    model = build_model(**sizes, share_encoder_decoder_embeddings=False).float()
    translate = pipeline("translation", model=model, tokenizer=tokenizer, max_new_tokens=6, num_beams=1)
    first = translate("b a")[0]["translation_text"].split()[0]
    record = translate("b a", stop_sequence=first, return_attention=True)[0]
    assert record["translation_text"] == first
    assert record["attention"]["target_tokens"] == [f"▁{first}"]


def test_attention_of_cut_input_is_over_what_the_model_read(model, caplog):
    tokenizer = train_tokenizer(["a b c d"], kind="word")
    tokenizer.model_max_length = 3
    translate = pipeline("translation", model=model, tokenizer=tokenizer)
    (record,) = translate("a b c d", truncation=True, return_attention=True, return_alignments=True)
    assert record["attention"]["source_tokens"] == ["▁a", "▁b", "</s>"]
    assert {source for source, _ in record["alignments"]} <= {0, 1}


@torch.no_grad()
def test_greedy_score_needs_only_the_target_vocabulary():
    tokenizer = train_tokenizer(["a b c d e"], ["x y"], kind="word", joint=False)
    sizes = {"vocab_size": len(tokenizer), "decoder_vocab_size": tokenizer.target_vocab_size}
    model = build_model(**sizes, share_encoder_decoder_embeddings=False).float()
    translate = pipeline("translation", model=model, tokenizer=tokenizer, max_new_tokens=4)
    greedy = translate("b a", return_scores=True, return_tensors=True, num_beams=1)[0]
    ids = greedy["translation_token_ids"]
    logits = model(**tokenizer("b a", return_tensors="pt"), decoder_input_ids=ids[None, :-1]).logits[0]
    expected = logits.log_softmax(-1).gather(1, ids[1:, None]).mean()
    assert greedy["score"] == pytest.approx(float(expected), abs=1e-5)


def test_attention_is_that_of_the_sentence_alone(translate, model, tokenizer):
    records = translate(TEXTS, return_attention=True, batch_size=3)
    for text, record in zip(TEXTS, records, strict=True):
        expected = map_attention(model, tokenizer, text)
        assert record["attention"]["source_tokens"] == expected.source_tokens
        assert record["attention"]["target_tokens"] == expected.target_tokens
        torch.testing.assert_close(torch.tensor(record["attention"]["weights"]), expected.weights)


def test_attention_ends_with_the_translation_and_not_with_its_batch(model, tokenizer):
    # beam search fills short translations up with </s> where the padding is token 0
    model = copy.deepcopy(model)
    model.lm_head.bias.data[2] += 1.5
    translate = pipeline("translation", model=model, tokenizer=tokenizer)
    records = translate(["a", "b"], return_attention=True, num_return_sequences=3)
    tokens = [record["attention"]["target_tokens"] for result in records for record in result]
    assert len({len(names) for names in tokens}) > 1
    assert all("</s>" not in names[:-1] for names in tokens)


def test_alignments_point_to_the_word_with_most_attention(translate):
    for record in translate(TEXTS, return_alignments=True, return_attention=True, batch_size=2):
        weights = torch.tensor(record["attention"]["weights"])
        num_words = len(record["translation_text"].split())
        # tokens are words here, and the last source token is </s>
        assert record["alignments"] == [(int(weights[word, :-1].argmax()), word) for word in range(num_words)]


def test_alignments_can_be_text(translate):
    (pairs,) = translate("b a c", return_alignments=True)
    (text,) = translate("b a c", return_alignments="pharaoh")
    assert pairs["alignments"]
    assert text["alignments"] == " ".join(f"{source}-{target}" for source, target in sorted(pairs["alignments"]))


def test_long_text_is_translated_by_sentences_and_keeps_its_lines(translate):
    text = "\nA b ab. C d! E f\n\n  c b\n"
    record = translate(text, split_sentences=True, return_alignments=True, return_scores=True, batch_size=2)[0]
    parts = translate(["A b ab.", "C d!", "E f", "c b"], return_alignments=True, return_scores=True)
    first, second, third, fourth = [part["translation_text"] for part in parts]
    assert record["translation_text"] == f"\n{first} {second} {third}\n\n{fourth}\n"
    assert record["score"] == pytest.approx(sum(part["score"] for part in parts) / 4)
    # words of the second sentence are counted on from the first
    shift = (3, len(first.split()))
    expected = [(source + shift[0], target + shift[1]) for source, target in parts[1]["alignments"]]
    assert record["alignments"][len(parts[0]["alignments"]) :][: len(expected)] == expected
    with pytest.raises(ValueError, match="`num_return_sequences` must be 1"):
        translate(text, split_sentences=True, num_return_sequences=2)


def test_own_rule_can_split_sentences(translate):
    expected = " ".join(record["translation_text"] for record in translate(["a", "b", "c"]))
    assert translate("a b c", split_sentences=str.split)[0]["translation_text"] == expected


@pytest.mark.parametrize(
    ("line", "sentences"),
    [
        ("One. Two! Three? Four… Five", 5),
        ('He said "Stop." Then he left.', 2),
        ("J. Smith came on 3. Mai at 10.30 h.", 1),
        ("It was 1999. Then came 2000.", 2),
        ("Er kam, z.B. gestern, usw. und so.", 1),
        ("你好。再见！", 2),
        ("", 0),
    ],
)
def test_sentences_end_where_punctuation_says(line, sentences):
    found = [sentence for sentence in split_into_sentences(line) if sentence]
    assert len(found) == sentences
    assert "".join("".join(found).split()) == "".join(line.split())


def test_cut_input_and_output_are_warned_about(model, caplog):
    tokenizer = train_tokenizer(["a b c"], kind="word")
    tokenizer.model_max_length = 3
    translate = pipeline("translation", model=model, tokenizer=tokenizer)
    with caplog.at_level(logging.WARNING):
        translate("a b", truncation=True, max_new_tokens=1, min_new_tokens=1)
        (message,) = caplog.messages
        assert message.startswith("1 of 1 translations stopped after 1 tokens, before their end")
        caplog.clear()
        translate("a b c", truncation=True, forced_eos_token_id=2)
        (message,) = caplog.messages
        assert message.startswith("`truncation` cut an input from 4 to 3 tokens")


def test_marian_translates(tokenizer):
    torch.manual_seed(0)
    config = MarianConfig(
        vocab_size=len(tokenizer),
        pad_token_id=0,
        eos_token_id=2,
        decoder_start_token_id=0,
        forced_eos_token_id=2,
        **SMALL,
    )
    model = MarianMTModel(config).eval()
    model.set_attn_implementation("eager")
    translate = pipeline("translation", model=model, tokenizer=tokenizer)
    options = {"num_beams": 4, "max_new_tokens": 9}
    expected = [generate(model, tokenizer, text, **options)[0] for text in TEXTS]
    assert translate(TEXTS, max_new_tokens=9) == expected
    record = translate(TEXTS[0], max_new_tokens=9, return_alignments=True)[0]
    assert len(record["alignments"]) == len(record["translation_text"].split())


def test_t5_gets_the_prefix_and_settings_of_its_task():
    tokenizer = train_tokenizer(["translate English to German: a b c"], kind="word")
    torch.manual_seed(0)
    task = {"prefix": "translate English to German: ", "num_beams": 2, "max_length": 7}
    sizes = {"vocab_size": len(tokenizer), "d_model": 8, "d_kv": 4, "d_ff": 8, "num_layers": 1, "num_heads": 2}
    special = {"pad_token_id": 0, "eos_token_id": 2, "decoder_start_token_id": 0}
    config = T5Config(**sizes, **special, task_specific_params={"translation_en_to_de": task})
    model = T5ForConditionalGeneration(config).eval()
    translate = pipeline("translation_en_to_de", model=model, tokenizer=tokenizer)
    options = {"num_beams": 2, "max_length": 7}
    assert translate("a b") == generate(model, tokenizer, "translate English to German: a b", **options)
    plain = pipeline("translation", model=model, tokenizer=tokenizer)
    assert plain("a b", src_lang="en", tgt_lang="de") == translate("a b")
    assert plain("a b", max_new_tokens=5) == generate(model, tokenizer, "a b", num_beams=4, max_new_tokens=5)
    # a caller's limit replaces the task's
    expected = generate(model, tokenizer, "translate English to German: a b", num_beams=2, max_new_tokens=3)
    assert translate("a b", max_new_tokens=3) == expected


def test_multilingual_models_get_their_languages():
    letters = {
        token: number for number, token in enumerate(["<s>", "<pad>", "</s>", "<unk>", "▁", "a", "b", "▁a", "▁b"])
    }
    tokenizer = NllbTokenizer(vocab=letters, merges=[("▁", "a"), ("▁", "b")])
    torch.manual_seed(0)
    config = M2M100Config(
        vocab_size=len(tokenizer), pad_token_id=1, bos_token_id=0, eos_token_id=2, decoder_start_token_id=2, **SMALL
    )
    model = M2M100ForConditionalGeneration(config).eval()
    languages = {"src_lang": "eng_Latn", "tgt_lang": "deu_Latn"}
    options = {"max_new_tokens": 4, "num_beams": 2}
    translate = pipeline("translation", model=model, tokenizer=tokenizer, **options)
    tokenizer.src_lang = "eng_Latn"
    forced = tokenizer.convert_tokens_to_ids("deu_Latn")
    expected = [generate(model, tokenizer, text, forced_bos_token_id=forced, **options)[0] for text in ("a b", "b")]
    assert translate(["a b", "b"], batch_size=2, **languages) == expected
    ids = translate("a b", return_tensors=True, **languages)[0]["translation_token_ids"]
    assert int(ids[1]) == forced
    named = pipeline("translation_eng_Latn_to_deu_Latn", model=model, tokenizer=tokenizer, **options)
    assert named(["a b", "b"]) == expected
    with pytest.raises(ValueError, match="requires a `src_lang` and a `tgt_lang`"):
        translate("a b")
