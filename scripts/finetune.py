"""Fine-tune a trained model on other pairs with Seq2SeqTrainer: the same door as `hf-rnn-seq2seq finetune`.

python scripts/finetune.py scripts/configs/finetune_tatoeba_to_multi30k.yaml
python scripts/finetune.py model=runs/general data.train.file=special.tsv data.validation.file=dev.tsv \
    training.output_dir=runs/special training.num_train_epochs=5
accelerate launch scripts/finetune.py recipe.yaml
"""

import sys

from hf_rnn_seq2seq.cli import main

if __name__ == "__main__":
    raise SystemExit(main(["finetune", *sys.argv[1:]]))
