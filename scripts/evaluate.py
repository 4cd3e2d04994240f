"""Score a model on a test set: the same door as `hf-rnn-seq2seq evaluate`.

python scripts/evaluate.py runs/dates --dataset dates --json scores.json
python scripts/evaluate.py runs/multi30k_en_de --source-file test.en --target-file test.de --language de
"""

import sys

from hf_rnn_seq2seq.cli import main

if __name__ == "__main__":
    raise SystemExit(main(["evaluate", *sys.argv[1:]]))
