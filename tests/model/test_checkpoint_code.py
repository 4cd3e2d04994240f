"""Folders that work with and without the package, written by it, by transformers alone, and saved again."""

import filecmp
import json
import subprocess
import sys
from pathlib import Path

import pytest
from huggingface_hub import ModelCard
from transformers import AutoConfig, AutoModelForSeq2SeqLM, AutoTokenizer, pipeline
from transformers.dynamic_module_utils import get_relative_import_files

import hf_rnn_seq2seq.model
from hf_rnn_seq2seq import RnnSeq2SeqConfig, train_tokenizer
from hf_rnn_seq2seq.model.checkpoint_code import copy_code
from tests.conftest import build_model
from tests.without_package import run_without_package

MODEL_FILES = Path(hf_rnn_seq2seq.model.__file__).parent
TEXT = "b a c"
LOAD = """
from transformers import AutoConfig, AutoModel, AutoModelForSeq2SeqLM, AutoTokenizer, GenerationConfig, pipeline
parts = [AutoConfig, AutoModel, AutoModelForSeq2SeqLM, AutoTokenizer]
config, bare, model, tokenizer = [part.from_pretrained({folder!r}, trust_remote_code=True) for part in parts]
assert GenerationConfig.from_pretrained({folder!r}).num_beams == 2
assert type(bare).__name__ == "RnnSeq2SeqModel", type(bare)
translate = pipeline("translation", model={folder!r}, trust_remote_code=True)
print(translate({text!r})[0]["translation_text"])
"""


@pytest.fixture(params=["joint", "separate"])
def folder(request, tmp_path):
    joint = request.param == "joint"
    tokenizer = train_tokenizer(["a b c"], ["x y z w"], kind="word", joint=joint)
    sizes = {"vocab_size": len(tokenizer), "tie_word_embeddings": joint}
    if not joint:
        sizes |= {"decoder_vocab_size": tokenizer.target_vocab_size, "share_encoder_decoder_embeddings": False}
    model = build_model(**sizes).float()
    model.generation_config.update(num_beams=2, min_new_tokens=3, max_new_tokens=6)
    model.save_pretrained(tmp_path / "model")
    tokenizer.save_pretrained(tmp_path / "model")
    return tmp_path / "model"


def translate_with_package(folder):
    return pipeline("translation", model=str(folder))(TEXT)[0]["translation_text"]


def test_every_file_of_the_model_travels_and_is_found_by_transformers(tmp_path):
    names = {path.name for path in MODEL_FILES.glob("*.py")} - {"__init__.py"}
    assert {path.name for path in copy_code(tmp_path / "new")} == names
    start = MODEL_FILES / "modeling_rnn_seq2seq.py"
    assert {Path(path).name for path in get_relative_import_files(start)} | {start.name} == names


def test_folder_holds_code_and_weights_in_safetensors_only(folder):
    others = [path.name for path in folder.iterdir() if path.suffix not in (".py", ".json")]
    assert sorted(others) == ["README.md", "model.safetensors"]
    assert ModelCard.load(folder / "README.md").data.pipeline_tag == "translation"
    config = json.loads((folder / "config.json").read_text())
    files = [*config["auto_map"].values(), config["custom_pipelines"]["translation"]["impl"]]
    assert len(files) == 4
    assert all((folder / f"{name.partition('.')[0]}.py").is_file() for name in files)


def test_package_loads_it_without_remote_code_or_question(folder):
    config = AutoConfig.from_pretrained(folder)
    assert type(config) is RnnSeq2SeqConfig
    # where transformers finds pipelines of the checkpoint's own, it asks for trust
    assert "custom_pipelines" not in vars(config)
    assert translate_with_package(folder)


def test_translates_without_the_package_as_with_it(folder, tmp_path):
    output = run_without_package(LOAD.format(folder=str(folder), text=TEXT), tmp_path)
    assert output.rstrip("\n") == translate_with_package(folder)


def test_saving_again_without_the_package_loses_nothing(folder, tmp_path):
    save = """
model.save_pretrained("again")
tokenizer.save_pretrained("again")
translate.save_pretrained("by_pipeline")
"""
    run_without_package(LOAD.format(folder=str(folder), text=TEXT) + save, tmp_path)
    expected = translate_with_package(folder)
    for name in ("again", "by_pipeline"):
        again = tmp_path / name
        # a tokenizer that was loaded notes so in its settings
        names = [path.name for path in folder.iterdir() if path.name != "tokenizer_config.json"]
        assert filecmp.cmpfiles(folder, again, names, shallow=False) == (names, [], [])
        assert translate_with_package(again) == expected
        output = run_without_package(LOAD.format(folder=str(again), text=TEXT), tmp_path)
        assert output.rstrip("\n") == expected


def test_saving_again_with_the_package_loses_nothing(folder, tmp_path):
    again = tmp_path / "again"
    AutoModelForSeq2SeqLM.from_pretrained(folder).save_pretrained(again)
    AutoTokenizer.from_pretrained(folder).save_pretrained(again)
    names = [path.name for path in folder.iterdir() if path.name != "tokenizer_config.json"]
    assert filecmp.cmpfiles(folder, again, names, shallow=False) == (names, [], [])


def test_blocked_package_cannot_be_imported(tmp_path):
    with pytest.raises(AssertionError, match="No module named 'hf_rnn_seq2seq', as wanted"):
        run_without_package("import hf_rnn_seq2seq", tmp_path)
    assert subprocess.run([sys.executable, "-c", "import hf_rnn_seq2seq"]).returncode == 0
