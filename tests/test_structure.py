"""The layout's rules: imports go downwards only, the model's files import nothing of ours but each other."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import hf_rnn_seq2seq

PACKAGE = Path(__file__).parents[1] / "hf_rnn_seq2seq"
# a room may import from the rooms after it
ROOMS = ["cli", "benchmark", "training", "export", "hub", "decoding", "data", "model", "demo"]
FILES = sorted(path for path in PACKAGE.rglob("*.py") if path.name != "__init__.py")


def imported_rooms(path):
    """Names of our rooms that a file imports, wherever the import stands."""
    depth = len(path.relative_to(PACKAGE).parts)
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level:
            inside = node.level < depth
            yield path.relative_to(PACKAGE).parts[0] if inside else (node.module or "").split(".")[0]
        elif isinstance(node, ast.ImportFrom | ast.Import):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else [name.name for name in node.names]
            assert not any(name.startswith("hf_rnn_seq2seq") for name in names), "relative imports within the package"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_go_downwards(path):
    room = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    for imported in imported_rooms(path):
        if imported in ROOMS and imported != room:
            assert room in ROOMS, f"{room} may import nothing of ours"
            assert ROOMS.index(imported) > ROOMS.index(room), f"{room} must not import {imported}"


@pytest.mark.parametrize("path", sorted((PACKAGE / "model").glob("*_*.py")), ids=lambda path: path.name)
def test_model_files_import_only_torch_transformers_and_siblings(path):
    allowed = {"torch", "transformers", "tokenizers", "huggingface_hub", *sys.stdlib_module_names}
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level:
            assert node.level == 1
            assert (PACKAGE / "model" / f"{node.module}.py").is_file()
        elif isinstance(node, ast.ImportFrom):
            assert node.module.split(".")[0] in allowed
        elif isinstance(node, ast.Import):
            assert all(name.name.split(".")[0] in allowed for name in node.names)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_files_are_small(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 600


def test_import_needs_neither_datasets_nor_evaluate_nor_plots():
    late = ["datasets", "evaluate", "matplotlib", "sacrebleu", "babel", "sacremoses", "jiwer", "gradio", "onnxruntime"]
    code = f"import sys, hf_rnn_seq2seq; print([name for name in {late} if name in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_every_public_name_is_there():
    for name in hf_rnn_seq2seq.__all__:
        assert getattr(hf_rnn_seq2seq, name).__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = hf_rnn_seq2seq.nothing
