"""Measure how fast models train and decode, and how near that is to what this machine can multiply.

python scripts/benchmark.py --output runs/benchmark
python scripts/benchmark.py --part training --workload w1 --dtype bf16

The same as `hf-rnn-seq2seq benchmark`.
"""

import sys

from hf_rnn_seq2seq.cli import main

if __name__ == "__main__":
    sys.exit(main(["benchmark", *sys.argv[1:]]))
