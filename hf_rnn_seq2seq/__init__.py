"""RNN encoder-decoders with attention as first-class Hugging Face models."""

import importlib

from transformers import AutoConfig, AutoModel, AutoModelForSeq2SeqLM, AutoTokenizer

from .model.configuration_rnn_seq2seq import RnnSeq2SeqConfig
from .model.modeling_rnn_seq2seq import RnnSeq2SeqForConditionalGeneration, RnnSeq2SeqModel
from .model.tokenization_rnn_seq2seq import RnnSeq2SeqTokenizer

AutoConfig.register(RnnSeq2SeqConfig.model_type, RnnSeq2SeqConfig, exist_ok=True)
AutoModel.register(RnnSeq2SeqConfig, RnnSeq2SeqModel, exist_ok=True)
AutoModelForSeq2SeqLM.register(RnnSeq2SeqConfig, RnnSeq2SeqForConditionalGeneration, exist_ok=True)
AutoTokenizer.register(RnnSeq2SeqConfig, fast_tokenizer_class=RnnSeq2SeqTokenizer, exist_ok=True)

# imported when first asked for: a GPU host that only loads and generates needs none of what they import
_LATE = {
    "ParallelText": ".data.parallel_text",
    "train_tokenizer": ".data.tokenizer_training",
    "map_attention": ".decoding.attention_map",
    "plot_attention": ".decoding.attention_map",
    "translate": ".decoding.translation",
    "read_recipe": ".training.arguments",
    "train": ".training.run",
}


def __getattr__(name: str):
    if name not in _LATE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_LATE[name], __name__), name)


__all__ = [
    "RnnSeq2SeqConfig",
    "RnnSeq2SeqForConditionalGeneration",
    "RnnSeq2SeqModel",
    "RnnSeq2SeqTokenizer",
    *_LATE,
]
