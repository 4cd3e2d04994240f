"""Loading parallel text of every kind, and what broken text is told."""

import gzip
import json

import pytest
from datasets import Dataset

from hf_rnn_seq2seq.data.parallel_text import ParallelText

PAIRS = [("a b", "x y"), ('say "c"', "z"), ("dé\u2028f", "ü")]


def write_text_files(folder, sources=None, targets=None, opener=open, suffix=""):
    paths = []
    for name, lines in (("s", sources), ("t", targets)):
        side = 0 if name == "s" else 1
        lines = [pair[side] for pair in PAIRS] if lines is None else lines
        path = folder / f"{name}.txt{suffix}"
        with opener(path, "wb") as file:
            file.write(b"".join((line if isinstance(line, bytes) else line.encode()) + b"\n" for line in lines))
        paths.append(str(path))
    return {"source_file": paths[0], "target_file": paths[1]}


@pytest.mark.parametrize(("opener", "suffix"), [(open, ""), (gzip.open, ".gz")])
def test_two_text_files_are_read_side_by_side_and_split_at_newlines_only(tmp_path, opener, suffix):
    assert list(ParallelText(**write_text_files(tmp_path, opener=opener, suffix=suffix)).pairs()) == PAIRS


def write_table(folder, kind):
    rows = [{"id": number, "src": source, "tgt": target} for number, (source, target) in enumerate(PAIRS)]
    path = folder / f"pairs.{kind}"
    if kind == "jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    elif kind == "json":
        path.write_text(json.dumps(rows), encoding="utf-8")
    elif kind == "csv":
        Dataset.from_list(rows).to_csv(str(path), index=False)
    elif kind == "parquet":
        Dataset.from_list(rows).to_parquet(str(path))
    elif kind == "tsv":
        path.write_text("id\tsrc\ttgt\n" + "".join(f"{i}\t{s}\t{t}\n" for i, (s, t) in enumerate(PAIRS)), "utf-8")
    return str(path)


@pytest.mark.parametrize("kind", ["jsonl", "json", "csv", "parquet", "tsv"])
@pytest.mark.parametrize("streaming", [False, True])
def test_tables_are_read_by_column(tmp_path, monkeypatch, kind, streaming):
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    text = ParallelText(file=write_table(tmp_path, kind), source="src", target="tgt", streaming=streaming)
    assert list(text.pairs()) == PAIRS


@pytest.mark.parametrize("kind", ["csv", "tsv"])
def test_cells_are_text_whatever_they_look_like(tmp_path, monkeypatch, kind):
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    path = tmp_path / f"numbers.{kind}"
    separator = {"csv": ",", "tsv": "\t"}[kind]
    rows = [("src", "tgt"), ("007", "null"), ("12", "nan")]
    path.write_text("".join(separator.join(row) + "\n" for row in rows))
    assert list(ParallelText(file=str(path), source="src", target="tgt").pairs()) == rows[1:]


def test_columns_that_hold_no_text_are_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "numbers.jsonl"
    path.write_text('{"src": 7, "tgt": "sieben"}\n')
    with pytest.raises(ValueError, match="Column 'src' of .* must hold text, got 7"):
        list(ParallelText(file=str(path), source="src", target="tgt").pairs())


def test_tsv_without_names_takes_the_first_two_columns(tmp_path):
    path = tmp_path / "pairs.tsv.gz"
    with gzip.open(path, "wb") as file:
        file.write("".join(f"{s}\t{t}\tmore\n" for s, t in PAIRS).encode())
    assert list(ParallelText(file=str(path)).pairs()) == PAIRS


def test_translation_feature_is_read_by_language(tmp_path):
    path = tmp_path / "pairs.jsonl"
    path.write_text("".join(json.dumps({"translation": {"en": s, "de": t}}) + "\n" for s, t in PAIRS), "utf-8")
    assert list(ParallelText(file=str(path), source="en", target="de").pairs()) == PAIRS
    # a dataset on the Hub goes the same way; a local folder stands in for it
    assert list(ParallelText(dataset=str(tmp_path), source="en", target="de").pairs()) == PAIRS
    with pytest.raises(ValueError, match=r"no column \(or language\) 'fr'; there are: en, de"):
        list(ParallelText(file=str(path), source="en", target="fr").pairs())
    with pytest.raises(ValueError, match="must name the columns"):
        list(ParallelText(file=str(path)).pairs())


def test_unequal_line_counts_name_both_files_and_counts(tmp_path):
    files = write_text_files(tmp_path, targets=["x"])
    with pytest.raises(ValueError, match=r"same number of lines, got 1 in .*t\.txt and 3 in .*s\.txt"):
        list(ParallelText(**files).pairs())


@pytest.mark.parametrize(
    ("sources", "message", "reason"),
    [
        (["a", "", "c"], r"line 2 has an empty source", "empty"),
        (["a", b"\xff", "c"], "line 2 is not valid UTF-8", "undecodable"),
    ],
)
def test_bad_lines_are_refused_by_place_or_skipped_and_counted(tmp_path, caplog, sources, message, reason):
    files = write_text_files(tmp_path, sources=sources)
    with pytest.raises(ValueError, match=message):
        list(ParallelText(**files).pairs())
    text = ParallelText(**files, skip_bad_lines=True)
    assert list(text.pairs()) == [("a", "x y"), ("c", "ü")]
    assert text.skipped == {reason: 1}
    assert f"skipped 1 pairs ({reason})" in caplog.text
    # counted anew each time
    list(text.pairs())
    assert text.skipped == {reason: 1}


@pytest.mark.parametrize("kind", ["jsonl", "csv"])
def test_undecodable_table_is_named(tmp_path, monkeypatch, kind):
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    path = tmp_path / f"pairs.{kind}"
    path.write_bytes({"jsonl": b'{"src": "\xff", "tgt": "x"}\n', "csv": b"src,tgt\n\xff,x\n"}[kind])
    with pytest.raises(ValueError, match=rf"pairs\.{kind}.*(could not be read as|is not valid UTF-8)"):
        list(ParallelText(file=str(path), source="src", target="tgt").pairs())


def test_tsv_with_too_few_columns_names_the_line(tmp_path):
    path = tmp_path / "pairs.tsv"
    path.write_text("a\tx\nb\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"pairs\.tsv, line 2 must have at least 2 tab-separated columns, got 1"):
        list(ParallelText(file=str(path)).pairs())


def test_max_examples_takes_the_first_pairs(tmp_path):
    assert list(ParallelText(**write_text_files(tmp_path), max_examples=2).pairs()) == PAIRS[:2]


@pytest.mark.parametrize("streaming", [False, True])
def test_load_gives_a_dataset_with_two_columns(tmp_path, streaming):
    dataset = ParallelText(**write_text_files(tmp_path), streaming=streaming).load()
    assert [(row["source"], row["target"]) for row in dataset] == PAIRS


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({}, "got none of them"),
        ({"dataset": "dates", "file": "x.csv"}, "got `dataset` and `file`"),
        ({"source_file": "x"}, "`source_file` and `target_file` go together"),
    ],
)
def test_sources_that_contradict_are_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        ParallelText(**fields)


def test_missing_or_unknown_files_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        list(ParallelText(source_file="nowhere", target_file="nowhere").pairs())
    with pytest.raises(FileNotFoundError, match="Parallel text does not exist: nowhere.csv"):
        list(ParallelText(file="nowhere.csv", source="a", target="b").pairs())
    with pytest.raises(FileNotFoundError, match="Parallel text does not exist: nowhere.parquet"):
        list(ParallelText(file="nowhere.parquet", source="a", target="b").pairs())
    (tmp_path / "x.txt").write_text("a\n")
    with pytest.raises(ValueError, match="`file` must end in .tsv"):
        list(ParallelText(file=str(tmp_path / "x.txt")).pairs())
