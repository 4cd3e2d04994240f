"""One loader for parallel text: Hub datasets, local files of every common kind, and the built-in corpus."""

import csv
import gzip
import hashlib
import io
import itertools
import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING

from .dates import generate_dates

if TYPE_CHECKING:
    from datasets import Dataset, IterableDataset

logger = logging.getLogger(__name__)

BUILT_IN = "dates"
_BUILT_IN_SIZES = {"train": 20000, "validation": 500, "test": 1000}
# ending of a file -> builder of the `datasets` library
_TABLE_KINDS = {".json": "json", ".jsonl": "json", ".ndjson": "json", ".parquet": "parquet"}


@dataclass
class ParallelText:
    """Where one split of parallel text comes from. Give exactly one of `dataset`, `file` and the two text files.

    Args:
        dataset (`str`, *optional*): id of a dataset on the Hub, path of a folder that `datasets` can load, or
            `"dates"`, the built-in corpus of English dates and their German form.
        dataset_config (`str`, *optional*): configuration of that dataset.
        split (`str`): its split.
        file (`str`, *optional*): one file that holds both sides: .json, .jsonl, .csv, .tsv or .parquet, also .gz
            (not Parquet).
        source_file (`str`, *optional*): plain text, one sentence a line, also .gz.
        target_file (`str`, *optional*): the translations, line by line.
        source (`str`, *optional*): column of the source, or its language in a `translation` column. Not needed for
            the two text files, a .tsv (first column) and the built-in corpus.
        target (`str`, *optional*): the same for the target.
        streaming (`bool`): read while training instead of loading; for what does not fit in memory.
        skip_bad_lines (`bool`): drop and count pairs with an empty side, and lines of plain text or .tsv that are not
            UTF-8, instead of refusing.
        max_examples (`int`, *optional*): take only the first pairs.
    """

    dataset: str | None = None
    dataset_config: str | None = None
    split: str = "train"
    file: str | None = None
    source_file: str | None = None
    target_file: str | None = None
    source: str | None = None
    target: str | None = None
    streaming: bool = False
    skip_bad_lines: bool = False
    max_examples: int | None = None
    skipped: dict[str, int] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self):
        given = [name for name in ("dataset", "file", "source_file") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(
                "Parallel text needs exactly one of `dataset`, `file` and `source_file` with `target_file`, got "
                f"{' and '.join(f'`{name}`' for name in given) or 'none of them'}."
            )
        if (self.source_file is None) != (self.target_file is None):
            raise ValueError("`source_file` and `target_file` go together, got only one of them.")

    def __str__(self) -> str:
        name = self.dataset or self.file or f"{self.source_file} and {self.target_file}"
        return f"{name} ({self.split})" if self.dataset else name

    def pairs(self) -> Iterator[tuple[str, str]]:
        """All pairs `(source, target)`, stripped of surrounding white space.

        Raises:
            FileNotFoundError: if a file is missing.
            ValueError: if line counts differ, a column is missing, or, without `skip_bad_lines`, a side is empty or
                not UTF-8; the message names file and line.
        """
        self.skipped.clear()
        pairs = itertools.islice(self._read_pairs(), self.max_examples)
        for place, source, target in pairs:
            if source is None or target is None:
                self._skip(f"{place} is not valid UTF-8", "undecodable")
                continue
            source, target = source.strip(), target.strip()
            if not source or not target:
                self._skip(f"{place} has an empty {'target' if source else 'source'}", "empty")
                continue
            yield source, target
        for reason, count in self.skipped.items():
            logger.warning("%s: skipped %d pairs (%s)", self, count, reason)

    def fingerprint(self) -> str:
        """First half of the SHA-256 of all pairs in order, each as `source TAB target NEWLINE` in UTF-8."""
        digest = hashlib.sha256()
        for source, target in self.pairs():
            digest.update(f"{source}\t{target}\n".encode())
        return digest.hexdigest()[:32]

    def load(self) -> "Dataset | IterableDataset":
        """The pairs as a `datasets` dataset with columns `source` and `target`, iterable if `streaming`."""
        from datasets import Dataset, IterableDataset

        if self.streaming:
            return IterableDataset.from_generator(self._rows)
        pairs = list(self.pairs())
        return Dataset.from_dict({"source": [s for s, _ in pairs], "target": [t for _, t in pairs]})

    def _rows(self) -> Iterator[dict[str, str]]:
        for source, target in self.pairs():
            yield {"source": source, "target": target}

    def _skip(self, what: str, reason: str) -> None:
        if not self.skip_bad_lines:
            raise ValueError(f"{what}; repair it, or set `skip_bad_lines=True` to drop and count such pairs.")
        self.skipped[reason] = self.skipped.get(reason, 0) + 1

    def _read_pairs(self) -> Iterator[tuple[str, str | None, str | None]]:
        """`(place, source, target)`; a side is None where its bytes are not UTF-8."""
        if self.dataset == BUILT_IN:
            size = self.max_examples or _BUILT_IN_SIZES.get(self.split, 0)
            for number, pair in enumerate(generate_dates(self.split, size), start=1):
                yield f"{BUILT_IN}, pair {number}", *pair
        elif self.source_file is not None:
            yield from _read_two_files(Path(self.source_file), Path(self.target_file))
        elif self.file is not None and ".tsv" in Path(self.file).suffixes[-2:]:
            yield from _read_tsv(Path(self.file), self.source, self.target)
        elif self.file is not None and ".csv" in Path(self.file).suffixes[-2:]:
            yield from _read_csv(Path(self.file), self.source, self.target)
        else:
            rows = self._load_file() if self.file is not None else self._load_hub_dataset()
            yield from self._read_rows(rows)

    def _read_rows(self, rows) -> Iterator[tuple[str, str, str]]:
        number = 0
        try:
            for number, row in enumerate(rows, start=1):
                yield f"{self}, row {number}", *_pick_columns(row, self.source, self.target, str(self))
        except UnicodeDecodeError as error:
            raise ValueError(f"{self}, row {number + 1} is not valid UTF-8: {error}; convert the file.") from error

    def _load_file(self):
        from datasets.exceptions import DatasetGenerationError

        try:
            return self._load_table()
        except DatasetGenerationError as error:
            raise ValueError(
                f"{self.file} could not be read as {_table_kind(Path(self.file))}: {error.__cause__}"
            ) from error

    def _load_table(self):
        from datasets import load_dataset

        path = Path(self.file)
        if not path.is_file():
            raise FileNotFoundError(f"Parallel text does not exist: {path}")
        return load_dataset(_table_kind(path), data_files=str(path), split="train", streaming=self.streaming)

    def _load_hub_dataset(self):
        from datasets import load_dataset

        return load_dataset(self.dataset, self.dataset_config, split=self.split, streaming=self.streaming)


def _table_kind(path: Path) -> str:
    """The builder of `datasets` for a file, by its ending, with or without .gz behind it."""
    kinds = [_TABLE_KINDS[suffix] for suffix in path.suffixes[-2:] if suffix in _TABLE_KINDS]
    if not kinds:
        raise ValueError(
            f"`file` must end in .tsv, .csv, {', '.join(_TABLE_KINDS)} (also .gz), got {path.name!r}; give plain text "
            "as `source_file` and `target_file`."
        )
    return kinds[-1]


def _open_binary(path: Path) -> IO[bytes]:
    if not path.is_file():
        raise FileNotFoundError(f"Parallel text does not exist: {path}")
    return gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb")


def _decode(line: bytes) -> str | None:
    try:
        return line.decode("utf-8-sig")
    except UnicodeDecodeError:
        return None


def _read_two_files(source_path: Path, target_path: Path) -> Iterator[tuple[str, str | None, str | None]]:
    # binary: only newlines end a line, whatever other line separators the text holds
    with _open_binary(source_path) as sources, _open_binary(target_path) as targets:
        for number, (source, target) in enumerate(itertools.zip_longest(sources, targets), start=1):
            if source is None or target is None:
                shorter, longer = (source_path, target_path) if source is None else (target_path, source_path)
                num_more = number + sum(1 for _ in (targets if source is None else sources))
                raise ValueError(
                    f"Parallel files must have the same number of lines, got {number - 1} in {shorter} and {num_more} "
                    f"in {longer}; find where they fall out of step before training on them."
                )
            yield f"{source_path} / {target_path.name}, line {number}", _decode(source), _decode(target)


def _read_tsv(path: Path, source: str | None, target: str | None) -> Iterator[tuple[str, str | None, str | None]]:
    """Tab-separated text without quoting; with column names the first line is a header, else columns 1 and 2."""
    columns = (0, 1)
    with _open_binary(path) as lines:
        for number, line in enumerate(lines, start=1):
            text = _decode(line)
            if text is None:
                yield f"{path}, line {number}", None, None
                continue
            cells = text.rstrip("\r\n").split("\t")
            if number == 1 and source is not None and target is not None:
                _check_columns(cells, source, target, str(path))
                columns = cells.index(source), cells.index(target)
                continue
            if len(cells) <= max(columns):
                raise ValueError(
                    f"{path}, line {number} must have at least {max(columns) + 1} tab-separated columns, got "
                    f"{len(cells)}."
                )
            yield f"{path}, line {number}", cells[columns[0]], cells[columns[1]]


def _read_csv(path: Path, source: str | None, target: str | None) -> Iterator[tuple[str, str, str]]:
    """Comma-separated text with a header; every cell is text, whatever number or "null" it looks like."""
    with _open_binary(path) as file:
        rows = csv.DictReader(io.TextIOWrapper(file, encoding="utf-8-sig", newline=""))
        try:
            for row in rows:
                yield f"{path}, line {rows.line_num}", *_pick_columns(row, source, target, str(path))
        except UnicodeDecodeError as error:
            raise ValueError(f"{path} is not valid UTF-8, at or after line {rows.line_num + 1}: {error}") from error


def _pick_columns(row: dict, source: str | None, target: str | None, where: str) -> tuple[str, str]:
    if source is None or target is None:
        names = sorted(row["translation"]) if isinstance(row.get("translation"), dict) else sorted(row)
        raise ValueError(
            f"`source` and `target` must name the columns (or languages) of {where}, got {source!r} and {target!r}; "
            f"there are: {', '.join(names)}."
        )
    if isinstance(row.get("translation"), dict):
        row = row["translation"]
    _check_columns(row, source, target, where)
    for name in (source, target):
        if row[name] is not None and not isinstance(row[name], str):
            raise ValueError(f"Column {name!r} of {where} must hold text, got {row[name]!r}.")
    return row[source] or "", row[target] or ""


def _check_columns(names, source: str, target: str, where: str) -> None:
    missing = [name for name in (source, target) if name not in names]
    if missing:
        raise ValueError(
            f"{where} has no column (or language) {' and '.join(map(repr, missing))}; there are: {', '.join(names)}."
        )
