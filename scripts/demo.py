"""The main job from start to finish on the built-in corpus: train, test, translate, look at attention.

make demo
"""

import argparse
import io
import sys
from pathlib import Path

from hf_rnn_seq2seq.cli import main

RECIPE = Path(__file__).parent / "configs" / "dates.yaml"
SENTENCES = [
    "Mon 3rd of Feb, 2025 at 2:05 pm",
    "friday, july 4th 1986",
    "12/24/1999 23:59:07",
    "the 21st of September 2048, 12:00 AM",
]


def demo(folder: Path) -> int:
    """Run the demo in `folder`; returns the exit status."""
    print(f"1. Training on English dates and their German form (recipe {RECIPE})")
    if main(["train", str(RECIPE), f"training.output_dir={folder}", "training.overwrite=true"]):
        return 1
    print("\n2. Translating through the saved folder")
    standard_input, sys.stdin = sys.stdin, io.StringIO("\n".join(SENTENCES))
    try:
        if main(["translate", str(folder), "--output", str(folder / "demo.txt")]):
            return 1
    finally:
        sys.stdin = standard_input
    translations = (folder / "demo.txt").read_text(encoding="utf-8").splitlines()
    for source, translation in zip(SENTENCES, translations, strict=True):
        print(f"   {source}\n   -> {translation}")
    print("\n3. Looking at attention")
    if main(["attention", str(folder), SENTENCES[0], "--output", str(folder / "demo_attention.png")]):
        return 1
    print(f"\nSee {folder / 'learning_curves.png'}, {folder / 'demo_attention.png'} and {folder / 'README.md'}")
    return 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output-dir", type=Path, default=Path("runs/dates"), help="%(default)s")
    raise SystemExit(demo(parser.parse_args().output_dir))
