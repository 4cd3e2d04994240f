"""Lines of text from and to files or standard streams."""

import contextlib
import itertools
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO


def open_input(path: Path | None) -> contextlib.AbstractContextManager[TextIO]:
    """A file to read, or standard input."""
    return contextlib.nullcontext(sys.stdin) if path is None else path.open(encoding="utf-8", newline="\n")


def decode_lines(file: TextIO, name: Path | str) -> Iterator[str]:
    """The lines of a file, `name` in messages.

    Raises:
        ValueError: at the first that is not UTF-8.
    """
    for number in itertools.count(1):
        try:
            line = next(file, None)
        except UnicodeDecodeError as error:
            raise ValueError(f"{name} is not valid UTF-8, at or after line {number}: {error}") from error
        if line is None:
            return
        yield line


@contextlib.contextmanager
def open_output(path: Path | None) -> Iterator[TextIO]:
    """Standard output, or a file that takes its place only when it is complete."""
    if path is None:
        yield sys.stdout
        return
    draft = path.with_name(f"{path.name}.unfinished")
    try:
        with draft.open("w", encoding="utf-8") as file:
            yield file
        os.replace(draft, path)
    finally:
        draft.unlink(missing_ok=True)
