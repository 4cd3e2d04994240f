"""The built-in corpus."""

import re

import pytest

from hf_rnn_seq2seq.data.dates import generate_dates
from hf_rnn_seq2seq.data.parallel_text import ParallelText

GERMAN_DAY = re.compile(r"\d{1,2}\. \w+ \d{4}")


def days(split, size=3000):
    return {GERMAN_DAY.search(german).group() for _, german in generate_dates(split, size)}


def test_no_day_stands_in_two_splits():
    train, validation, test = days("train"), days("validation"), days("test")
    assert min(len(train), len(validation), len(test)) > 1000
    assert not train & validation
    assert not train & test
    assert not validation & test


def test_corpus_depends_on_the_seed_only():
    assert list(generate_dates("train", 50)) == list(generate_dates("train", 50))
    assert list(generate_dates("train", 50)) != list(generate_dates("train", 50, seed=1))


def test_german_form_is_the_same_date_in_full():
    pairs = dict(generate_dates("train", 4000))
    for english, german in pairs.items():
        year = GERMAN_DAY.search(german).group()[-4:]
        assert year in english
        assert ("Uhr" in german) == bool(re.search(r"\d:\d\d", english))
        weekday_given = re.match(r"(mon|tue|wed|thu|fri|sat|sun)", english.lower()) is not None
        assert (re.match(r"\w+tag|Mittwoch", german) is not None) == weekday_given


def test_english_forms_are_many():
    shapes = {
        re.sub(r"[a-z]+", "w", re.sub(r"\d+", "9", english.lower())) for english, _ in generate_dates("train", 3000)
    }
    assert len(shapes) > 100


def test_loader_knows_the_corpus_by_name():
    assert list(ParallelText(dataset="dates", split="test", max_examples=5).pairs()) == list(generate_dates("test", 5))


def test_unknown_split_is_refused():
    with pytest.raises(ValueError, match="must be one of train, validation, test, got 'dev'"):
        list(generate_dates("dev", 1))
