"""Draw the attention of a sentence: the same door as `hf-rnn-seq2seq attention`.

python scripts/attention.py runs/dates "Mon 3rd of Feb, 2025 at 2:05 pm" --output attention.png
"""

import sys

from hf_rnn_seq2seq.cli import main

if __name__ == "__main__":
    raise SystemExit(main(["attention", *sys.argv[1:]]))
