"""A folder as its users need it: checked, completed, and what of it goes to the Hub."""

import json
from dataclasses import dataclass
from pathlib import Path

from transformers import AutoTokenizer, GenerationConfig

from ..model.checkpoint_code import NAMELESS, PLAIN_CARD, code_files, copy_code
from ..model.configuration_rnn_seq2seq import RnnSeq2SeqConfig
from ..model.tokenization_rnn_seq2seq import RnnSeq2SeqTokenizer
from .card import CARD_FILE, RECIPE_FILE, RESULTS_FILE, is_unedited, render_model_card

_WEIGHTS = ("model.safetensors", "model.safetensors.index.json")
# pickles, which run code when they are read, and what an interrupted run may leave
_LEFT_OUT = (".bin", ".pt", ".pth", ".pkl", ".pickle", ".unfinished", ".lock", ".incomplete")


@dataclass(frozen=True)
class HubFiles:
    """What would be uploaded.

    Attributes:
        files (`dict[str, Path | bytes]`): name in the repository -> file, or content that differs from the file.
        left_out (`list[str]`): names in the folder that stay home.
    """

    files: dict[str, Path | bytes]
    left_out: list[str]

    def sizes(self) -> dict[str, int]:
        """Bytes of each file."""
        return {
            name: len(content) if isinstance(content, bytes) else content.stat().st_size
            for name, content in self.files.items()
        }


def complete_folder(folder: Path) -> None:
    """Add what a saved model's folder lacks to work without this package: code, its place in the config, settings.

    Raises:
        ValueError: if the folder holds no model of ours, its weights are not in safetensors, or it has no tokenizer.
    """
    config_file = folder / "config.json"
    if not config_file.is_file():
        raise ValueError(f"`folder` must hold a saved model, got {folder} without config.json.")
    saved = json.loads(config_file.read_text(encoding="utf-8"))
    if saved.get("model_type") != RnnSeq2SeqConfig.model_type:
        raise ValueError(
            f"`folder` must hold a model of type {RnnSeq2SeqConfig.model_type!r}, got {saved.get('model_type')!r} in "
            f"{folder}; push others with their own `push_to_hub`."
        )
    if not any((folder / name).is_file() for name in _WEIGHTS):
        raise ValueError(f"`folder` must hold {_WEIGHTS[0]}, got {folder} without it; save the model there.")
    if not (folder / "tokenizer_config.json").is_file():
        raise ValueError(
            f"`folder` must hold the tokenizer, got {folder} without tokenizer_config.json; save it there with "
            "`tokenizer.save_pretrained`."
        )
    if not {"auto_map", "custom_pipelines"} <= saved.keys():
        RnnSeq2SeqConfig.from_pretrained(folder).save_pretrained(folder)
    if not all((folder / name).is_file() for name in (*code_files(), CARD_FILE)):
        copy_code(folder)
    settings = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
    if settings.get("tokenizer_class") == RnnSeq2SeqTokenizer.__name__ and "auto_map" not in settings:
        AutoTokenizer.from_pretrained(folder).save_pretrained(folder)
    if not (folder / "generation_config.json").is_file():
        GenerationConfig.from_model_config(RnnSeq2SeqConfig.from_pretrained(folder)).save_pretrained(folder)


def collect_files(folder: Path, *, model_id: str) -> HubFiles:
    """The files of a complete folder that go to the Hub as `model_id`, its card written for that name.

    Folders inside it (checkpoints, training states) and files that are no part of a model stay home.
    """
    files, left_out = {}, []
    for path in sorted(folder.iterdir()):
        if path.is_dir() or path.name.startswith(".") or path.suffix in _LEFT_OUT:
            left_out.append(path.name)
        else:
            files[path.name] = path
    card = _write_card(folder, model_id)
    if card is not None:
        files[CARD_FILE] = card.encode()
    return HubFiles(files, left_out)


def _write_card(folder: Path, model_id: str) -> str | None:
    """The card with the model's name on the Hub; None where its owner has edited it."""
    there = (folder / CARD_FILE).read_text(encoding="utf-8")
    if there != PLAIN_CARD and not is_unedited(there):
        return None
    if (folder / RESULTS_FILE).is_file() and (folder / RECIPE_FILE).is_file():
        return render_model_card(folder, model_id=model_id)
    return there.replace(NAMELESS, model_id)
