"""Translate lines of text: the same door as `hf-rnn-seq2seq translate`.

echo "A man is riding a bike." | python scripts/translate.py runs/multi30k_en_de
python scripts/translate.py runs/multi30k_en_de --input test.en --output test.de --n-best 5
"""

import sys

from hf_rnn_seq2seq.cli import main

if __name__ == "__main__":
    raise SystemExit(main(["translate", *sys.argv[1:]]))
