"""RNN encoder-decoders with attention as first-class Hugging Face models."""

import importlib
import re

from transformers import AutoConfig, AutoModel, AutoModelForSeq2SeqLM, AutoTokenizer, pipelines

from .model.configuration_rnn_seq2seq import RnnSeq2SeqConfig
from .model.modeling_rnn_seq2seq import RnnSeq2SeqForConditionalGeneration, RnnSeq2SeqModel
from .model.pipeline_attention import AttentionMap, map_attention
from .model.pipeline_rnn_seq2seq import TranslationPipeline
from .model.tokenization_rnn_seq2seq import RnnSeq2SeqTokenizer

AutoConfig.register(RnnSeq2SeqConfig.model_type, RnnSeq2SeqConfig, exist_ok=True)
AutoModel.register(RnnSeq2SeqConfig, RnnSeq2SeqModel, exist_ok=True)
AutoModelForSeq2SeqLM.register(RnnSeq2SeqConfig, RnnSeq2SeqForConditionalGeneration, exist_ok=True)
AutoTokenizer.register(RnnSeq2SeqConfig, fast_tokenizer_class=RnnSeq2SeqTokenizer, exist_ok=True)

_PAIR = re.compile(r"translation_(.+)_to_(.+)")
_check_other_task = pipelines.PIPELINE_REGISTRY.check_task


def _check_task(task: str) -> tuple:
    """As the registry's method of transformers 4, which knew `translation_xx_to_yy`."""
    pair = _PAIR.fullmatch(task)
    if pair is None:
        return _check_other_task(task)
    return "translation", pipelines.PIPELINE_REGISTRY.supported_tasks["translation"], pair.groups()


# transformers 5 removed the task; some of its versions refuse the name before they read the registry
vars(pipelines).get("REMOVED_TASKS", {}).pop("translation", None)
pipelines.PIPELINE_REGISTRY.check_task = _check_task
# not by `register_pipeline`, which would have code of ours saved with other people's models
pipelines.PIPELINE_REGISTRY.supported_tasks["translation"] = {
    "impl": TranslationPipeline,
    "pt": (AutoModelForSeq2SeqLM,),
    "default": {("en", other): {"model": ("google-t5/t5-base", "a9723ea")} for other in ("fr", "de", "ro")},
    "type": "text",
}

# imported when first asked for: a GPU host that only loads and generates needs none of what they import
_LATE = {
    "OnnxTranslator": ".export.onnx_runner",
    "ParallelText": ".data.parallel_text",
    "train_tokenizer": ".data.tokenizer_training",
    "EnsembleForConditionalGeneration": ".decoding.ensemble",
    "plot_attention": ".decoding.attention_map",
    "score": ".decoding.scoring",
    "build_compute_metrics": ".training.finetuning",
    "export_onnx": ".export.onnx_export",
    "finetune": ".training.finetuning",
    "load_metric": ".training.metrics",
    "load_word_vectors": ".training.word_vectors",
    "push_folder": ".hub.push",
    "read_finetuning_recipe": ".training.finetuning",
    "translate": ".decoding.translation",
    "read_recipe": ".training.arguments",
    "train": ".training.run",
}
# these need an extra; a star import leaves them out
_OF_EXTRAS = {"OnnxTranslator": "onnx", "export_onnx": "onnx"}


def __getattr__(name: str):
    if name not in _LATE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        return getattr(importlib.import_module(_LATE[name], __name__), name)
    except ModuleNotFoundError as error:
        if name in _OF_EXTRAS:
            raise ModuleNotFoundError(
                f'`{name}` needs `pip install "hf-rnn-seq2seq[{_OF_EXTRAS[name]}]"` ({error}).', name=error.name
            ) from error
        raise


__all__ = [
    "AttentionMap",
    "RnnSeq2SeqConfig",
    "RnnSeq2SeqForConditionalGeneration",
    "RnnSeq2SeqModel",
    "RnnSeq2SeqTokenizer",
    "TranslationPipeline",
    "map_attention",
    *(_LATE.keys() - _OF_EXTRAS.keys()),
]
