"""The model card of a trained folder: facts of the run poured into a template."""

import json
from pathlib import Path

import yaml
from huggingface_hub import EvalResult, ModelCard, ModelCardData

TEMPLATE = Path(__file__).with_name("model_card.md.jinja")
RESULTS_FILE = "results.json"
RECIPE_FILE = "recipe.yaml"
CURVES_FILE = "learning_curves.png"
# our names of scores -> the Hub's
_METRIC_TYPES = {
    "BLEU": "bleu",
    "BLEU (lower-cased, Moses)": "bleu",
    "chrF": "chrf",
    "TER": "ter",
    "exact match": "exact_match",
}


def write_model_card(folder: Path, *, example: str) -> ModelCard:
    """Write `README.md` of a folder that holds a model, `results.json` and `recipe.yaml`.

    Args:
        folder (`Path`): as `train` leaves it.
        example (`str`): source sentence of the usage example.

    Raises:
        FileNotFoundError: if the facts of the run are missing.
    """
    facts = json.loads((folder / RESULTS_FILE).read_text(encoding="utf-8"))
    recipe_text = (folder / RECIPE_FILE).read_text(encoding="utf-8")
    recipe = yaml.safe_load(recipe_text)
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    data = recipe["data"]
    languages = [data[side] for side in ("source_language", "target_language") if side in data]
    test_set = _describe_text(data["test"]) if "test" in data else None
    card = ModelCard.from_template(
        _metadata(folder.name, facts, languages, test_set),
        template_path=str(TEMPLATE),
        title=folder.name,
        model_id=folder.name,
        summary=_summarise(config, languages),
        architecture=_describe_architecture(config),
        tokenizer=_describe_tokenizer(recipe.get("tokenizer", {}), config),
        training_text=_describe_training_text(data["train"], facts),
        test_set=test_set,
        facts=facts,
        recipe=recipe_text,
        example=example.replace('"', '\\"'),
        has_curves=(folder / CURVES_FILE).is_file(),
    )
    card.save(folder / "README.md")
    return card


def _metadata(name: str, facts: dict, languages: list[str], test_set: str | None) -> ModelCardData:
    results = [
        EvalResult(
            task_type="translation",
            dataset_type="text",
            dataset_name=test_set,
            metric_type=_METRIC_TYPES[score["name"]],
            metric_name=score["name"],
            metric_value=round(score["value"], 2),
        )
        for score in facts.get("test", [])
    ]
    return ModelCardData(
        language=languages or None,
        library_name="transformers",
        pipeline_tag="translation",
        tags=["rnn_seq2seq", "seq2seq", "attention"],
        model_name=name if results else None,
        eval_results=results or None,
    )


def _summarise(config: dict, languages: list[str]) -> str:
    direction = f" from {languages[0]} to {languages[1]}" if len(languages) == 2 else ""
    return f"An RNN encoder-decoder with attention{direction}, trained from scratch with `hf-rnn-seq2seq`."


def _describe_architecture(config: dict) -> str:
    directions = "bidirectional " if config["bidirectional"] else ""
    return (
        f"{config['num_encoder_layers']}-layer {directions}{config['cell_type'].upper()} encoder "
        f"({config['encoder_hidden_size']} units a direction), {config['num_decoder_layers']}-layer decoder "
        f"({config['decoder_hidden_size']} units, `{config['decoder_type']}`), {config['attention_type']} attention, "
        f"embeddings {config['embedding_size']}"
    )


def _describe_tokenizer(tokenizer: dict, config: dict) -> str:
    if "path" in tokenizer:
        return f"`{tokenizer['path']}`"
    sizes = f"{config['vocab_size']:,} tokens"
    if not config["share_encoder_decoder_embeddings"]:
        sizes = f"{config['vocab_size']:,} source and {config['decoder_vocab_size']:,} target tokens"
    return f"{'joint' if tokenizer['joint'] else 'separate'} {tokenizer['kind']}, {sizes}"


def _describe_text(text: dict) -> str:
    """A dataset and its split, or names of files without the folders of the machine they lay on."""
    if "dataset" in text:
        return f"{text['dataset']} ({text['split']})"
    return ", ".join(Path(text[key]).name for key in ("file", "source_file", "target_file") if key in text)


def _describe_training_text(text: dict, facts: dict) -> str:
    count = facts["num_training_pairs"]
    return f"{_describe_text(text)}, {count:,} pairs" if count is not None else f"{_describe_text(text)}, streamed"
