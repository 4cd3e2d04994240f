"""Train every named architecture on the built-in corpus and print one table.

python scripts/train_presets.py --output runs/presets
python scripts/train_presets.py --output runs/presets --preset gnmt2016 --preset cho2014

Presets whose folder holds results already are not trained again.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

from hf_rnn_seq2seq.model.configuration_presets import PRESETS

RECIPE = Path(__file__).parent / "configs" / "presets_on_dates.yaml"
_TWO_LAYERS = ["model.num_encoder_layers=2", "model.num_decoder_layers=2"]
# random weights of a paper's size are for its widths, and too small for these
_OWN_INIT = ["model.init_uniform=null", "model.init_std=null"]
# widths that go together, depths that two cores can train, and more passes where the source is one vector
CHANGES = {
    "cho2014": ["model.readout_size=96", "model.encoder_hidden_size=192", *_OWN_INIT, "training.max_epochs=24"],
    "sutskever2014": ["model.encoder_hidden_size=192", *_TWO_LAYERS, *_OWN_INIT, "training.max_epochs=24"],
    "bahdanau2015": ["model.readout_size=96", *_OWN_INIT],
    "luong2015": ["model.encoder_hidden_size=192", *_TWO_LAYERS, *_OWN_INIT],
    "luong2015_input_feeding": ["model.encoder_hidden_size=192", *_TWO_LAYERS, *_OWN_INIT, "training.max_epochs=10"],
    "gnmt2016": ["model.num_encoder_layers=3", "model.num_decoder_layers=3", *_OWN_INIT, "training.max_epochs=16"],
    # cells that torch has no kernel for are slow
    "rnmt_plus2018": ["model.num_encoder_layers=3", "model.num_decoder_layers=3", "training.max_epochs=3"],
    "nematus2017": _OWN_INIT,
    # the paper adds the coverage loss at the end only, since it disturbs the beginning (section 5)
    "see2017": ["model.readout_size=192", "model.coverage_loss_weight=0", *_OWN_INIT],
}


def train(preset: str, output: Path) -> None:
    """One preset in a process of its own, unless it has been trained."""
    folder = output / preset
    if (folder / "results.json").is_file():
        return
    words = [f"model.preset={preset}", f"training.output_dir={folder}", *CHANGES.get(preset, [])]
    command = [sys.executable, "-m", "hf_rnn_seq2seq.cli", "train", str(RECIPE), "training.overwrite=true", *words]
    subprocess.run(command, check=True)


def describe(preset: str, output: Path) -> str:
    """A row of the table."""
    facts = json.loads((output / preset / "results.json").read_text(encoding="utf-8"))
    exact = {score["name"]: score["value"] for score in facts["test"]}["exact match"]
    cells = [
        f"`{preset}`",
        f"{facts['num_parameters'] / 1e6:.2f} M",
        f"{facts['epochs']}",
        f"{facts['training_wall_seconds'] / 60:.1f}",
        f"{exact:.1f}%",
    ]
    return f"| {' | '.join(cells)} |"


def main() -> None:
    """Train what is missing and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--output", type=Path, required=True, help="folder for a folder of each preset")
    parser.add_argument("--preset", action="append", choices=list(PRESETS), help="only this one, or several")
    arguments = parser.parse_args()
    chosen = arguments.preset or list(PRESETS)
    for preset in chosen:
        train(preset, arguments.output)
    rows = [describe(preset, arguments.output) for preset in chosen]
    header = "| preset | parameters | epochs | minutes | exact match |\n|---|---|---|---|---|"
    sys.stdout.write("\n".join([header, *rows]) + "\n")


if __name__ == "__main__":
    main()
