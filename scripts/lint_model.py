"""Check `hf_rnn_seq2seq/model/` against the contracts that transformers lints its own models for.

python scripts/lint_model.py
"""

import re
import subprocess
import sys
import tempfile
from importlib.resources import files
from pathlib import Path

MODEL = Path(__file__).parents[1] / "hf_rnn_seq2seq" / "model"
# rules for models that live inside transformers, not for a package of their own
LEFT_OUT = {
    "TRF028": "the licence stands in LICENSE, not in every file",
    "TRF045": "`capture_outputs` hooks layers that are called once; ours are also stepped",
    "TRF057": "`auto_docstring` takes sentences from transformers' documentation build; ours are written out",
}


def main() -> int:
    """Exit status of transformers-mlinter."""
    rules = files("mlinter").joinpath("rules.toml").read_text(encoding="utf-8")
    for rule in LEFT_OUT:
        rules, found = re.subn(rf"(\[rules\.{rule}\][^\[]*?default_enabled = )true", r"\1false", rules)
        if not found:
            raise ValueError(f"transformers-mlinter has no enabled rule {rule}; take it out of `LEFT_OUT`.")
    with tempfile.NamedTemporaryFile("w", suffix=".toml", encoding="utf-8") as file:
        file.write(rules)
        file.flush()
        command = [
            sys.executable,
            "-m",
            "mlinter",
            "--rules-toml",
            file.name,
            "--no-progress",
            "--no-cache",
            str(MODEL),
        ]
        return subprocess.run(command, check=False).returncode


if __name__ == "__main__":
    raise SystemExit(main())
