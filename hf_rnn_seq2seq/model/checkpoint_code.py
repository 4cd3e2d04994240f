"""The code that travels with every checkpoint, so that it loads where this package is not installed."""

import os
import shutil
from pathlib import Path

# named for transformers too: when it copies a file, it takes along those that the file imports this way
from .pipeline_rnn_seq2seq import TranslationPipeline
from .tokenization_rnn_seq2seq import RnnSeq2SeqTokenizer


def copy_code(folder: str | os.PathLike) -> list[Path]:
    """Put the files beside this one into `folder`, which is made if it does not exist.

    Returns:
        The files written.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    sources = [path for path in sorted(Path(__file__).parent.glob("*.py")) if path.name != "__init__.py"]
    for source in sources:
        shutil.copyfile(source, folder / source.name)
    return [folder / source.name for source in sources]


__all__ = ["RnnSeq2SeqTokenizer", "TranslationPipeline", "copy_code"]
