"""The model card of a trained folder: facts of the run poured into a template."""

import hashlib
import json
import re
from pathlib import Path

import yaml
from huggingface_hub import EvalResult, ModelCard, ModelCardData

TEMPLATE = Path(__file__).with_name("model_card.md.jinja")
CARD_FILE = "README.md"
RESULTS_FILE = "results.json"
RECIPE_FILE = "recipe.yaml"
CURVES_FILE = "learning_curves.png"
ATTENTION_FILE = "attention.png"
# how a card is known that nobody has edited
_SEAL = re.compile(r"<!-- made from the facts of the run; (\w+) -->\s*$")
# our names of scores -> the Hub's
_METRIC_TYPES = {
    "BLEU": "bleu",
    "BLEU (lower-cased, Moses)": "bleu",
    "chrF": "chrf",
    "TER": "ter",
    "exact match": "exact_match",
}


def write_model_card(folder: Path) -> str:
    """Write `README.md` of a folder that holds a model, `results.json` and `recipe.yaml`.

    Args:
        folder (`Path`): as `train` leaves it. `card.template` of the recipe names a template of one's own.

    Raises:
        FileNotFoundError: if the facts of the run are missing.
    """
    card = render_model_card(folder, model_id=folder.resolve().name)
    (folder / CARD_FILE).write_text(card, encoding="utf-8")
    return card


def is_unedited(card: str) -> bool:
    """Whether a card is as `write_model_card` wrote it, in whatever folder."""
    found = _SEAL.search(card)
    return found is not None and found[1] == _digest(card[: found.start()])


def render_model_card(folder: Path, *, model_id: str) -> str:
    """The card that `write_model_card` writes, as it is for a model of the name `model_id`."""
    facts = json.loads((folder / RESULTS_FILE).read_text(encoding="utf-8"))
    recipe_text = (folder / RECIPE_FILE).read_text(encoding="utf-8")
    recipe = yaml.safe_load(recipe_text)
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    data = recipe["data"]
    languages = [data[side] for side in ("source_language", "target_language") if side in data]
    about = recipe.get("card", {})
    texts = {split: _describe_text(data[split]) for split in ("train", "validation", "test") if split in data}
    card = ModelCard.from_template(
        _metadata(model_id, facts, languages, texts.get("test"), data, about),
        template_path=str(about.get("template", TEMPLATE)),
        title=model_id.rpartition("/")[2],
        model_id=model_id,
        languages=languages,
        architecture=_describe_architecture(config),
        tokenizer=_describe_tokenizer(recipe.get("tokenizer"), config),
        texts=texts,
        facts=facts,
        base_model=facts.get("base_model"),
        about=about,
        command="finetune" if "base_model" in facts else "train",
        recipe=recipe_text,
        example=facts.get("example", "...").replace("\\", "\\\\").replace('"', '\\"'),
        has_curves=(folder / CURVES_FILE).is_file(),
        has_attention=(folder / ATTENTION_FILE).is_file(),
    )
    text = str(card).rstrip() + "\n"
    return f"{text}\n<!-- made from the facts of the run; {_digest(text)} -->\n"


def _digest(text: str) -> str:
    return hashlib.sha256(text.strip().encode()).hexdigest()[:16]


def _metadata(
    model_id: str, facts: dict, languages: list[str], test_set: str | None, data: dict, about: dict
) -> ModelCardData:
    results = [
        EvalResult(
            task_type="translation",
            task_name="Translation",
            dataset_type=data["test"].get("dataset", "text"),
            dataset_name=test_set,
            dataset_split=data["test"]["split"] if "dataset" in data["test"] else None,
            metric_type=_METRIC_TYPES[score["name"]],
            metric_name=score["name"],
            metric_value=round(score["value"], 2),
        )
        for score in facts.get("test", [])
    ]
    named = data["train"].get("dataset")
    datasets = about.get("datasets") or ([named] if named and "/" in named else None)
    return ModelCardData(
        language=languages or None,
        license=about.get("license"),
        library_name="transformers",
        pipeline_tag="translation",
        datasets=datasets,
        metrics=sorted({result.metric_type for result in results}) or None,
        base_model=_base_model(facts),
        tags=["rnn_seq2seq", "seq2seq"],
        model_name=model_id.rpartition("/")[2] if results else None,
        eval_results=results or None,
    )


def _base_model(facts: dict) -> str | None:
    """Hub id of what was fine-tuned; a local folder is noted by its name alone."""
    base = facts.get("base_model")
    return base if base and "/" in base else None


def _describe_architecture(config: dict) -> str:
    from ..model.configuration_rnn_seq2seq import RnnSeq2SeqConfig

    full, plain = RnnSeq2SeqConfig.from_dict(config), RnnSeq2SeqConfig()
    cell = full.cell_type.upper().replace("_", " ")
    direction = "bidirectional " if full.is_bidirectional(full.num_encoder_layers - 1) else ""
    attention = "no" if full.attention_type == "none" else full.attention_type.replace("_", " ")
    # what is said in words is not said again
    others = {name: getattr(full, name) for name in _SAID_AS_FIELDS if getattr(full, name) != getattr(plain, name)}
    return ", ".join(
        [
            f"{full.num_encoder_layers}-layer {direction}{cell} encoder "
            f"({full.encoder_hidden_size} units a direction)",
            f"{full.num_decoder_layers}-layer decoder ({full.decoder_hidden_size} units, `{full.decoder_type}`)",
            f"{attention} attention",
            f"embeddings {full.embedding_size}",
            *(f"`{name}={value}`" for name, value in others.items()),
        ]
    )


# choices of an architecture that a card names where they are not the usual ones
_SAID_AS_FIELDS = (
    "layer_norm",
    "reverse_source",
    "encoder_stride",
    "encoder_transitions",
    "decoder_transitions",
    "residual_from_layer",
    "num_attention_heads",
    "attention_feedback",
    "local_attention_window",
    "readout_type",
    "copy_attention",
)


def _describe_tokenizer(tokenizer: dict | None, config: dict) -> str:
    if tokenizer is None:
        return "that of the model it started from"
    if "path" in tokenizer:
        return f"`{tokenizer['path']}`"
    sizes = f"{config['vocab_size']:,} tokens"
    if not config.get("share_encoder_decoder_embeddings", True):
        sizes = f"{config['vocab_size']:,} source and {config['decoder_vocab_size']:,} target tokens"
    return f"{'joint' if tokenizer['joint'] else 'separate'} {tokenizer['kind']}, {sizes}"


def _describe_text(text: dict) -> str:
    """A dataset and its split, or names of files without the folders of the machine they lay on."""
    if "dataset" in text:
        return f"{text['dataset']} ({text['split']})"
    return ", ".join(Path(text[key]).name for key in ("file", "source_file", "target_file") if key in text)
