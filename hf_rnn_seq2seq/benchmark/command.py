"""What `hf-rnn-seq2seq benchmark` does: measure, print tables, write JSON and a picture."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import torch

from ..training.hardware import describe_hardware, list_versions
from .decoding import DecodingRun, time_decoding
from .products import list_decoding_products, list_training_products, measure_seconds
from .scaling import measure_scaling, plot_scaling
from .training import DTYPES, TrainingRun, measure_memory, profile_training, time_training
from .workloads import WORKLOADS

_BATCH_SIZES = (1, 32, 128)


def run(
    *,
    part: list[str] | None,
    workload: list[str] | None,
    dtype: list[str] | None,
    runs: int,
    batches: int,
    sentences: int,
    threads: int | None,
    output: Path | None,
) -> None:
    """Measure, print a table of each part, and keep the numbers.

    Args:
        part: of `training`, `memory`, `profile`, `decoding`, `scaling`; all if not given.
        workload: names in `WORKLOADS`; all but `w4`, which wants a GPU, if not given. Decoding takes the first.
        dtype: `fp32`, `bf16`; both if not given.
        runs (`int`): of each, after one that does not count.
        batches (`int`): of a training run.
        sentences (`int`): of a decoding run.
        threads (`int`, *optional*): of torch.
        output (`Path`, *optional*): folder for `benchmark.json` and `scaling.png`.

    Raises:
        ValueError: if a name is none of those.
    """
    workloads = _check("workload", workload, list(WORKLOADS)) or [name for name in WORKLOADS if name != "w4"]
    dtypes = _check("dtype", dtype, list(DTYPES)) or list(DTYPES)
    parts: dict[str, Callable[[], object]] = {
        "training": lambda: _training_table(workloads, dtypes, runs, batches),
        "memory": lambda: _memory_table(workloads, dtypes),
        "profile": lambda: _profile_table(workloads, dtypes, batches),
        "decoding": lambda: _decoding_table(workloads[0], dtypes, runs, sentences),
        "scaling": lambda: {dtype_name: measure_scaling(dtype_name) for dtype_name in dtypes},
    }
    chosen = _check("part", part, list(parts)) or list(parts)
    if threads is not None:
        torch.set_num_threads(threads)
    facts = {"hardware": describe_hardware(torch.device("cpu")), "versions": list_versions()}
    sys.stdout.write(f"{facts['hardware']}, torch {facts['versions']['torch']}\n")
    for name in chosen:
        facts[name] = parts[name]()
        if output is not None:
            output.mkdir(parents=True, exist_ok=True)
            (output / "benchmark.json").write_text(json.dumps(facts, indent=2), encoding="utf-8")
    if output is not None and "scaling" in facts:
        plot_scaling(facts["scaling"], output / "scaling.png")


def _check(name: str, chosen: list[str] | None, known: list[str]) -> list[str] | None:
    for value in chosen or []:
        if value not in known:
            raise ValueError(f"`--{name}` must be one of {', '.join(known)}, got {value!r}.")
    return chosen


def _write_row(*cells: str) -> None:
    sys.stdout.write(f"| {' | '.join(cells)} |\n")
    sys.stdout.flush()


def _write_head(*cells: str) -> None:
    sys.stdout.write("\n")
    _write_row(*cells)
    _write_row(*["---"] * len(cells))


def _training_table(workloads: list[str], dtypes: list[str], num_runs: int, num_batches: int) -> list[dict]:
    _write_head(
        "training", "dtype", "target tokens/s", "source + target", "plain path", "fast / plain", "limit", "efficiency"
    )
    rows = []
    for name in workloads:
        for dtype_name in dtypes:
            training_run = TrainingRun(name, dtype_name, num_batches)
            timings = time_training(training_run, num_runs)
            limit = measure_seconds(
                list_training_products(training_run.model.config, training_run.batches), DTYPES[dtype_name]
            )
            fast, plain, num_target = timings["fast"], timings["plain"], training_run.num_target
            rows.append(
                {
                    "workload": name,
                    "dtype": dtype_name,
                    "num_target": num_target,
                    "num_source": training_run.num_source,
                    "fast_seconds": fast.seconds,
                    "plain_seconds": plain.seconds,
                    "limit_seconds": limit,
                }
            )
            _write_row(
                WORKLOADS[name].title,
                dtype_name,
                fast.rate(num_target),
                f"{(num_target + training_run.num_source) / fast.median:,.0f}",
                plain.rate(num_target),
                f"{plain.median / fast.median:.2f}",
                f"{num_target / limit:,.0f}",
                f"{100 * limit / fast.median:.0f}%",
            )
    return rows


def _memory_table(workloads: list[str], dtypes: list[str]) -> list[dict]:
    _write_head("training, memory above model and Adam", "dtype", "MiB", "plain path")
    rows = []
    for name in workloads:
        for dtype_name in dtypes:
            peaks = measure_memory(name, dtype_name)
            rows.append({"workload": name, "dtype": dtype_name, **peaks})
            _write_row(
                WORKLOADS[name].title, dtype_name, *(f"{peaks[path] / 2**20:,.0f}" for path in ("fast", "plain"))
            )
    return rows


def _profile_table(workloads: list[str], dtypes: list[str], num_batches: int) -> list[dict]:
    rows = []
    for name in workloads:
        for dtype_name in dtypes:
            shares = profile_training(TrainingRun(name, dtype_name, num_batches))
            if not rows:
                _write_head("training, share of time", "dtype", *shares)
            rows.append({"workload": name, "dtype": dtype_name, **shares})
            _write_row(WORKLOADS[name].title, dtype_name, *(f"{100 * share:.0f}%" for share in shares.values()))
    return rows


def _decoding_table(name: str, dtypes: list[str], num_runs: int, num_sentences: int) -> list[dict]:
    _write_head("decoding", "dtype", "batch", "beams", "sentences/s", "plain path", "fast / plain", "efficiency")
    rows = []
    for dtype_name in dtypes:
        for batch_size in _BATCH_SIZES:
            # one at a time is slow
            number = max(1, num_sentences // 8) if batch_size == 1 else num_sentences
            decoding_run = DecodingRun(name, dtype_name, number)
            for num_beams in (1, 5):
                timings = time_decoding(decoding_run, batch_size, num_beams, num_runs)
                products = list_decoding_products(decoding_run.model.config, decoding_run.pairs, batch_size, num_beams)
                limit = measure_seconds(products, DTYPES[dtype_name])
                fast, plain = timings["fast"], timings["plain"]
                rows.append(
                    {
                        "workload": name,
                        "dtype": dtype_name,
                        "batch_size": batch_size,
                        "num_beams": num_beams,
                        "num_sentences": number,
                        "fast_seconds": fast.seconds,
                        "plain_seconds": plain.seconds,
                        "limit_seconds": limit,
                    }
                )
                _write_row(
                    WORKLOADS[name].title,
                    dtype_name,
                    str(batch_size),
                    str(num_beams),
                    fast.rate(number),
                    plain.rate(number),
                    f"{plain.median / fast.median:.2f}",
                    f"{100 * limit / fast.median:.0f}%",
                )
    return rows
