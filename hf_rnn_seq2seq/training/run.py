"""A recipe from start to finish: data, tokenizer, model, training, averaging, test, the folder for its users."""

import dataclasses
import gc
import json
import shutil
from pathlib import Path

import yaml
from accelerate import Accelerator
from accelerate.tracking import get_available_trackers
from accelerate.utils import set_seed
from transformers import AutoTokenizer, GenerationConfig, PreTrainedTokenizerBase

from ..data.batching import LengthFilter, encode_pairs
from ..data.tokenizer_training import train_tokenizer
from ..decoding.attention_map import plot_attention
from ..decoding.translation import translate
from ..hub.card import ATTENTION_FILE, CURVES_FILE, RECIPE_FILE, RESULTS_FILE, write_model_card
from ..model.configuration_rnn_seq2seq import RnnSeq2SeqConfig
from ..model.modeling_rnn_seq2seq import RnnSeq2SeqForConditionalGeneration
from ..model.pipeline_attention import map_attention
from ..model.tokenization_rnn_seq2seq import RnnSeq2SeqTokenizer
from .arguments import Recipe, TokenizerArguments, TrainingArguments, changed_settings, recipe_to_dict
from .checkpoints import load_average, save_folder
from .curves import plot_learning_curves
from .hardware import describe_hardware, list_versions
from .loop import CHECKPOINTS_FOLDER, LOG_FILE, TrainingLoop, ValidationResult
from .metrics import Score, score_test_set
from .word_vectors import load_word_vectors


def train(recipe: Recipe) -> dict | None:
    """Run a recipe. `training.output_dir` is then a folder that `from_pretrained` loads.

    Returns:
        The facts of the run, also written to `results.json`: sizes, times, speed and scores. None on all processes
        but the main one.
    """
    arguments = recipe.training
    output_dir = Path(arguments.output_dir)
    _check_trackers(arguments)
    accelerator = Accelerator(
        mixed_precision=arguments.mixed_precision, log_with=arguments.report_to or None, project_dir=output_dir
    )
    set_seed(arguments.seed)
    # read at the start what is needed at the end: a mistake there must not cost the training
    validation_texts, test_texts = _read_texts(recipe)
    with accelerator.main_process_first():
        _clear_earlier_run(arguments)
        output_dir.mkdir(parents=True, exist_ok=True)
    with accelerator.main_process_first():
        tokenizer = _get_tokenizer(recipe, output_dir, accelerator.is_main_process)
    length_filter = LengthFilter(
        recipe.data.max_source_tokens, recipe.data.max_target_tokens, recipe.data.max_length_ratio
    )
    model = _build_model(recipe, tokenizer)
    coverage = {
        side: load_word_vectors(model, tokenizer, path, side=side)
        for side, path in dataclasses.asdict(recipe.word_vectors).items()
        if path is not None
    }
    loop = TrainingLoop(
        model,
        tokenizer,
        lambda: length_filter(encode_pairs(recipe.data.train.pairs(), tokenizer)),
        validation_texts,
        arguments,
        accelerator,
        streaming=recipe.data.train.streaming,
    )
    if accelerator.is_main_process:
        text = yaml.safe_dump(recipe_to_dict(recipe), sort_keys=False, allow_unicode=True)
        (output_dir / RECIPE_FILE).write_text(text, encoding="utf-8")
    # dropout must differ between processes, which hold different rows of a batch
    set_seed(arguments.seed, device_specific=True)
    if arguments.report_to:
        accelerator.init_trackers("hf-rnn-seq2seq")
    loop.run()
    facts = {
        **_finish(recipe, loop, tokenizer, validation_texts[0][0], test_texts),
        "num_dropped_pairs": length_filter.num_dropped,
        "word_vectors": {side: dataclasses.asdict(found) for side, found in coverage.items()},
        "changed_settings": changed_settings(recipe),
        "fingerprints": recipe.data.fingerprints(),
        "example": validation_texts[0][0],
        "versions": list_versions(),
    }
    if accelerator.is_main_process:
        (output_dir / RESULTS_FILE).write_text(json.dumps(facts, indent=2, ensure_ascii=False), encoding="utf-8")
        write_model_card(output_dir)
    # wrappers that hold the process group must be gone before it, or a process may never end
    accelerator.free_memory()
    del loop
    gc.collect()
    accelerator.wait_for_everyone()
    accelerator.end_training()
    return facts if accelerator.is_main_process else None


def _check_trackers(arguments: TrainingArguments) -> None:
    available = {tracker.value for tracker in get_available_trackers()}
    for name in arguments.report_to:
        if name not in available:
            raise ValueError(
                f"`report_to` must name installed trackers, got {name!r}; there are: {', '.join(sorted(available))}; "
                'others install with `pip install "hf-rnn-seq2seq[tensorboard]"`, `[trackio]` or `[wandb]`.'
            )


def _read_texts(recipe: Recipe) -> tuple[list, list]:
    """Pairs of the validation and, where the recipe has one, the test set."""
    validation = list(recipe.data.validation.pairs())
    test = [] if recipe.data.test is None else list(recipe.data.test.pairs())
    for name, text, pairs in (("validation", recipe.data.validation, validation), ("test", recipe.data.test, test)):
        if text is not None and not pairs:
            raise ValueError(f"`data.{name}` must hold at least one pair, got none from {text}.")
    return validation, test


def _clear_earlier_run(arguments: TrainingArguments) -> None:
    """Start in a folder without a run, unless it is to be resumed."""
    output_dir = Path(arguments.output_dir)
    checkpoints = output_dir / CHECKPOINTS_FOLDER
    if arguments.resume:
        return
    if checkpoints.is_dir() and not arguments.overwrite:
        raise ValueError(
            f"`output_dir` holds an earlier run, got {output_dir}; set `training.resume=true` to go on with it, "
            "`training.overwrite=true` to delete it, or choose another folder."
        )
    shutil.rmtree(checkpoints, ignore_errors=True)
    (output_dir / LOG_FILE).unlink(missing_ok=True)


def _get_tokenizer(recipe: Recipe, output_dir: Path, is_main_process: bool) -> PreTrainedTokenizerBase:
    """The tokenizer named by the recipe or trained on its text; the other processes load what the main one saved."""
    arguments = recipe.tokenizer
    if arguments.path is not None:
        return AutoTokenizer.from_pretrained(arguments.path)
    folder = output_dir / "tokenizer"
    if is_main_process and not (recipe.training.resume and folder.is_dir()):
        _train_tokenizer(recipe, arguments).save_pretrained(folder)
    return AutoTokenizer.from_pretrained(folder)


def _train_tokenizer(recipe: Recipe, arguments: TokenizerArguments) -> PreTrainedTokenizerBase:
    return train_tokenizer(
        (source for source, _ in recipe.data.train.pairs()),
        (target for _, target in recipe.data.train.pairs()),
        kind=arguments.kind,
        vocab_size=arguments.vocab_size,
        target_vocab_size=arguments.target_vocab_size,
        joint=arguments.joint,
        normalization=arguments.normalization,
        lowercase=arguments.lowercase,
        min_frequency=arguments.min_frequency,
    )


def _build_model(recipe: Recipe, tokenizer: PreTrainedTokenizerBase) -> RnnSeq2SeqForConditionalGeneration:
    """A new model for the tokenizer's vocabularies and special tokens."""
    special = {"pad_token_id": tokenizer.pad_token_id, "eos_token_id": tokenizer.eos_token_id}
    bos = tokenizer.bos_token_id if tokenizer.bos_token_id is not None else tokenizer.pad_token_id
    for name in ("pad_token_id", "eos_token_id"):
        if getattr(tokenizer, name) is None:
            raise ValueError(f"The tokenizer must have a `{name}`, got None; set it, or let the recipe train one.")
    for name in ("vocab_size", "decoder_vocab_size"):
        if name in recipe.model:
            raise ValueError(
                f"`model.{name}` comes from the tokenizer, got {recipe.model[name]}; set it in `tokenizer`."
            )
    has_two_sides = isinstance(tokenizer, RnnSeq2SeqTokenizer)
    fields = {"vocab_size": len(tokenizer), **special, "bos_token_id": bos, "decoder_start_token_id": bos}
    if has_two_sides:
        fields |= {"decoder_vocab_size": tokenizer.target_vocab_size, "share_encoder_decoder_embeddings": False}
    fields |= recipe.model
    preset = fields.pop("preset", None)
    config = RnnSeq2SeqConfig(**fields) if preset is None else RnnSeq2SeqConfig.from_preset(preset, **fields)
    model = RnnSeq2SeqForConditionalGeneration(config)
    defaults = {"num_beams": 5, "max_new_tokens": recipe.data.max_target_tokens}
    model.generation_config = GenerationConfig(
        **special, bos_token_id=bos, decoder_start_token_id=bos, **{**defaults, **recipe.generation}
    )
    return model


def _finish(
    recipe: Recipe, loop: TrainingLoop, tokenizer: PreTrainedTokenizerBase, example: str, test_texts: list
) -> dict:
    """Choose between the best and the averaged weights by validation, test them, and write the final folder."""
    arguments, keeper = recipe.training, loop.keeper
    # without Accelerate's autocast: what is scored is what users of the folder will have
    model = loop.accelerator.unwrap_model(loop.model, keep_fp32_wrapper=False)
    # which leaves a `forward` on the instance
    vars(model).pop("forward", None)
    beams = model.generation_config.num_beams
    load_average(model, [keeper.path(keeper.best)])
    chosen, validation = f"best ({keeper.best.name})", loop.validate(num_beams=beams)
    averaged = keeper.to_average()
    if len(averaged) > 1:
        load_average(model, [keeper.path(checkpoint) for checkpoint in averaged])
        candidate = loop.validate(num_beams=beams)
        if candidate.metric(arguments.metric_for_best) >= validation.metric(arguments.metric_for_best):
            chosen, validation = f"mean of the {arguments.averaging} {len(averaged)} checkpoints", candidate
        else:
            load_average(model, [keeper.path(keeper.best)])
    facts = _collect_facts(loop, chosen, validation, beams)
    if loop.accelerator.is_main_process:
        output_dir = Path(arguments.output_dir)
        save_folder(output_dir, model, tokenizer)
        plot_learning_curves(output_dir / LOG_FILE, output_dir / CURVES_FILE)
        if model.config.has_token_attention:
            plot_attention(map_attention(model, tokenizer, example), output_dir / ATTENTION_FILE)
        if test_texts:
            facts["test"] = [score.to_dict() for score in _test(recipe, model, tokenizer, test_texts)]
            facts["test_set"] = str(recipe.data.test)
            facts["num_test_pairs"] = len(test_texts)
    return facts


def _collect_facts(loop: TrainingLoop, weights: str, validation: ValidationResult, num_beams: int) -> dict:
    """What a reader of the results wants to know of the run."""
    progress, seconds = loop.progress, max(loop.progress.seconds, 1e-9)
    return {
        "weights": weights,
        "num_parameters": loop.bare_model.num_parameters(),
        "num_training_pairs": None if loop.streaming else len(loop.train_pairs),
        "updates": progress.update,
        "epochs": progress.epoch,
        "training_wall_seconds": progress.wall_seconds,
        "update_seconds": progress.seconds,
        "target_tokens_per_second": progress.target_tokens / seconds,
        "source_and_target_tokens_per_second": (progress.target_tokens + progress.source_tokens) / seconds,
        "seed": loop.arguments.seed,
        "num_processes": loop.accelerator.num_processes,
        "hardware": describe_hardware(loop.accelerator.device),
        "mixed_precision": loop.arguments.mixed_precision,
        "num_beams": num_beams,
        "validation": {"loss": validation.loss, "perplexity": validation.perplexity, **validation.scores},
    }


def _test(recipe: Recipe, model, tokenizer: PreTrainedTokenizerBase, texts: list[tuple[str, str]]) -> list[Score]:
    sources, references = zip(*texts, strict=True)
    hypotheses = [best[0].text for best in translate(model, tokenizer, sources, batch_size=64)]
    Path(recipe.training.output_dir, "test_translations.txt").write_text(
        "\n".join(hypotheses) + "\n", encoding="utf-8"
    )
    return score_test_set(hypotheses, references, recipe.data.target_language)
