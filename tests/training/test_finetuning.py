"""Fine-tuning with Seq2SeqTrainer: whole runs on tiny models, and what must be exact in them."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from datasets import Dataset
from transformers import (
    AutoModelForSeq2SeqLM,
    AutoTokenizer,
    DataCollatorForSeq2Seq,
    Seq2SeqTrainer,
    Seq2SeqTrainingArguments,
    TrainerCallback,
    pipeline,
)

from hf_rnn_seq2seq import finetune, read_finetuning_recipe, train_tokenizer
from hf_rnn_seq2seq.data.parallel_text import ParallelText
from hf_rnn_seq2seq.model.modeling_copy import summed_coverage_loss
from hf_rnn_seq2seq.training.finetuning import build_compute_metrics
from hf_rnn_seq2seq.training.token_budget import TokenBudgetSampler, TokenBudgetTrainer
from tests.conftest import build_model
from tests.hub.hub_server import WRITE_TOKEN, serve_hub
from tests.without_package import run_without_package


@pytest.fixture(scope="module")
def texts():
    return list(ParallelText(dataset="dates", split="train", max_examples=64).pairs())


@pytest.fixture(scope="module")
def base(tmp_path_factory, texts):
    """A model on the dates' characters that has learnt nothing yet."""
    folder = tmp_path_factory.mktemp("base")
    tokenizer = train_tokenizer(*zip(*texts, strict=True), kind="char", vocab_size=100)
    model = build_model(vocab_size=len(tokenizer), embedding_size=8, num_encoder_layers=1, num_decoder_layers=1)
    model.generation_config.update(num_beams=2, max_new_tokens=12)
    model.float().save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def recipe(base, folder, *words):
    return read_finetuning_recipe(
        None,
        [
            f"model={base}",
            "data.train={dataset: dates, split: train, max_examples: 64}",
            "data.validation={dataset: dates, split: validation, max_examples: 8}",
            f"training.output_dir={folder}",
            "training.num_train_epochs=2",
            "training.per_device_train_batch_size=16",
            "training.logging_steps=1",
            "training.warmup_steps=0",
            "training.learning_rate=1e-2",
            "training.generation_num_beams=1",
            *words,
        ],
    )


@pytest.fixture(scope="module")
def finetuned(base, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "finetuned"
    words = ["data.test={dataset: dates, split: test, max_examples: 8}", "data.target_language=de"]
    facts = finetune(recipe(base, folder, *words, "max_tokens=600", "patience=3", "card={license: mit}"))
    return folder, facts


def test_run_learns_and_leaves_a_complete_folder(base, finetuned, tmp_path):
    folder, facts = finetuned
    losses = [json.loads(line) for line in (folder / "training_log.jsonl").read_text().splitlines()]
    losses = [entry["validation_loss"] for entry in losses if "validation_loss" in entry]
    assert losses[-1] < losses[0]
    assert facts["num_training_pairs"] == 64
    assert len(facts["before"]) == len(facts["test"]) == 5
    assert json.loads((folder / "results.json").read_text()) == facts
    for name in ("learning_curves.png", "attention.png", "recipe.yaml", "pipeline_rnn_seq2seq.py", "tokenizer.json"):
        assert (folder / name).is_file()
    card = (folder / "README.md").read_text()
    assert "license: mit" in card
    assert f"fine-tuned from `{base.name}`" in card
    # what Seq2SeqTrainer fills in while it generates is not saved
    assert (
        json.loads((folder / "generation_config.json").read_text()).keys()
        == json.loads((base / "generation_config.json").read_text()).keys()
    )


@pytest.mark.parametrize("checkpoint", [False, True])
def test_folder_of_the_trainer_translates_without_the_package(finetuned, tmp_path, checkpoint):
    folder, _ = finetuned
    if checkpoint:
        (folder,) = folder.glob("checkpoint-*")
    expected = pipeline("translation", model=str(folder))("May 3, 2020")[0]["translation_text"]
    code = f"""
from transformers import pipeline
translate = pipeline("translation", model={str(folder)!r}, trust_remote_code=True)
print(repr(translate("May 3, 2020")[0]["translation_text"]))
"""
    assert run_without_package(code, tmp_path).rstrip("\n") == repr(expected)


def test_interrupted_run_goes_on_to_the_same_weights(base, tmp_path):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    # a save in the middle of an epoch
    words = ["max_tokens=600", "training.eval_strategy=steps", "training.eval_steps=2"]
    finetune(recipe(base, whole, *words, "training.save_total_limit=99"))
    assert 2 in _steps(whole)
    assert json.loads((whole / "results.json").read_text())["updates"] == 8
    first = whole / "checkpoint-2"
    finetune(recipe(base, parts, *words, f"training.resume_from_checkpoint={first}"))
    assert "resume_from_checkpoint" not in (parts / "recipe.yaml").read_text()
    weights, again = (AutoModelForSeq2SeqLM.from_pretrained(path).state_dict() for path in (whole, parts))
    for name, weight in weights.items():
        torch.testing.assert_close(again[name], weight, rtol=0, atol=0)


def test_run_is_pushed_once_with_its_card(base, tmp_path):
    words = ["data.train={dataset: dates, split: train, max_examples: 16}", "training.max_steps=1"]
    words += ["training.eval_strategy=no", "training.save_strategy=no", "training.push_to_hub=true"]
    words += [
        f"training.output_dir={tmp_path}/run",
        "training.hub_model_id=me/tuned",
        "training.hub_private_repo=true",
    ]
    words += [f"model={base}", "data.validation={dataset: dates, split: validation, max_examples: 4}"]
    with serve_hub() as hub:
        variables = {"HF_ENDPOINT": hub.url, "HF_HUB_OFFLINE": "0", "HF_HUB_DISABLE_XET": "1", "HF_TOKEN": WRITE_TOKEN}
        result = subprocess.run(
            [sys.executable, "-m", "hf_rnn_seq2seq.cli", "finetune", *words],
            env={**os.environ, **variables, "HF_HOME": str(tmp_path / "home")},
            capture_output=True,
            text=True,
        )
        assert result.returncode == 0, result.stderr
        repository = hub.repositories["models/me/tuned"]
        assert repository.private
        tree = repository.commits[repository.branches["main"]]
    assert {"model.safetensors", "modeling_rnn_seq2seq.py", "recipe.yaml", "README.md"} <= tree.keys()
    assert "training_args.bin" not in tree
    assert b'model="me/tuned"' in tree["README.md"]
    assert len(repository.messages) == 2


def _steps(folder: Path) -> list[int]:
    return [int(path.name[11:]) for path in folder.glob("checkpoint-*")]


class _Gradients(TrainerCallback):
    """Keeps the gradient of the first update."""

    def __init__(self):
        self.first = None

    def on_pre_optimizer_step(self, args, state, control, model, **kwargs):
        if self.first is None:
            self.first = {name: parameter.grad.clone() for name, parameter in model.named_parameters()}


@pytest.mark.parametrize("label_smoothing", [0.0, 0.1])
def test_accumulated_gradients_are_those_of_the_whole_batch(base, texts, tmp_path, label_smoothing):
    tokenizer = AutoTokenizer.from_pretrained(base)
    sources, targets = zip(*texts, strict=True)
    encoded = tokenizer(list(sources), text_target=list(targets))
    data = Dataset.from_dict({"input_ids": encoded["input_ids"], "labels": encoded["labels"]})
    found = []
    for trainer_class, batch_size, steps in (
        (Seq2SeqTrainer, 64, 1),
        (Seq2SeqTrainer, 16, 4),
        (TokenBudgetTrainer, 16, 4),
    ):
        model = AutoModelForSeq2SeqLM.from_pretrained(base)
        gradients = _Gradients()
        arguments = Seq2SeqTrainingArguments(
            output_dir=str(tmp_path / str(steps)),
            per_device_train_batch_size=batch_size,
            gradient_accumulation_steps=steps,
            max_steps=1,
            logging_steps=1,
            max_grad_norm=0,
            label_smoothing_factor=label_smoothing,
            save_strategy="no",
            report_to="none",
            use_cpu=True,
        )
        trainer = trainer_class(
            model=model,
            args=arguments,
            train_dataset=data,
            data_collator=DataCollatorForSeq2Seq(tokenizer, model=model),
            callbacks=[gradients],
        )
        found.append((trainer.train().training_loss, gradients.first))
    (loss, whole), *others = found
    for accumulated_loss, parts in others:
        assert accumulated_loss == pytest.approx(loss, rel=1e-5)
        for name, gradient in whole.items():
            # float32 sums in another order
            torch.testing.assert_close(parts[name], gradient, rtol=1e-4, atol=1e-7)


def test_token_budget_trainer_makes_logits_for_evaluation_only(monkeypatch, base, tmp_path):
    model = AutoModelForSeq2SeqLM.from_pretrained(base)
    batch = {"input_ids": torch.tensor([[5, 6, 2]]), "labels": torch.tensor([[6, 2]])}
    arguments = Seq2SeqTrainingArguments(str(tmp_path), label_smoothing_factor=0.1, report_to="none", use_cpu=True)
    trainer = TokenBudgetTrainer(model=model, args=arguments, train_dataset=Dataset.from_dict({"labels": [[2]]}))
    made, forward = [], model.forward

    def spy(**inputs):
        outputs = forward(**inputs)
        made.append(outputs.logits is not None)
        return outputs

    monkeypatch.setattr(model, "forward", spy)
    trainer.compute_loss(model.train(), dict(batch))
    trainer.compute_loss(model.eval(), {**batch, "decoder_input_ids": torch.tensor([[1, 6]])})
    assert made == [False, True]


def test_token_budget_holds_and_every_pair_comes_once(base, texts):
    tokenizer = AutoTokenizer.from_pretrained(base)
    sources, targets = zip(*texts, strict=True)
    encoded = tokenizer(list(sources), text_target=list(targets))
    data = Dataset.from_dict({"input_ids": encoded["input_ids"], "labels": encoded["labels"]})
    sampler = TokenBudgetSampler(data, 300, seed=1)
    batches = list(sampler)
    assert len(batches) == len(sampler)
    assert sorted(index for batch in batches for index in batch) == list(range(64))
    for batch in batches:
        longest = max(max(len(data[i]["input_ids"]), len(data[i]["labels"])) for i in batch)
        assert len(batch) * longest <= 300
    sampler.set_epoch(1)
    assert list(sampler) != batches


def test_trainer_without_a_budget_batches_as_seq2seqtrainer(base, tmp_path):
    data = Dataset.from_dict({"input_ids": [[5, 2]] * 4, "labels": [[6, 2]] * 4})
    arguments = Seq2SeqTrainingArguments(str(tmp_path), per_device_train_batch_size=3, report_to="none", use_cpu=True)
    model = AutoModelForSeq2SeqLM.from_pretrained(base)
    trainer = TokenBudgetTrainer(model=model, args=arguments, train_dataset=data)
    assert len(trainer.get_train_dataloader()) == 2


@pytest.mark.parametrize("label_smoothing", [0.0, 0.1])
def test_coverage_loss_is_trained_with_and_without_smoothed_labels(tmp_path, label_smoothing):
    labels = torch.tensor([[6, 7, 8, 2], [9, 2, -100, -100]])
    batch = {"input_ids": torch.tensor([[5, 6, 2], [7, 8, 2]]), "labels": labels}
    losses = []
    for weight in (0.0, 0.5):
        model = build_model(coverage_loss_weight=weight).float().train()
        batch["decoder_input_ids"] = model.prepare_decoder_input_ids_from_labels(labels)
        arguments = Seq2SeqTrainingArguments(
            str(tmp_path), label_smoothing_factor=label_smoothing, report_to="none", use_cpu=True
        )
        trainer = TokenBudgetTrainer(model=model, args=arguments, train_dataset=Dataset.from_dict({"labels": [[2]]}))
        losses.append(trainer.compute_loss(model, dict(batch), num_items_in_batch=torch.tensor(6)))
        in_training = losses[-1]
        # what is reported leaves it out
        evaluated = trainer.compute_loss(model.eval(), dict(batch))
        assert evaluated.item() == pytest.approx(losses[0].item(), rel=1e-5)
    weights = model(**{name: batch[name] for name in ("input_ids", "decoder_input_ids")}, output_attentions=True)
    expected = 0.5 * summed_coverage_loss(weights.cross_attentions[0], labels) / 6
    assert expected.item() > 0.01
    assert (in_training - losses[0]).item() == pytest.approx(expected.item(), rel=1e-4)


@pytest.mark.parametrize("joint", [True, False])
def test_metrics_are_of_the_detokenised_target(joint):
    tokenizer = train_tokenizer(["a b c d e"], ["v w x y z"], kind="word", joint=joint)
    labels = tokenizer(text_target=["v w x y", "z"], padding=True, return_tensors="np")["input_ids"]
    labels[labels == tokenizer.pad_token_id] = -100
    start = np.full((2, 1), tokenizer.bos_token_id)
    predictions = np.concatenate([start, labels], axis=1)
    metrics = build_compute_metrics(tokenizer)
    assert metrics((predictions, labels))["exact_match"] == 100
    predictions[0, 1] = predictions[1, 1]
    scores = metrics((predictions, labels))
    assert scores["exact_match"] == 50
    assert 0 < scores["chrf"] < 100
    assert scores["generated_tokens"] == 4.5


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["training.learning_rat=1"], "`training.learning_rat` is unknown in a recipe; did you mean `learning_rate`"),
        (["training={num_train_epochs: 1}"], "A recipe must set `training.output_dir`"),
        (["training.learning_rate=fast"], "`training.learning_rate` must be float, got 'fast'"),
        (["generation.beams=1"], "`generation.beams` is unknown"),
        (["training.hub_token=hf_x"], "`training.hub_token` would be published with the recipe"),
        (["modl=x"], "`modl` is unknown in a recipe; did you mean `model`"),
    ],
)
def test_mistakes_in_a_recipe_are_named(base, tmp_path, words, message):
    with pytest.raises(ValueError, match=message):
        recipe(base, tmp_path, *words)


def test_best_checkpoint_of_a_loss_is_the_lowest(base, tmp_path):
    words = ["training.predict_with_generate=false", "training.learning_rate=0.5", "training.save_total_limit=9"]
    finetune(recipe(base, tmp_path, *words, "training.num_train_epochs=3"))
    log = [json.loads(line) for line in (tmp_path / "training_log.jsonl").read_text().splitlines()]
    losses = {entry["update"]: entry["validation_loss"] for entry in log if "validation_loss" in entry}
    weights = json.loads((tmp_path / "results.json").read_text())["weights"]
    assert weights == f"best (checkpoint-{min(losses, key=losses.get)})"


def test_two_processes_share_the_batches_and_end_together(base, tmp_path):
    words = [f"model={base}", f"training.output_dir={tmp_path}/run", "training.num_train_epochs=1", "max_tokens=500"]
    words += ["data.train={dataset: dates, split: train, max_examples: 40}"]
    words += ["data.validation={dataset: dates, split: validation, max_examples: 5}", "training.use_cpu=true"]
    command = [sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2"]
    result = subprocess.run(
        [*command, "scripts/finetune.py", *words],
        env={**os.environ, "ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert result.returncode == 0, result.stderr
    facts = json.loads((tmp_path / "run" / "results.json").read_text())
    assert facts["num_processes"] == 2
    assert result.stdout.count("model, tokenizer, card") == 1


def test_nothing_to_train_on_is_refused(base, tmp_path):
    empty = tmp_path / "empty.tsv"
    empty.write_text("")
    with pytest.raises(ValueError, match=r"`data\.train` must hold at least one pair"):
        finetune(recipe(base, tmp_path / "run", f"data.train={{file: {empty}}}"))
