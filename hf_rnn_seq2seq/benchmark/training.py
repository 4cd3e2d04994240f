"""Speed of training: updates on synthetic batches, with the hand-written paths and without."""

import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from torch.profiler import ProfilerActivity, profile

from ..data.batching import EncodedPair, collate
from .timing import fast_paths, race
from .workloads import PAD, WORKLOADS, build_model, draw_pairs, plan_batches

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


class TrainingRun:
    """A model, Adam, and batches to go through, as the training loop does.

    Args:
        name (`str`): of the workload.
        dtype_name (`str`): `"fp32"`, or `"bf16"` for autocast.
        num_batches (`int`): batches of one run.
        pairs: to train on; drawn if not given.
    """

    def __init__(
        self, name: str, dtype_name: str, num_batches: int, pairs: Sequence[EncodedPair] | None = None, **config
    ):
        workload = WORKLOADS[name]
        self.model = build_model(workload, **config).train()
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=1e-3, fused=True)
        self.is_bf16 = dtype_name == "bf16"
        vocab_size = self.model.config.vocab_size
        pairs = draw_pairs(60 * workload.batch_size, vocab_size=vocab_size) if pairs is None else pairs
        self.batches = plan_batches(pairs, workload.batch_size, num_batches)
        self.num_source = sum(len(pair.source) for batch in self.batches for pair in batch)
        self.num_target = sum(len(pair.target) for batch in self.batches for pair in batch)

    def run(self) -> float:
        """One update on every batch; seconds."""
        start = time.perf_counter()
        for batch in self.batches:
            self.update(collate(batch, pad_token_id=PAD))
        return time.perf_counter() - start

    def update(self, rows: dict[str, torch.Tensor]) -> None:
        """Forward, backward, clipping to norm 1, and Adam."""
        with torch.autocast("cpu", torch.bfloat16, enabled=self.is_bf16):
            loss = self.model(**rows, use_cache=False, skip_logits=True).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad()


def time_training(training_run: TrainingRun, num_runs: int):
    """Timings of a run by path: `fast` and `plain`."""

    def run(are_on: bool) -> float:
        with fast_paths(are_on):
            return training_run.run()

    return race({"fast": lambda: run(True), "plain": lambda: run(False)}, num_runs)


def measure_memory(name: str, dtype_name: str) -> dict[str, int]:
    """Most memory that training takes above what model and Adam hold, in bytes, by path; on Linux.

    Each path runs in a process of its own, with the allocator as it is.
    """
    program = "from hf_rnn_seq2seq.benchmark.training import print_peak; print_peak({!r}, {!r}, {})"
    peaks = {}
    for path in ("fast", "plain"):
        words = [sys.executable, "-c", program.format(name, dtype_name, path == "fast")]
        peaks[path] = int(subprocess.check_output(words, text=True).split()[-1])
    return peaks


def print_peak(name: str, dtype_name: str, are_on: bool) -> None:
    """What `measure_memory` lets another process do."""
    training_run = TrainingRun(name, dtype_name, 4)
    with fast_paths(are_on):
        # Adam has its state after one update
        training_run.update(collate(training_run.batches[0][:1], pad_token_id=PAD))
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
        before = _read_memory("VmHWM")
        training_run.run()
    sys.stdout.write(f"{_read_memory('VmHWM') - before}\n")


def _read_memory(name: str) -> int:
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))


_GROUPS = {
    "recurrence": (
        *("aten::lstm", "aten::mkldnn_rnn_layer", "MkldnnRnnLayer"),
        *("RecurrenceOverTime", "_Step", "_Weight", "LstmStep", "GruStep"),
    ),
    "output layer and loss": ("LinearCrossEntropy",),
    "optimizer and clipping": ("Optimizer.step", "aten::_foreach", "aten::linalg_vector_norm", "Optimizer.zero_grad"),
    "attention": ("attention", "AdditiveEnergies"),
    "readout": ("readout",),
    "embeddings": ("aten::embedding", "EmbeddingBackward"),
    "dropout": ("aten::random_", "aten::bernoulli_"),
}


def profile_training(training_run: TrainingRun) -> dict[str, float]:
    """Share of a run's time by part, with the hand-written paths."""
    decoder = training_run.model.get_decoder()
    handles = [
        handle
        for name, module in (("attention", decoder.attention), ("readout", decoder.readout))
        for handle in _mark(name, module)
    ]
    training_run.update(collate(training_run.batches[0], pad_token_id=PAD))
    with profile(activities=[ProfilerActivity.CPU]) as profiler:
        training_run.run()
    for handle in handles:
        handle.remove()
    forward_groups, seconds = {}, dict.fromkeys([*_GROUPS, "rest"], 0.0)
    events = sorted(profiler.events(), key=lambda event: event.time_range.start)
    for event in events:
        group = _find_group(event, forward_groups)
        is_forward = not event.name.startswith("autograd::")
        if event.sequence_nr >= 0 and is_forward:
            forward_groups.setdefault(event.sequence_nr, group)
        seconds[group] += event.self_cpu_time_total
    total = sum(seconds.values())
    return {group: value / total for group, value in seconds.items()}


def _mark(name: str, module: torch.nn.Module):
    """Name a module in the profile, as its own code does not."""
    marks = []

    def enter(*_):
        marks.append(torch.profiler.record_function(name))
        marks[-1].__enter__()

    def leave(*_):
        marks.pop().__exit__(None, None, None)

    return [module.register_forward_pre_hook(enter), module.register_forward_hook(leave)]


def _find_group(event, forward_groups: dict[int, str]) -> str:
    """The part that an event belongs to: by its name or that of what called it, or by what it is the backward of."""
    backward = None
    while event is not None:
        name = event.name.removeprefix("autograd::engine::evaluate_function: ")
        for group, prefixes in _GROUPS.items():
            if name.startswith(prefixes):
                return group
        if event.name.startswith("autograd::") and event.sequence_nr in forward_groups:
            backward = forward_groups[event.sequence_nr]
        event = event.cpu_parent
    return backward or "rest"
