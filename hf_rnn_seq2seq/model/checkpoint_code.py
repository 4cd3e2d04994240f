"""The code that travels with every checkpoint, so that it loads where this package is not installed."""

import os
import shutil
from pathlib import Path

# named for transformers too: when it copies a file, it takes along those that the file imports this way
from .pipeline_rnn_seq2seq import TranslationPipeline
from .tokenization_rnn_seq2seq import RnnSeq2SeqTokenizer

NAMELESS = "this folder, or its name on the Hub"
# what a folder says of itself until somebody knows more
PLAIN_CARD = f"""---
library_name: transformers
pipeline_tag: translation
tags:
- rnn_seq2seq
- seq2seq
---

An RNN encoder-decoder, made with hf_rnn_seq2seq.

```python
from transformers import pipeline

translate = pipeline("translation", model="{NAMELESS}", trust_remote_code=True)
```
"""


def code_files() -> list[str]:
    """Names of the files beside this one."""
    return sorted(path.name for path in Path(__file__).parent.glob("*.py") if path.name != "__init__.py")


def copy_code(folder: str | os.PathLike) -> list[Path]:
    """Put the files beside this one into `folder`, which is made if it does not exist, and a card if it has none.

    Returns:
        The files of code written.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    names = code_files()
    for name in names:
        shutil.copyfile(Path(__file__).with_name(name), folder / name)
    card = folder / "README.md"
    if not card.exists():
        card.write_text(PLAIN_CARD, encoding="utf-8")
    return [folder / name for name in names]


__all__ = ["NAMELESS", "PLAIN_CARD", "RnnSeq2SeqTokenizer", "TranslationPipeline", "code_files", "copy_code"]
