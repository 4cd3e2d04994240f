"""Fine-tune a trained model on other pairs with transformers' `Seq2SeqTrainer`."""

import copy
import dataclasses
import json
import time
import typing
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from datasets import Dataset
from transformers import (
    AutoModelForSeq2SeqLM,
    AutoTokenizer,
    DataCollatorForSeq2Seq,
    EarlyStoppingCallback,
    GenerationConfig,
    PreTrainedTokenizerBase,
    Seq2SeqTrainingArguments,
)

from ..data.batching import EncodedPair, LengthFilter, encode_pairs
from ..decoding.attention_map import plot_attention
from ..decoding.translation import translate
from ..hub.card import ATTENTION_FILE, CURVES_FILE, RECIPE_FILE, RESULTS_FILE, write_model_card
from ..hub.push import push_folder
from ..model.pipeline_attention import map_attention
from .arguments import CardArguments, DataArguments, check_names, convert, read_recipe, recipe_to_dict
from .curves import plot_learning_curves
from .hardware import describe_hardware, list_versions
from .loop import LOG_FILE
from .metrics import Score, score_test_set, score_texts
from .token_budget import TokenBudgetTrainer

_DEFAULTS = {
    "predict_with_generate": True,
    "eval_strategy": "epoch",
    "save_strategy": "epoch",
    "load_best_model_at_end": True,
    "metric_for_best_model": "bleu",
    "save_total_limit": 1,
    "per_device_train_batch_size": 64,
    "per_device_eval_batch_size": 64,
    "learning_rate": 5e-4,
    "lr_scheduler_type": "cosine",
    "warmup_steps": 50,
    "label_smoothing_factor": 0.1,
    "logging_steps": 10,
    "report_to": "none",
    # once, complete and with our card
    "hub_strategy": "end",
    "seed": 1,
}


@dataclasses.dataclass
class FinetuningRecipe:
    """Everything a fine-tuning run is made of.

    Args:
        model (`str`): folder or Hub id of the model to start from, with its tokenizer.
        data (`DataArguments`): as of a training recipe.
        training (`dict`): fields of transformers' `Seq2SeqTrainingArguments`, such as `output_dir`, `learning_rate`,
            `num_train_epochs`, `bf16`, `gradient_accumulation_steps`, `push_to_hub` and `resume_from_checkpoint`.
        generation (`dict`): fields of `GenerationConfig` to change; they are saved with the model.
        max_tokens (`int`, *optional*): budget of a batch on one device, sentences times tokens of its longest side, in
            place of `per_device_train_batch_size`.
        patience (`int`, *optional*): stop after this many validations without a better one.
        card (`CardArguments`): as of a training recipe.
    """

    model: str
    data: DataArguments
    training: dict[str, Any]
    generation: dict[str, Any] = dataclasses.field(default_factory=dict)
    max_tokens: int | None = None
    patience: int | None = None
    card: CardArguments = dataclasses.field(default_factory=CardArguments)

    def __post_init__(self):
        hints = typing.get_type_hints(Seq2SeqTrainingArguments)
        check_names(self.training, hints, "training.")
        check_names(self.generation, GenerationConfig().to_dict(), "generation.")
        if "hub_token" in self.training:
            raise ValueError(
                "`training.hub_token` would be published with the recipe; log in with `hf auth login` or set HF_TOKEN."
            )
        if "output_dir" not in self.training:
            raise ValueError("A recipe must set `training.output_dir`.")
        for name, value in self.training.items():
            # YAML reads `no` as False and `1e-3` as text
            if name.endswith("_strategy") and value is False:
                self.training[name] = "no"
            if float in (hints[name], *typing.get_args(hints[name])) and isinstance(value, str):
                self.training[name] = convert(value, float, f"training.{name}")


def read_finetuning_recipe(path: str | Path | None, overrides: list[str]) -> FinetuningRecipe:
    """As `read_recipe`, for `finetune`."""
    return read_recipe(path, overrides, FinetuningRecipe)


def finetune(recipe: FinetuningRecipe) -> dict | None:
    """Run a recipe. `training.output_dir` is then a folder as `train` leaves it.

    Returns:
        The facts of the run, also written to `results.json`; `before` are the test scores before it.
        None on all processes but the main one.

    Raises:
        ValueError: if there is nothing to train or validate on.
        OSError: if `model` is no folder or Hub id of a model with its tokenizer.
    """
    data = recipe.data
    try:
        tokenizer = AutoTokenizer.from_pretrained(recipe.model)
    except OSError as error:
        raise OSError(
            f"`model` must be a folder or Hub id of a trained model, got {recipe.model!r}: {error}"
        ) from error
    length_filter = LengthFilter(data.max_source_tokens, data.max_target_tokens, data.max_length_ratio)
    train_pairs = list(length_filter(encode_pairs(data.train.pairs(), tokenizer)))
    validation_texts = list(data.validation.pairs())
    for name, pairs in (("train", train_pairs), ("validation", validation_texts)):
        if not pairs:
            raise ValueError(f"`data.{name}` must hold at least one pair, got none from {getattr(data, name)}.")
    test_texts = [] if data.test is None else list(data.test.pairs())
    trainer = _build_trainer(recipe, tokenizer, train_pairs, list(encode_pairs(validation_texts, tokenizer)))
    arguments = trainer.args
    # a folder of this machine is no name on the Hub
    base_model = Path(recipe.model).name if Path(recipe.model).is_dir() else recipe.model
    facts = {"base_model": base_model, "num_training_pairs": len(train_pairs)}
    if test_texts and trainer.is_world_process_zero():
        facts["before"] = [score.to_dict() for score in _test(recipe, trainer.model, tokenizer, test_texts)]
    generation_config = copy.deepcopy(trainer.model.generation_config)
    started = time.perf_counter()
    trainer.train(resume_from_checkpoint=arguments.resume_from_checkpoint)
    facts["training_wall_seconds"] = time.perf_counter() - started
    history = list(trainer.state.log_history)
    facts |= _collect_facts(trainer, history, train_pairs)
    # without the defaults that the trainer has filled in
    trainer.model.generation_config = generation_config
    # not by the public way, which would push before the card is written
    trainer.save_model(_internal_call=True)
    if trainer.is_world_process_zero():
        if test_texts:
            facts["num_test_pairs"] = len(test_texts)
            facts["test"] = [score.to_dict() for score in _test(recipe, trainer.model, tokenizer, test_texts)]
        facts["num_dropped_pairs"] = length_filter.num_dropped
        facts["example"] = validation_texts[0][0]
        _write_folder(recipe, trainer, history, facts)
        if arguments.push_to_hub:
            push_folder(Path(arguments.output_dir), trainer.hub_model_id)
    return facts if trainer.is_world_process_zero() else None


def _build_trainer(
    recipe: FinetuningRecipe,
    tokenizer: PreTrainedTokenizerBase,
    train_pairs: list[EncodedPair],
    validation_pairs: list[EncodedPair],
) -> TokenBudgetTrainer:
    arguments = Seq2SeqTrainingArguments(**_complete(recipe))
    # weights saved in half precision are trained in full
    model = AutoModelForSeq2SeqLM.from_pretrained(recipe.model, dtype=torch.float32)
    model.generation_config.update(**recipe.generation)
    return TokenBudgetTrainer(
        model=model,
        args=arguments,
        max_tokens=recipe.max_tokens,
        train_dataset=_to_dataset(train_pairs),
        eval_dataset=_to_dataset(validation_pairs),
        data_collator=DataCollatorForSeq2Seq(tokenizer, model=model),
        processing_class=tokenizer,
        compute_metrics=build_compute_metrics(tokenizer) if arguments.predict_with_generate else None,
        callbacks=[] if recipe.patience is None else [EarlyStoppingCallback(recipe.patience)],
    )


def _complete(recipe: FinetuningRecipe) -> dict:
    settings = {**_DEFAULTS, **recipe.training}
    for given, followed in (("eval_strategy", "save_strategy"), ("eval_steps", "save_steps")):
        # the best model can only be found again where it was saved when it was evaluated
        if given in recipe.training and followed not in recipe.training:
            settings[followed] = recipe.training[given]
    if not settings["predict_with_generate"]:
        settings["metric_for_best_model"] = recipe.training.get("metric_for_best_model", "loss")
    settings.setdefault("greater_is_better", not settings["metric_for_best_model"].endswith(("loss", "ter")))
    if not torch.accelerator.is_available():
        # transformers refuses bf16 on a CPU unless told that the CPU is meant
        settings.setdefault("use_cpu", True)
    if settings["save_strategy"] == "no":
        settings["load_best_model_at_end"] = recipe.training.get("load_best_model_at_end", False)
    return settings


def _to_dataset(pairs: list[EncodedPair]) -> Dataset:
    return Dataset.from_dict({"input_ids": [p.source for p in pairs], "labels": [p.target for p in pairs]})


def build_compute_metrics(tokenizer: PreTrainedTokenizerBase) -> Callable[[Any], dict[str, float]]:
    """`compute_metrics` for a `Seq2SeqTrainer` with `predict_with_generate=True`.

    Args:
        tokenizer: its `decode` reads target ids.

    Returns:
        A function from predictions and labels (ids, -100 on padding) to `bleu`, `chrf`, `ter` and `exact_match` in
        percent of the detokenised text, and `generated_tokens`, their mean number.
    """

    def decode(ids: np.ndarray) -> list[str]:
        ids = np.where(ids == -100, tokenizer.pad_token_id, ids)
        return [text.strip() for text in tokenizer.batch_decode(ids, skip_special_tokens=True)]

    def compute_metrics(evaluated) -> dict[str, float]:
        predictions, labels = evaluated
        predictions = predictions[0] if isinstance(predictions, tuple) else predictions
        scores = score_texts(decode(predictions), decode(labels))
        is_token = (predictions != tokenizer.pad_token_id) & (predictions != -100)
        named = {score.name.lower().replace(" ", "_"): score.value for score in scores}
        return {**named, "generated_tokens": float(is_token.sum(1).mean())}

    return compute_metrics


def _test(recipe: FinetuningRecipe, model, tokenizer: PreTrainedTokenizerBase, texts) -> list[Score]:
    sources, references = zip(*texts, strict=True)
    hypotheses = [best[0].text for best in translate(model, tokenizer, sources, batch_size=64)]
    return score_test_set(hypotheses, references, recipe.data.target_language)


def _collect_facts(trainer: TokenBudgetTrainer, history: list[dict], train_pairs: list[EncodedPair]) -> dict:
    """What the model card says; the same names as `train` uses."""
    arguments, state = trainer.args, trainer.state
    # the loss that others report: of the labels alone
    trainer.label_smoother = None
    validation = trainer.evaluate()
    names = ("loss", "bleu", "chrf", "ter", "exact_match")
    best = state.best_model_checkpoint if arguments.load_best_model_at_end else None
    # a resumed run has timed only what came after
    begun = trainer.begun_at
    tokens = sum(len(pair.target) for pair in train_pairs) * ((state.epoch or 0) - begun["epoch"])
    seconds = sum(entry.get("train_runtime", 0) for entry in history)
    seconds -= sum(entry.get("eval_runtime", 0) for entry in history if entry["step"] > begun["step"])
    return {
        "weights": f"best ({Path(best).name})" if best else "last",
        "num_parameters": trainer.model.num_parameters(),
        "updates": state.global_step,
        "epochs": round(state.epoch or 0, 2),
        "target_tokens_per_second": tokens / seconds if seconds > 0 else 0.0,
        "seed": arguments.seed,
        "versions": list_versions(),
        "num_processes": arguments.world_size,
        "hardware": describe_hardware(arguments.device),
        "mixed_precision": "bf16" if arguments.bf16 else "fp16" if arguments.fp16 else "no",
        "num_beams": trainer.model.generation_config.num_beams or 1,
        "validation": {
            **{name: validation[f"eval_{name}"] for name in names if f"eval_{name}" in validation},
            "perplexity": float(np.exp(validation["eval_loss"])),
        },
    }


def _write_folder(recipe: FinetuningRecipe, trainer: TokenBudgetTrainer, history: list[dict], facts: dict) -> None:
    """Recipe, log, pictures, results and card, as `train` writes them."""
    folder = Path(trainer.args.output_dir)
    recipe_text = yaml.safe_dump(recipe_to_dict(recipe), sort_keys=False, allow_unicode=True)
    (folder / RECIPE_FILE).write_text(recipe_text, encoding="utf-8")
    lines = [json.dumps(_rename(entry)) for entry in history]
    (folder / LOG_FILE).write_text("\n".join(lines) + "\n", encoding="utf-8")
    plot_learning_curves(folder / LOG_FILE, folder / CURVES_FILE)
    if trainer.model.config.has_token_attention:
        attention = map_attention(trainer.model, trainer.processing_class, facts["example"])
        plot_attention(attention, folder / ATTENTION_FILE)
    facts["fingerprints"] = recipe.data.fingerprints()
    (folder / RESULTS_FILE).write_text(json.dumps(facts, indent=2, ensure_ascii=False), encoding="utf-8")
    write_model_card(folder)


def _rename(entry: dict) -> dict:
    """An entry of the trainer's history as `train` logs it."""
    names = {"step": "update", "loss": "train_loss", "grad_norm": "gradient_norm"}
    return {names.get(name, name.replace("eval_", "validation_")): value for name, value in entry.items()}
