"""Checkpoints of a run: written whole or not at all, the useful ones kept, averaged at the end."""

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file
from transformers import PreTrainedModel, PreTrainedTokenizerBase

STATE_FOLDER = "training_state"
_INDEX_FILE = "index.json"


@dataclass
class Checkpoint:
    """A model folder written at a validation.

    Attributes:
        name (`str`): of the folder.
        update (`int`): optimizer updates made until then.
        metric (`float`): what checkpoints are compared by; more is better.
    """

    name: str
    update: int
    metric: float


class CheckpointKeeper:
    """The folder `checkpoints/` of a run. It keeps the best, the last, and those to be averaged.

    Args:
        folder (`Path`): created when first written to.
        num_averaged (`int`): how many checkpoints are kept for averaging.
        averaging (`str`): `"last"` or `"best"`.
    """

    def __init__(self, folder: Path, *, num_averaged: int, averaging: str):
        self.folder, self.num_averaged, self.averaging = folder, num_averaged, averaging
        index = folder / _INDEX_FILE
        found = json.loads(index.read_text(encoding="utf-8")) if index.is_file() else []
        self.kept = [Checkpoint(**entry) for entry in found]

    @property
    def best(self) -> Checkpoint | None:
        """The one with the highest metric, the earlier of equals."""
        return max(self.kept, key=lambda checkpoint: (checkpoint.metric, -checkpoint.update), default=None)

    @property
    def last(self) -> Checkpoint | None:
        """The newest."""
        return max(self.kept, key=lambda checkpoint: checkpoint.update, default=None)

    def to_average(self) -> list[Checkpoint]:
        """The `num_averaged` last or best."""
        key = (lambda c: c.update) if self.averaging == "last" else (lambda c: (c.metric, -c.update))
        return sorted(self.kept, key=key, reverse=True)[: self.num_averaged]

    def path(self, checkpoint: Checkpoint) -> Path:
        """Folder of a checkpoint."""
        return self.folder / checkpoint.name

    def begin(self, update: int, *, create: bool = True) -> Path:
        """An empty folder to write the checkpoint of `update` into; it counts only after `commit`.

        Of several processes, one must `create`.
        """
        draft = self.folder / f"step-{update:08d}.unfinished"
        if create:
            shutil.rmtree(draft, ignore_errors=True)
            draft.mkdir(parents=True)
        return draft

    def commit(self, draft: Path, *, update: int, metric: float, write: bool = True) -> Checkpoint:
        """Let the folder from `begin` count, and remove what is no longer needed.

        Every process keeps the same list; one must `write`.
        """
        checkpoint = Checkpoint(draft.stem, update, metric)
        before = [c for c in self.kept if c.name != checkpoint.name]
        self.kept = [*before, checkpoint]
        keep = {c.name for c in [self.best, self.last, *self.to_average()]}
        self.kept = [c for c in self.kept if c.name in keep]
        if write:
            shutil.rmtree(self.path(checkpoint), ignore_errors=True)
            os.replace(draft, self.path(checkpoint))
            self._write_index()
            for old in before:
                # only the newest can be resumed from; optimizer states are twice the model
                unneeded = self.path(old) / STATE_FOLDER if old.name in keep else self.path(old)
                shutil.rmtree(unneeded, ignore_errors=True)
        return checkpoint

    def _write_index(self) -> None:
        draft = self.folder / f"{_INDEX_FILE}.unfinished"
        draft.write_text(json.dumps([vars(checkpoint) for checkpoint in self.kept], indent=1), encoding="utf-8")
        os.replace(draft, self.folder / _INDEX_FILE)


def save_folder(folder: Path, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> None:
    """Write a folder that `from_pretrained` loads: weights, config, generation config, tokenizer."""
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


@torch.no_grad()
def load_average(model: PreTrainedModel, folders: list[Path]) -> None:
    """Set the weights of `model` to the mean of those in `folders`, summed in float64.

    Raises:
        ValueError: if no folder is given.
    """
    if not folders:
        raise ValueError("Averaging needs at least one checkpoint, got none.")
    total: dict[str, torch.Tensor] = {}
    for folder in folders:
        for name, weight in load_file(folder / "model.safetensors").items():
            total[name] = total[name] + weight.double() if name in total else weight.double()
    # tied weights are stored once; the model knows where else they go
    parameters = dict(model.named_parameters(remove_duplicate=False))
    for name, weight in total.items():
        parameters[name].copy_(weight / len(folders))
