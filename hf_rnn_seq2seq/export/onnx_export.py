"""Write a model as ONNX: encoder and one decoder step, in float32 and with int8 weights."""

import contextlib
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path

import torch
from transformers import PreTrainedTokenizerBase

from ..model.modeling_rnn_seq2seq import RnnSeq2SeqForConditionalGeneration
from .onnx_graphs import DecoderStepGraph, EncoderGraph, refuse_what_is_missing

ENCODER, DECODER_STEP = "encoder", "decoder_step"


def export_onnx(
    model: RnnSeq2SeqForConditionalGeneration, tokenizer: PreTrainedTokenizerBase, folder: Path, *, int8: bool = True
) -> None:
    """Write `encoder.onnx`, `decoder_step.onnx`, with `int8` also `encoder.int8.onnx` and `decoder_step.int8.onnx`.

    The tokenizer, the config and the generation config lie beside them, so that `OnnxTranslator` needs nothing else.

    Args:
        model: any of ours.
        tokenizer: its tokenizer.
        folder (`Path`): created if it does not exist.
        int8 (`bool`): also write weights quantised to 8 bits, activations at run time (ONNX Runtime's dynamic
            quantisation).

    Raises:
        ValueError: if the architecture has a part that is not exported.
        ModuleNotFoundError: if the extra `onnx` is not installed.
    """
    from onnxruntime.quantization import QuantType, quantize_dynamic

    refuse_what_is_missing(model.config)
    folder.mkdir(parents=True, exist_ok=True)
    # float32 on the CPU, whatever the model is elsewhere
    copy = type(model)(model.config).eval()
    copy.load_state_dict(model.state_dict())
    with torch.no_grad():
        _export_encoder(copy, folder / f"{ENCODER}.onnx")
        _export_decoder_step(copy, folder / f"{DECODER_STEP}.onnx")
    for name in (ENCODER, DECODER_STEP) if int8 else ():
        with _quietly():
            quantize_dynamic(folder / f"{name}.onnx", folder / f"{name}.int8.onnx", weight_type=QuantType.QInt8)
    tokenizer.save_pretrained(folder)
    model.config.save_pretrained(folder)
    model.generation_config.save_pretrained(folder)


def _state_names(model: RnnSeq2SeqForConditionalGeneration) -> list[str]:
    config = model.config
    parts = ("hidden", "cell") if config.cell_type == "lstm" else ("hidden",)
    return [f"{part}_{layer}" for layer in range(config.num_decoder_layers) for part in parts]


def _export_encoder(model: RnnSeq2SeqForConditionalGeneration, path: Path) -> None:
    example = (torch.ones(2, 3, dtype=torch.long), torch.tensor([2, 3]))
    free = torch.export.Dim.DYNAMIC
    _export(
        EncoderGraph(model),
        example,
        path,
        dynamic_shapes=({0: free, 1: free}, {0: free}),
        input_names=["input_ids", "lengths"],
        output_names=["keys", "values", *_state_names(model)],
    )


def _export_decoder_step(model: RnnSeq2SeqForConditionalGeneration, path: Path) -> None:
    config, free = model.config, torch.export.Dim.DYNAMIC
    batch, beams, steps = 2, 3, 5
    names = _state_names(model)
    sizes = [config.decoder_hidden_size] * len(names)
    if config.decoder_type == "input_feeding":
        names, sizes = [*names, "feed"], [*sizes, config.readout_size]
    memory = model.get_decoder().attention.project_memory(torch.zeros(batch, steps, config.memory_size))
    keys, values = memory.keys.contiguous(), memory.values.clone()
    source = {0: free, 2: free}
    carried = [torch.zeros(batch, beams, size) for size in sizes]
    tokens = torch.ones(batch, beams, dtype=torch.long)
    rows = {0: free, 1: free}
    _export(
        DecoderStepGraph(model),
        (tokens, keys, values, torch.tensor([4, 5]), torch.tensor([4]), carried),
        path,
        dynamic_shapes=(rows, source, source, {0: free}, None, [rows] * len(carried)),
        input_names=["input_ids", "keys", "values", "lengths", "num_candidates", *names],
        output_names=["logits", "log_probs", "ids", *[f"new_{name}" for name in names]],
    )


def _export(graph: torch.nn.Module, example: tuple, path: Path, **options) -> None:
    with _quietly():
        program = torch.onnx.export(graph.eval(), example, dynamo=True, verbose=False, **options)
    program.save(path)
    _free_candidates(path)


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """Without the exporter's and the quantiser's advice to developers."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def _free_candidates(path: Path) -> None:
    """Let the number of candidates be any, not the one that the graph was traced with."""
    import onnx

    program = onnx.load(path)
    for output in program.graph.output:
        if output.name in ("log_probs", "ids"):
            output.type.tensor_type.shape.dim[2].dim_param = "num_candidates"
    # shapes of what is inside are inferred anew: the traced ones say otherwise
    del program.graph.value_info[:]
    onnx.save(program, path)
