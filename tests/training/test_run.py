"""Whole runs of a tiny recipe: the folder they leave, resuming, processes, and what a recipe may say."""

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from accelerate.state import AcceleratorState
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer, GenerationConfig

from hf_rnn_seq2seq.data.parallel_text import ParallelText
from hf_rnn_seq2seq.training.loop import TrainingLoop
from hf_rnn_seq2seq.training.run import train
from tests.training.conftest import read_log, recipe_words, tiny_recipe, train_losses

ROOT = Path(__file__).parents[2]


def weights(folder):
    return AutoModelForSeq2SeqLM.from_pretrained(folder).state_dict()


def assert_same_weights(folder, other):
    ours, theirs = weights(folder), weights(other)
    assert ours.keys() == theirs.keys()
    for name, tensor in ours.items():
        torch.testing.assert_close(tensor, theirs[name], rtol=0, atol=0, msg=name)


def test_run_leaves_a_folder_that_loads_and_translates(tmp_path):
    words = [
        "training.max_epochs=2",
        "data.test={dataset: dates, split: test, max_examples: 6}",
        "data.target_language=de",
    ]
    facts = train(tiny_recipe(tmp_path, *words))
    assert (facts["updates"], facts["epochs"], facts["num_training_pairs"]) == (12, 2, 120)
    assert facts["target_tokens_per_second"] > 0
    assert [score["name"] for score in facts["test"]] == [
        "BLEU",
        "chrF",
        "TER",
        "exact match",
        "BLEU (lower-cased, Moses)",
    ]
    assert json.loads((tmp_path / "results.json").read_text()) == facts
    model, tokenizer = AutoModelForSeq2SeqLM.from_pretrained(tmp_path), AutoTokenizer.from_pretrained(tmp_path)
    assert GenerationConfig.from_pretrained(tmp_path).max_new_tokens == 8
    assert model.config.vocab_size == len(tokenizer)
    inputs = tokenizer("May 3, 2020", return_tensors="pt")
    assert model.generate(**inputs).shape[0] == 1
    for name in ("learning_curves.png", "recipe.yaml", "test_translations.txt"):
        assert (tmp_path / name).stat().st_size > 0
    log = read_log(tmp_path)
    assert [entry["update"] for entry in log if "validation_loss" in entry] == [6, 12]
    validation = log[-1]
    assert validation["validation_perplexity"] == pytest.approx(math.exp(validation["validation_loss"]))
    assert {"validation_bleu", "validation_chrf", "validation_exact_match", "samples"} <= validation.keys()


def test_training_lowers_the_loss(tmp_path):
    train(
        tiny_recipe(
            tmp_path, "training.max_epochs=12", "training.learning_rate=0.01", "training.lr_scheduler=constant"
        )
    )
    losses = train_losses(tmp_path)
    assert losses[-1] < 0.8 * losses[0]


def test_same_seed_gives_the_same_run_and_another_does_not(tmp_path):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        train(tiny_recipe(tmp_path / name, "training.max_updates=3", f"training.seed={seed}"))
    assert train_losses(tmp_path / "a") == train_losses(tmp_path / "b")
    assert_same_weights(tmp_path / "a", tmp_path / "b")
    assert train_losses(tmp_path / "a") != train_losses(tmp_path / "c")


@pytest.mark.parametrize("schedule", ["inverse_sqrt", "plateau"])
def test_resumed_run_equals_an_uninterrupted_one_to_the_bit(tmp_path, schedule):
    # 6 updates an epoch: the interruption falls into the second epoch; dropout draws from the saved random state
    words = ["training.validate_every=4", f"training.lr_scheduler={schedule}", "training.num_averaged=2"]
    train(tiny_recipe(tmp_path / "whole", "training.max_updates=14", *words))
    train(tiny_recipe(tmp_path / "parts", "training.max_updates=8", *words))
    train(tiny_recipe(tmp_path / "parts", "training.max_updates=14", "training.resume=true", *words))
    assert train_losses(tmp_path / "parts") == train_losses(tmp_path / "whole")
    assert_same_weights(tmp_path / "parts", tmp_path / "whole")


def test_earlier_run_is_not_lost_unasked(tmp_path):
    train(tiny_recipe(tmp_path, "training.max_updates=3"))
    with pytest.raises(ValueError, match="`output_dir` holds an earlier run"):
        train(tiny_recipe(tmp_path, "training.max_updates=1"))
    assert len(train_losses(tmp_path)) == 3
    train(tiny_recipe(tmp_path, "training.max_updates=1", "training.overwrite=true"))
    assert len(train_losses(tmp_path)) == 1
    assert [path.name for path in (tmp_path / "checkpoints").iterdir() if path.is_dir()] == ["step-00000001"]


def test_log_of_an_interrupted_run_goes_on_from_its_checkpoint(tmp_path, monkeypatch):
    update = TrainingLoop._update

    def stop_at_six(loop, *arguments):
        if loop.progress.update == 6:
            raise KeyboardInterrupt
        update(loop, *arguments)

    monkeypatch.setattr(TrainingLoop, "_update", stop_at_six)
    words = ["training.max_updates=8", "training.validate_every=4"]
    with pytest.raises(KeyboardInterrupt):
        train(tiny_recipe(tmp_path, *words))
    monkeypatch.undo()
    train(tiny_recipe(tmp_path, "training.resume=true", *words))
    assert [entry["update"] for entry in read_log(tmp_path) if "train_loss" in entry] == list(range(1, 9))
    # resumed when finished, it only writes its results again
    train(tiny_recipe(tmp_path, "training.resume=true", *words))
    assert [entry["update"] for entry in read_log(tmp_path) if "validation_loss" in entry] == [4, 8]


def test_mistakes_are_found_before_training(tmp_path):
    (tmp_path / "empty.tsv").write_text("")
    with pytest.raises(ValueError, match="`data.validation` must hold at least one pair"):
        train(
            tiny_recipe(tmp_path / "run", "training.max_updates=1", f"data.validation={{file: {tmp_path}/empty.tsv}}")
        )
    with pytest.raises(FileNotFoundError, match="nowhere"):
        train(tiny_recipe(tmp_path / "run", "training.max_updates=1", "data.test={file: nowhere.tsv}"))
    with pytest.raises(ValueError, match="`report_to` must name installed trackers, got 'mlflux'"):
        train(tiny_recipe(tmp_path / "run", "training.max_updates=1", "training.report_to=[mlflux]"))
    assert not (tmp_path / "run").exists()


def test_trained_tokenizer_can_be_used_again(tmp_path):
    train(tiny_recipe(tmp_path / "first", "training.max_updates=1"))
    train(tiny_recipe(tmp_path / "second", "training.max_updates=1", f"tokenizer.path={tmp_path}/first"))
    first, second = (AutoTokenizer.from_pretrained(tmp_path / name) for name in ("first", "second"))
    assert first.get_vocab() == second.get_vocab()


def test_resume_with_another_end_validates_and_goes_on_where_it_stood(tmp_path):
    train(tiny_recipe(tmp_path, "training.max_updates=3"))
    train(tiny_recipe(tmp_path, "training.max_updates=5", "training.resume=true"))
    assert [entry["update"] for entry in read_log(tmp_path) if "train_loss" in entry] == [1, 2, 3, 4, 5]


def test_two_processes_give_the_loss_curve_of_one(tmp_path):
    words = ["training.max_updates=8", "training.learning_rate=0.01", "model.embedding_dropout=0.0"]
    words += ["model.layer_dropout=0.0", "model.output_dropout=0.0", "training.gradient_accumulation_steps=2"]
    words += ["training.batch_size=7"]
    train(tiny_recipe(tmp_path / "one", *words))
    # Accelerate's launcher for several processes goes by this flag on a CPU too; gloo then connects them
    command = [sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2"]
    command += ["--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", "0"]
    command += [str(ROOT / "scripts" / "train.py"), *recipe_words(tmp_path / "two", *words)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"}
    result = subprocess.run(command, capture_output=True, text=True, timeout=300, env=environment, cwd=ROOT)
    assert result.returncode == 0, result.stderr[-3000:]
    # sums of float32 in another order
    assert train_losses(tmp_path / "two") == pytest.approx(train_losses(tmp_path / "one"), rel=1e-4)
    one, two = read_log(tmp_path / "one")[-1], read_log(tmp_path / "two")[-1]
    assert two["validation_loss"] == pytest.approx(one["validation_loss"], rel=1e-4)
    assert two["samples"] == one["samples"]
    assert json.loads((tmp_path / "two" / "results.json").read_text())["num_processes"] == 2


def test_streaming_trains_on_every_pair(tmp_path):
    facts = train(tiny_recipe(tmp_path, "training.max_epochs=2", "data.train.streaming=true"))
    assert (facts["updates"], facts["epochs"], facts["num_training_pairs"]) == (12, 2, None)


def test_bf16_trains_near_float32_and_is_scored_in_float32(tmp_path):
    words = ["training.max_updates=4", "data.test={dataset: dates, split: test, max_examples: 6}"]
    train(tiny_recipe(tmp_path / "full", *words))
    AcceleratorState._reset_state(reset_partial_state=True)
    facts = train(tiny_recipe(tmp_path / "half", "training.mixed_precision=bf16", *words))
    full, half = train_losses(tmp_path / "full"), train_losses(tmp_path / "half")
    assert half != full
    assert half == pytest.approx(full, rel=0.02)
    assert all(tensor.dtype == torch.float32 for tensor in weights(tmp_path / "half").values())
    model, tokenizer = (
        AutoModelForSeq2SeqLM.from_pretrained(tmp_path / "half"),
        AutoTokenizer.from_pretrained(tmp_path / "half"),
    )
    total, count = 0.0, 0
    for source, target in ParallelText(dataset="dates", split="validation", max_examples=8).pairs():
        labels = tokenizer(text_target=target, return_tensors="pt")["input_ids"]
        with torch.no_grad():
            loss = model(input_ids=tokenizer(source, return_tensors="pt")["input_ids"], labels=labels).loss
        total, count = total + loss.item() * labels.numel(), count + labels.numel()
    assert facts["validation"]["loss"] == pytest.approx(total / count, rel=1e-5)


def test_patience_ends_a_run_that_does_not_improve(tmp_path):
    words = ["training.validate_every=1", "training.patience=2", "training.metric_for_best=exact_match"]
    facts = train(tiny_recipe(tmp_path, "training.max_updates=50", *words))
    # the first validation is the best of equals, the two after it are not
    assert facts["updates"] == 3


def test_wall_time_ends_a_run(tmp_path):
    assert train(tiny_recipe(tmp_path, "training.max_minutes=0.001"))["updates"] >= 1


def test_separate_vocabularies_and_trackers(tmp_path):
    words = ["training.max_updates=2", "tokenizer.joint=false", "training.report_to=[tensorboard]"]
    train(tiny_recipe(tmp_path, *words))
    model, tokenizer = AutoModelForSeq2SeqLM.from_pretrained(tmp_path), AutoTokenizer.from_pretrained(tmp_path)
    assert (model.config.vocab_size, model.config.decoder_vocab_size) == (len(tokenizer), tokenizer.target_vocab_size)
    assert model.model.encoder.embed_tokens.weight is not model.model.decoder.embed_tokens.weight
    assert list(tmp_path.rglob("events.out.tfevents.*"))


def test_nothing_to_train_on_is_said(tmp_path):
    with pytest.raises(ValueError, match="No training pair is left"):
        train(tiny_recipe(tmp_path, "training.max_updates=2", "data.max_target_tokens=1"))
    with pytest.raises(ValueError, match="The training text gave no pair"):
        train(tiny_recipe(tmp_path, "training.max_updates=2", "data.max_target_tokens=1", "data.train.streaming=true"))


def test_vocabulary_of_the_recipe_cannot_contradict_the_tokenizer(tmp_path):
    with pytest.raises(ValueError, match="`model.vocab_size` comes from the tokenizer"):
        train(tiny_recipe(tmp_path, "training.max_updates=2", "model.vocab_size=7"))
