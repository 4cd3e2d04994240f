"""Run code in a Python that cannot import this package, as users do who only have transformers."""

import os
import subprocess
import sys
from pathlib import Path

_BLOCK = """
import sys

class Block:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "hf_rnn_seq2seq":
            raise ModuleNotFoundError(f"No module named {name!r}, as wanted")

sys.meta_path.insert(0, Block())
"""


def run_without_package(code: str, folder: Path, **environment: str) -> str:
    """Standard output of `code`, run in `folder` with a cache of remote code of its own.

    Raises:
        AssertionError: if it fails; the message is its standard error.
    """
    variables = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_MODULES_CACHE": str(folder / "modules"), **environment}
    result = subprocess.run(
        [sys.executable, "-P", "-c", _BLOCK + code], capture_output=True, text=True, cwd=folder, env=variables
    )
    assert result.returncode == 0, result.stderr
    return result.stdout
