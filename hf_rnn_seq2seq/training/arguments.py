"""What a recipe may say about training, and how recipes are read: YAML sections and `section.key=value`."""

import dataclasses
import difflib
import types
import typing
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal, TypeVar

import yaml
from transformers import GenerationConfig

from ..data.parallel_text import ParallelText
from ..data.tokenizer_training import Normalization, TokenizerKind
from ..model.configuration_rnn_seq2seq import RnnSeq2SeqConfig
from .learning_rate import Schedule

T = TypeVar("T")


@dataclasses.dataclass
class DataArguments:
    """Parallel text of the three splits, each a [`ParallelText`], and which pairs to train on.

    Args:
        source_language (`str`, *optional*): code such as `"en"`, for the model card and Moses' tokenisation.
        target_language (`str`, *optional*): the same for the target.
        max_source_tokens (`int`): longest training source, `</s>` included; longer pairs are dropped and counted.
        max_target_tokens (`int`): longest training target, likewise.
        max_length_ratio (`float`, *optional*): drop training pairs whose sides differ more than this in tokens.
    """

    train: ParallelText
    validation: ParallelText
    test: ParallelText | None = None
    source_language: str | None = None
    target_language: str | None = None
    max_source_tokens: int = 128
    max_target_tokens: int = 128
    max_length_ratio: float | None = None

    def fingerprints(self) -> dict[str, str]:
        """Fingerprint of each split that is not streamed, see `ParallelText.fingerprint`."""
        splits = {"train": self.train, "validation": self.validation, "test": self.test}
        return {name: text.fingerprint() for name, text in splits.items() if text is not None and not text.streaming}


@dataclasses.dataclass
class TokenizerArguments:
    """Which tokenizer to train, see [`train_tokenizer`], or where a trained one lies.

    Args:
        path (`str`, *optional*): folder or Hub id of a tokenizer to use as it is; the other fields then do nothing.
    """

    path: str | None = None
    kind: TokenizerKind = "bpe"
    vocab_size: int = 8000
    target_vocab_size: int | None = None
    joint: bool = True
    normalization: Normalization = "nfkc"
    lowercase: bool = False
    min_frequency: int = 1


@dataclasses.dataclass
class TrainingArguments:
    """How to train.

    Args:
        output_dir (`str`): folder for checkpoints, log, curves and the final model.
        seed (`int`): of initialisation, dropout and the order of batches.
        max_tokens (`int`, *optional*): budget of a batch, sentences times tokens of its longest side, **over all
            processes**, so that the number of processes does not change the result. 4096 if `batch_size` is not given.
        batch_size (`int`, *optional*): sentences in a batch over all processes, in place of `max_tokens`.
        gradient_accumulation_steps (`int`): batches summed, by target token, into one update.
        max_epochs (`int`, *optional*): passes over the training text.
        max_updates (`int`, *optional*): optimizer updates.
        max_minutes (`float`, *optional*): wall time of training, validation included. At least one of the
            three limits is needed.
        optimizer (`"adamw"` or `"adam"`): Adam (Kingma and Ba 2015) with decoupled weight decay, or with L2.
        learning_rate (`float`): after warm-up.
        lr_scheduler (`str`): see [`LearningRate`].
        warmup_updates (`int`): updates of linear warm-up.
        lr_factor (`float`): of `lr_scheduler="plateau"`.
        lr_patience (`int`): of `lr_scheduler="plateau"`, in validations.
        weight_decay (`float`): of the optimizer.
        adam_beta1 (`float`): of the optimizer.
        adam_beta2 (`float`): of the optimizer.
        adam_epsilon (`float`): of the optimizer.
        max_grad_norm (`float`): clip gradients to this norm.
        label_smoothing (`float`): probability spread over the vocabulary (Szegedy et al. 2016, section 7).
        mixed_precision (`"no"`, `"bf16"` or `"fp16"`): bf16 works on CPU and GPU, fp16 on GPU.
        validate_every (`int`, *optional*): updates between validations, one epoch if not given.
        validation_examples (`int`, *optional*): generate only the first sentences when validating; the loss is over
            all of them.
        validation_beams (`int`): beams when validating.
        metric_for_best (`"bleu"`, `"chrf"`, `"exact_match"` or `"loss"`): what makes a checkpoint the best.
        patience (`int`, *optional*): stop after this many validations without a best.
        num_averaged (`int`): average the weights of this many checkpoints at the end; 1 turns it off.
        averaging (`"last"` or `"best"`): of which checkpoints.
        log_every (`int`): updates between lines of the log.
        report_to (`list[str]`): trackers of Accelerate by name: tensorboard, trackio, wandb.
        resume (`bool`): go on from the newest checkpoint of `output_dir`.
        overwrite (`bool`): delete the checkpoints of an earlier run in `output_dir`.
    """

    output_dir: str
    seed: int = 1
    max_tokens: int | None = None
    batch_size: int | None = None
    gradient_accumulation_steps: int = 1
    max_epochs: int | None = None
    max_updates: int | None = None
    max_minutes: float | None = None
    optimizer: Literal["adamw", "adam"] = "adamw"
    learning_rate: float = 1e-3
    lr_scheduler: Schedule = "inverse_sqrt"
    warmup_updates: int = 400
    lr_factor: float = 0.5
    lr_patience: int = 1
    weight_decay: float = 0.0
    adam_beta1: float = 0.9
    adam_beta2: float = 0.98
    adam_epsilon: float = 1e-9
    max_grad_norm: float = 1.0
    label_smoothing: float = 0.1
    mixed_precision: Literal["no", "bf16", "fp16"] = "no"
    validate_every: int | None = None
    validation_examples: int | None = None
    validation_beams: int = 1
    metric_for_best: Literal["bleu", "chrf", "exact_match", "loss"] = "bleu"
    patience: int | None = None
    num_averaged: int = 1
    averaging: Literal["last", "best"] = "last"
    log_every: int = 50
    report_to: list[str] = dataclasses.field(default_factory=list)
    resume: bool = False
    overwrite: bool = False

    def __post_init__(self):
        if self.max_tokens is None and self.batch_size is None:
            self.max_tokens = 4096
        if self.max_epochs is None and self.max_updates is None and self.max_minutes is None:
            raise ValueError("Training needs an end: set `max_epochs`, `max_updates` or `max_minutes`.")
        if self.resume and self.overwrite:
            raise ValueError("`resume` and `overwrite` contradict each other, got both; choose one.")
        for name in _COUNTS:
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"`{name}` must be at least 1, got {value}.")
        for name in ("learning_rate", "max_grad_norm"):
            if not getattr(self, name) > 0:
                raise ValueError(f"`{name}` must be larger than 0, got {getattr(self, name)}.")
        if not 0 <= self.label_smoothing < 1:
            raise ValueError(f"`label_smoothing` is a probability in [0, 1), got {self.label_smoothing}.")


_COUNTS = (
    "max_tokens",
    "batch_size",
    "gradient_accumulation_steps",
    "max_epochs",
    "max_updates",
    "lr_patience",
    "validate_every",
    "validation_examples",
    "validation_beams",
    "patience",
    "num_averaged",
    "log_every",
)


@dataclasses.dataclass
class WordVectorArguments:
    """Pretrained vectors in the place of random embeddings, see [`load_word_vectors`].

    Args:
        source (`str`, *optional*): GloVe or fastText text file of the source language.
        target (`str`, *optional*): of the target language.
    """

    source: str | None = None
    target: str | None = None


@dataclasses.dataclass
class CardArguments:
    """What the model card says beside the facts of the run.

    Args:
        license (`str`, *optional*): the Hub's name of a licence, such as `"apache-2.0"`.
        datasets (`list[str]`): Hub ids of the data; the training dataset if not given.
        notes (`str`, *optional*): Markdown below the recipe, for example where the data are found.
        limits (`str`, *optional*): Markdown in place of the standing warning.
        template (`str`, *optional*): Jinja file in place of `hub/model_card.md.jinja`.
    """

    license: str | None = None
    datasets: list[str] = dataclasses.field(default_factory=list)
    notes: str | None = None
    limits: str | None = None
    template: str | None = None


@dataclasses.dataclass
class Recipe:
    """Everything a training run is made of.

    Args:
        model (`dict`): fields of [`RnnSeq2SeqConfig`]; vocabulary sizes and special ids come from the tokenizer.
            `preset` names an architecture that the other fields change, see `RnnSeq2SeqConfig.from_preset`.
        generation (`dict`): fields of `GenerationConfig` saved with the model.
    """

    data: DataArguments
    training: TrainingArguments
    tokenizer: TokenizerArguments = dataclasses.field(default_factory=TokenizerArguments)
    model: dict[str, Any] = dataclasses.field(default_factory=dict)
    generation: dict[str, Any] = dataclasses.field(default_factory=dict)
    word_vectors: WordVectorArguments = dataclasses.field(default_factory=WordVectorArguments)
    card: CardArguments = dataclasses.field(default_factory=CardArguments)

    def __post_init__(self):
        fields = [field.name for field in dataclasses.fields(RnnSeq2SeqConfig)]
        check_names(self.model, ["preset", *fields], "model.")
        check_names(self.generation, GenerationConfig().to_dict(), "generation.")


def recipe_to_dict(recipe: Any) -> dict:
    """The recipe as it may be run again, in another folder or this one."""

    def clean(value):
        if isinstance(value, dict):
            return {key: clean(entry) for key, entry in value.items() if entry is not None and key not in dropped}
        return value

    # a count of one run, and what would continue or delete an earlier one
    dropped = {"skipped", "resume", "overwrite", "resume_from_checkpoint"}
    values = clean(dataclasses.asdict(recipe))
    for split in {"train", "validation", "test"} & values["data"].keys():
        text = values["data"][split]
        # what says nothing, and the split that files do not have
        silent = [name for name in ("streaming", "skip_bad_lines") if not text[name]]
        for name in silent if "dataset" in text else [*silent, "split"]:
            del text[name]
    return values


def changed_settings(recipe: Recipe) -> dict[str, Any]:
    """Settings of training, tokenizer and model that are not the defaults, by their names in a recipe."""
    defaults = RnnSeq2SeqConfig().to_dict()
    changed = {f"model.{name}": value for name, value in recipe.model.items() if value != defaults.get(name)}
    for section in ("tokenizer", "training"):
        arguments = getattr(recipe, section)
        for field in dataclasses.fields(arguments):
            value = getattr(arguments, field.name)
            is_default = value == field.default or (value == [] and field.default is dataclasses.MISSING)
            if not is_default and field.name not in ("output_dir", "resume", "overwrite"):
                changed[f"{section}.{field.name}"] = value
    return changed


def read_recipe(path: str | Path | None, overrides: list[str], kind: type[T] = Recipe) -> T:
    """A recipe from a YAML file and `section.key=value` words, which win.

    Args:
        path (`str`, *optional*): YAML file; nothing but the overrides if not given. Its key `base` may name another
            recipe, beside it, that it changes.
        overrides (`list[str]`): such as `training.learning_rate=1e-3`; values are YAML.
        kind (`type`): dataclass of the recipe.

    Raises:
        ValueError: if a name is unknown (with the nearest known one), missing, or a value has the wrong type.
    """
    values = _read_yaml(Path(path)) if path is not None else {}
    for override in overrides:
        name, equals, value = override.partition("=")
        if not equals:
            raise ValueError(f"Overrides are written `section.key=value`, got {override!r}.")
        *sections, key = name.split(".")
        place = values
        for section in sections:
            # a section may be missing, or empty in YAML
            place[section] = place.get(section) or {}
            place = place[section]
            if not isinstance(place, dict):
                raise ValueError(f"`{section}` in {override!r} is a single value, got {place!r}; set it as a whole.")
        place[key] = _parse_yaml(value, override)
    return _build(kind, values, "")


def _read_yaml(path: Path) -> dict:
    values = _parse_yaml(path.read_text(encoding="utf-8"), str(path))
    if not isinstance(values, dict):
        raise ValueError(f"A recipe must be YAML sections, got a {type(values).__name__} in {path}.")
    base = values.pop("base", None)
    return values if base is None else _merge(_read_yaml(path.parent / base), values)


def _parse_yaml(text: str, where: str) -> Any:
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(f"{where} is not valid YAML: {error}") from error


def _merge(base: dict, changes: dict) -> dict:
    """`base` with the values of `changes` in their places, however deep."""
    merged = dict(base)
    for name, value in changes.items():
        old = merged.get(name)
        merged[name] = _merge(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return merged


def _build(cls: type[T], values: dict, where: str) -> T:
    """A dataclass from nested dicts, its types checked and YAML's misread numbers (`1e-3`) mended."""
    fields = {field.name: field for field in dataclasses.fields(cls) if field.init}
    hints = typing.get_type_hints(cls)
    check_names(values, fields, where)
    missing = [
        name
        for name, field in fields.items()
        if name not in values and field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    ]
    if missing:
        raise ValueError(f"A recipe must set {', '.join(f'`{where}{name}`' for name in missing)}.")
    return cls(**{name: convert(value, hints[name], f"{where}{name}") for name, value in values.items()})


def check_names(values: dict, known: Iterable[str], where: str) -> None:
    """Refuse names that are not known, and say which known one is near."""
    known = list(known)
    for name in values:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean `{near[0]}`?" if near else f"there are: {', '.join(known)}."
            raise ValueError(f"`{where}{name}` is unknown in a recipe; {hint}")


def convert(value: Any, hint: Any, name: str) -> Any:
    """A value of YAML as the type `hint`; `name` is for the message if it cannot be."""
    options = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    for option in options:
        if option is type(None) and value is None:
            return None
        if typing.get_origin(option) is Literal and value in typing.get_args(option):
            return value
        if dataclasses.is_dataclass(option) and isinstance(value, dict):
            return _build(option, value, f"{name}.")
        if option is float and isinstance(value, int | float | str) and not isinstance(value, bool):
            try:
                return float(value)
            except ValueError:
                continue
        plain = typing.get_origin(option) or option
        if isinstance(plain, type) and isinstance(value, plain) and not (plain is int and isinstance(value, bool)):
            return value
    readable = " or ".join(_readable(option) for option in options)
    raise ValueError(f"`{name}` must be {readable}, got {value!r}.")


def _readable(option: Any) -> str:
    if typing.get_origin(option) is Literal:
        return " or ".join(map(repr, typing.get_args(option)))
    return "None" if option is type(None) else getattr(option, "__name__", str(option))
