"""Attention as HTML: whole, escaped, and without any other file."""

from html.parser import HTMLParser

from hf_rnn_seq2seq.demo.attention_page import render_attention, render_page, render_translations

ATTENTION = {
    "source_tokens": ["<b>", "▁&", "</s>"],
    "target_tokens": [" ", "x"],
    "weights": [[0.5, 0.5, 0], [0, 0, 1]],
}


class _Page(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.tags, self.links, self.texts = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.links += [value for name, value in attributes if name in ("src", "href")]

    def handle_data(self, data):
        self.texts.append(data)


def test_map_has_a_cell_for_each_weight_and_shows_tokens_as_text():
    page = _Page(render_attention(ATTENTION))
    assert page.tags.count("td") == 6
    assert page.tags.count("b") == 0
    assert {"<b>", "▁&", "</s>", "␣", "x"} <= set(page.texts)


def test_page_shows_every_sentence_and_needs_no_other_file():
    records = [
        {"source": "a < b", "translation_text": "x", "score": -0.5, "attention": ATTENTION},
        {"source": "", "translation_text": "", "score": None, "attention": None},
    ]
    page = _Page("".join(render_page(records, title="T & T")))
    assert page.links == []
    assert page.tags.count("details") == 2
    assert page.tags.count("table") == 1
    assert {"a < b", "x", "-0.50", "T & T"} <= set(page.texts)


def test_translations_come_with_their_scores():
    page = _Page(render_translations([{"score": -0.12345, "translation_text": "<i>"}]))
    assert {"-0.123", "<i>"} <= set(page.texts)
