"""Size, speed and BLEU of one model under PyTorch and ONNX Runtime, measured in turns in one run.

python scripts/benchmark_onnx.py runs/multi30k_en_de --source test.en --target test.de --language de
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer
from transformers.utils import logging

from hf_rnn_seq2seq import ParallelText, translate
from hf_rnn_seq2seq.allocator import keep_freed_memory
from hf_rnn_seq2seq.export.onnx_export import export_onnx
from hf_rnn_seq2seq.export.onnx_runner import OnnxTranslator
from hf_rnn_seq2seq.training.hardware import describe_hardware, list_versions
from hf_rnn_seq2seq.training.metrics import score_test_set

Translate = Callable[[list[str], int], list[str]]


def build(folder: Path, onnx_folder: Path, batch_size: int, threads: int) -> dict[str, tuple[int, Translate]]:
    """Name -> bytes of its weights, and a function from texts and beams to translations."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    variants = {}
    for name, dtype in (("PyTorch fp32", torch.float32), ("PyTorch bf16", torch.bfloat16)):
        model = AutoModelForSeq2SeqLM.from_pretrained(folder, dtype=dtype).eval()
        longest = model.generation_config.max_new_tokens
        size = sum(p.numel() * p.element_size() for p in model.parameters())

        def with_torch(texts: list[str], beams: int, model=model) -> list[str]:
            results = translate(model, tokenizer, texts, batch_size=batch_size, num_beams=beams)
            return [best[0].text for best in results]

        variants[name] = (size, with_torch)
    for precision in ("fp32", "int8"):
        translator = OnnxTranslator(onnx_folder, precision=precision, num_threads=threads)
        suffix = ".int8.onnx" if precision == "int8" else ".onnx"
        size = sum((onnx_folder / f"{part}{suffix}").stat().st_size for part in ("encoder", "decoder_step"))

        def with_onnx(texts: list[str], beams: int, translator=translator, longest=longest) -> list[str]:
            return translator.translate(texts, batch_size=batch_size, num_beams=beams, max_new_tokens=longest)

        variants[f"ONNX Runtime {precision}"] = (size, with_onnx)
    return variants


def measure(
    variants: dict, sources: list[str], references: list[str], beams: int, repeats: int, language: str
) -> list:
    """A row for each variant; every repeat runs all of them, so that they share what else the machine does."""
    seconds = {name: [] for name in variants}
    texts = {}
    for _ in range(repeats):
        for name, (_, run) in variants.items():
            started = time.perf_counter()
            texts[name] = run(sources, beams)
            seconds[name].append(time.perf_counter() - started)
    first = next(iter(variants))
    rows = []
    for name, (size, _) in variants.items():
        scores = {score.name: score for score in score_test_set(texts[name], references, language)}
        ratios = [base / own for base, own in zip(seconds[first], seconds[name], strict=True)]
        rows.append(
            {
                "variant": name,
                "beams": beams,
                "megabytes": size / 1e6,
                "sentences_per_second": len(sources) / statistics.median(seconds[name]),
                "speed_ratio": statistics.median(ratios),
                "same_as_first": sum(a == b for a, b in zip(texts[name], texts[first], strict=True)),
                "scores": {key: score.value for key, score in scores.items()},
                "signature": scores["BLEU"].signature,
            }
        )
    return rows


def main() -> None:
    """Export, measure, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="folder of a trained model")
    parser.add_argument("--source", type=Path, required=True, help="test sentences, one a line")
    parser.add_argument("--target", type=Path, required=True, help="their references")
    parser.add_argument("--language", required=True, help="target language, such as de")
    parser.add_argument("--beams", type=int, nargs="+", default=[1, 5])
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", type=Path, help="also write the rows to this file")
    arguments = parser.parse_args()
    keep_freed_memory()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    torch.set_num_threads(arguments.threads)
    pairs = ParallelText(source_file=str(arguments.source), target_file=str(arguments.target)).pairs()
    sources, references = zip(*pairs, strict=True)
    with tempfile.TemporaryDirectory() as folder:
        model = AutoModelForSeq2SeqLM.from_pretrained(arguments.model)
        export_onnx(model, AutoTokenizer.from_pretrained(arguments.model), Path(folder))
        variants = build(arguments.model, Path(folder), arguments.batch_size, arguments.threads)
        rows = []
        for beams in arguments.beams:
            rows += measure(variants, sources, references, beams, arguments.repeats, arguments.language)
    print(f"{len(sources)} sentences, batch {arguments.batch_size}, median of {arguments.repeats} runs in turns")
    print(f"{describe_hardware(torch.device('cpu'))}, {list_versions()}")
    print(
        "| | beams | MB | sentences/s | ratio | BLEU | chrF | equal translations |\n|---|---|---|---|---|---|---|---|"
    )
    for row in rows:
        print(
            f"| {row['variant']} | {row['beams']} | {row['megabytes']:.1f} | {row['sentences_per_second']:.0f} "
            f"| {row['speed_ratio']:.2f} | {row['scores']['BLEU']:.2f} | {row['scores']['chrF']:.2f} "
            f"| {row['same_as_first']} |"
        )
    print(rows[0]["signature"])
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
