"""RNN encoder-decoders with attention as first-class Hugging Face models."""

from transformers import AutoConfig, AutoModel, AutoModelForSeq2SeqLM, AutoTokenizer

from .model.configuration_rnn_seq2seq import RnnSeq2SeqConfig
from .model.modeling_rnn_seq2seq import RnnSeq2SeqForConditionalGeneration, RnnSeq2SeqModel
from .model.tokenization_rnn_seq2seq import RnnSeq2SeqTokenizer

AutoConfig.register(RnnSeq2SeqConfig.model_type, RnnSeq2SeqConfig, exist_ok=True)
AutoModel.register(RnnSeq2SeqConfig, RnnSeq2SeqModel, exist_ok=True)
AutoModelForSeq2SeqLM.register(RnnSeq2SeqConfig, RnnSeq2SeqForConditionalGeneration, exist_ok=True)
AutoTokenizer.register(RnnSeq2SeqConfig, fast_tokenizer_class=RnnSeq2SeqTokenizer, exist_ok=True)
