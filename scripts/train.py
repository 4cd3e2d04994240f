"""Train a model by a recipe: the same door as `hf-rnn-seq2seq train`.

python scripts/train.py scripts/configs/dates.yaml
accelerate launch --num_processes 2 scripts/train.py scripts/configs/multi30k_en_de.yaml training.seed=2
"""

import sys

from hf_rnn_seq2seq.cli import main

if __name__ == "__main__":
    raise SystemExit(main(["train", *sys.argv[1:]]))
