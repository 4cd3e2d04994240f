"""The command: every sub-command on a tiny trained folder, in a process of its own where that is the promise."""

import html
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from accelerate.state import AcceleratorState
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

from hf_rnn_seq2seq import OnnxTranslator, score
from hf_rnn_seq2seq.cli import main
from hf_rnn_seq2seq.decoding.scoring import perplexity
from tests.training.conftest import recipe_words

ROOT = Path(__file__).parents[1]
LINES = ["May 3, 2020", "", "Mon, 1/2/1999 at 3:04 pm"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    AcceleratorState._reset_state(reset_partial_state=True)
    folder = tmp_path_factory.mktemp("cli") / "model"
    words = [
        "training.max_updates=3",
        "data.test={dataset: dates, split: test, max_examples: 4}",
        "generation.num_beams=2",
    ]
    assert main(["train", *recipe_words(folder, *words)]) == 0
    AcceleratorState._reset_state(reset_partial_state=True)
    return folder


@pytest.fixture
def source_file(tmp_path):
    path = tmp_path / "source.txt"
    path.write_text("\n".join(LINES) + "\n", encoding="utf-8")
    return path


def test_trained_folder_has_a_card_with_its_numbers(folder):
    card = (folder / "README.md").read_text(encoding="utf-8")
    facts = json.loads((folder / "results.json").read_text())
    assert f"{facts['num_parameters']:,}" in card
    assert all(
        f"{score['value']:.2f}" in card and score["signature"].replace("|", "\\|") in card for score in facts["test"]
    )
    assert "pipeline_tag: translation" in card
    assert "max_examples: 120" in card


def run_command(*words, stdin=""):
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    return subprocess.run(
        [sys.executable, "-m", "hf_rnn_seq2seq.cli", *map(str, words)],
        input=stdin,
        capture_output=True,
        text=True,
        env=environment,
        cwd=ROOT,
        check=True,
    )


def test_translate_from_standard_input_equals_generate(folder):
    output = run_command("translate", folder, stdin="\n".join(LINES)).stdout
    model, tokenizer = AutoModelForSeq2SeqLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    expected = []
    for line in LINES:
        inputs = tokenizer(line, return_tensors="pt")
        ids = model.generate(input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"])[0]
        expected.append(tokenizer.decode(ids, skip_special_tokens=True).strip() if line else "")
    assert output == "\n".join(expected) + "\n"


def test_translate_file_to_file_with_n_best_lists(folder, source_file, tmp_path):
    target = tmp_path / "target.txt"
    words = ["--input", source_file, "--output", target, "--n-best", "2", "--batch-size", "1", "--chunk-size", "2"]
    assert main(["translate", str(folder), *map(str, words)]) == 0
    rows = [line.split("\t") for line in target.read_text(encoding="utf-8").splitlines()]
    assert [row[0] for row in rows] == ["1", "1", "2", "3", "3"]
    assert rows[2][1:] == ["", ""]
    assert float(rows[0][1]) >= float(rows[1][1])


def test_evaluate_prints_a_line_and_writes_json(folder, tmp_path, capsys):
    words = ["--dataset", "dates", "--max-examples", "4", "--language", "de", "--json", str(tmp_path / "scores.json")]
    assert main(["evaluate", str(folder), *words]) == 0
    line = capsys.readouterr().out
    facts = json.loads((tmp_path / "scores.json").read_text(encoding="utf-8"))
    assert facts["num_examples"] == 4
    assert facts["generation"]["num_beams"] == 2
    for entry in facts["scores"]:
        assert f"{entry['name']} {entry['value']:.2f}" in line
        assert entry["signature"]
    # the same test set as in training gives the same scores
    assert facts["scores"][:4] == json.loads((folder / "results.json").read_text())["test"][:4]


@pytest.fixture
def pair_files(tmp_path):
    sources, targets = ["May 3, 2020", "1/2/1999"], ["3. Mai 2020", "2. Januar 1999"]
    paths = [tmp_path / "pairs.en", tmp_path / "pairs.de"]
    for path, lines in zip(paths, (sources, targets), strict=True):
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return ["--source-file", str(paths[0]), "--target-file", str(paths[1])], sources, targets


def test_pairs_are_scored_by_sentence_and_by_token(folder, pair_files, capsys):
    words, sources, targets = pair_files
    assert main(["score", str(folder), *words]) == 0
    captured = capsys.readouterr()
    rows = [line.split("\t") for line in captured.out.splitlines()]
    assert main(["score", str(folder), *words, "--by-token"]) == 0
    by_token = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    model, tokenizer = AutoModelForSeq2SeqLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    scores = score(model, tokenizer, sources, targets)
    for row, tokens, found in zip(rows, by_token, scores, strict=True):
        assert float(row[0]) == pytest.approx(found.log_probability, abs=1e-3)
        assert int(row[1]) == len(tokens) == len(found.tokens)
    assert f"perplexity {perplexity(scores):.4f} over 2 pairs" in captured.err
    # two of the same model are as likely as one
    assert main(["score", str(folder), *words, "--ensemble", str(folder)]) == 0
    assert capsys.readouterr().out == captured.out


def test_pairs_are_aligned_in_pharaoh_format(folder, pair_files, tmp_path):
    words, sources, targets = pair_files
    output = tmp_path / "alignments.txt"
    assert main(["align", str(folder), *words, "--output", str(output)]) == 0
    lines = output.read_text().splitlines()
    assert len(lines) == 2
    for line, source, target in zip(lines, sources, targets, strict=True):
        pairs = [tuple(map(int, pair.split("-"))) for pair in line.split()]
        # every target word has one source word
        assert sorted(target_word for _, target_word in pairs) == list(range(len(target.split())))
        assert all(source_word < len(source.split()) for source_word, _ in pairs)


def test_translations_come_with_alignments_from_several_models(folder, source_file, tmp_path):
    plain, together, alignments = (tmp_path / name for name in ("plain", "together", "alignments"))
    words = ["--input", str(source_file), "--max-new-tokens", "20"]
    assert main(["translate", str(folder), *words, "--output", str(plain)]) == 0
    words += ["--ensemble", str(folder), "--alignments", str(alignments), "--replace-unknown"]
    assert main(["translate", str(folder), *words, "--output", str(together)]) == 0
    assert together.read_text() == plain.read_text()
    assert len(alignments.read_text().splitlines()) == 3
    assert alignments.read_text().splitlines()[1] == ""


def test_attention_draws_a_picture(folder, tmp_path, capsys):
    picture = tmp_path / "map.png"
    assert main(["attention", str(folder), "May 3, 2020", "--target", "3. Mai 2020", "--output", str(picture)]) == 0
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert "3. Mai 2020" in capsys.readouterr().out


def test_page_of_translations_says_what_the_text_says(folder, source_file, tmp_path):
    page, target = tmp_path / "page.html", tmp_path / "target.txt"
    words = ["--input", source_file, "--output", target, "--html", page, "--batch-size", "2"]
    assert main(["translate", str(folder), *map(str, words)]) == 0
    assert target.read_text() == run_command("translate", folder, stdin="\n".join(LINES)).stdout
    text = page.read_text(encoding="utf-8")
    assert text.count("<details") == len(LINES)
    for line in target.read_text().splitlines():
        assert html.escape(line) in text


def test_page_shows_one_translation_of_each_line(folder, source_file, tmp_path, capsys):
    words = ["--input", source_file, "--n-best", "2", "--html", tmp_path / "page.html"]
    assert main(["translate", str(folder), *map(str, words)]) == 1
    assert "leave `--n-best` out" in capsys.readouterr().err


def test_finetune_goes_on_from_a_trained_folder(folder, tmp_path, capsys):
    words = [
        f"model={folder}",
        "data.train={dataset: dates, split: train, max_examples: 16}",
        "data.validation={dataset: dates, split: validation, max_examples: 4}",
        "data.test={dataset: dates, split: test, max_examples: 4}",
        f"training={{output_dir: {tmp_path}/tuned, max_steps: 2, eval_strategy: steps, save_strategy: steps}}",
        "training.eval_steps=2",
        "training.save_steps=2",
    ]
    assert main(["finetune", *words]) == 0
    output = capsys.readouterr().out
    assert "test before: BLEU" in output
    assert "test after: BLEU" in output
    assert (tmp_path / "tuned" / "model.safetensors").is_file()


def test_export_writes_onnx_that_translates(folder, tmp_path, capsys):
    assert main(["export", str(folder), str(tmp_path / "onnx"), "--no-int8"]) == 0
    assert "decoder_step.onnx" in capsys.readouterr().out
    expected = run_command("translate", folder, stdin="\n".join(LINES)).stdout
    assert "\n".join(OnnxTranslator(tmp_path / "onnx").translate(LINES)) + "\n" == expected


@pytest.mark.parametrize(("command", "module"), [("demo", "gradio"), ("export", "onnxruntime")])
def test_missing_extra_is_named(folder, tmp_path, capsys, monkeypatch, command, module):
    monkeypatch.setitem(sys.modules, module, None)
    for name in [name for name in sys.modules if name.startswith(("hf_rnn_seq2seq.demo", f"{module}."))]:
        monkeypatch.delitem(sys.modules, name)
    words = [str(folder), str(tmp_path / "out")][: 2 if command == "export" else 1]
    assert main([command, *words]) == 1
    assert 'pip install "hf-rnn-seq2seq[' in capsys.readouterr().err


@pytest.mark.parametrize("door", ["train", "finetune", "translate", "evaluate", "attention"])
def test_scripts_open_the_same_doors(door):
    result = subprocess.run(
        [sys.executable, f"scripts/{door}.py", "--help"], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert f"hf-rnn-seq2seq {door}" in result.stdout


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["train", "nowhere.yaml"], "nowhere.yaml"),
        (["train", "training.max_updates=1"], "A recipe must set `data`"),
        (["train", "a.yaml", "b.yaml"], "One recipe at a time, got a.yaml, b.yaml"),
        (["translate", "nowhere"], "nowhere"),
        (["push", "nowhere", "me/model"], "`folder` must hold a saved model, got nowhere"),
        (["push", "nowhere", "me//model", "--dry-run"], "Repo id must"),
        (
            ["finetune", "model=no/where", "data={train: {dataset: dates}, validation: {dataset: dates}}"]
            + ["training.output_dir=unused"],
            "`model` must be a folder or Hub id of a trained model, got 'no/where'",
        ),
        (["evaluate", "nowhere"], "exactly one of `dataset`"),
    ],
)
def test_mistakes_end_with_a_message_and_status_1(words, message, capsys):
    assert main(words) == 1
    assert message in capsys.readouterr().err


def test_translating_a_file_onto_itself_reads_it_first(folder, source_file):
    assert main(["translate", str(folder), "--input", str(source_file), "--output", str(source_file)]) == 0
    assert len(source_file.read_text(encoding="utf-8").splitlines()) == len(LINES)


def test_broken_input_is_named_and_leaves_no_output(folder, tmp_path, capsys):
    source, target = tmp_path / "source.txt", tmp_path / "target.txt"
    source.write_bytes(b"May 3\n\xff\n")
    assert main(["translate", str(folder), "--input", str(source), "--output", str(target)]) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["source.txt"]
    assert "source.txt is not valid UTF-8, at or after line" in capsys.readouterr().err


def test_missing_input_file_leaves_an_old_output_alone(folder, tmp_path):
    target = tmp_path / "target.txt"
    target.write_text("precious")
    assert main(["translate", str(folder), "--input", str(tmp_path / "nowhere"), "--output", str(target)]) == 1
    assert target.read_text() == "precious"
