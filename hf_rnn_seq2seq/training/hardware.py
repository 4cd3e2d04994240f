"""What a run ran on, in words: machine and versions."""

import platform
from importlib.metadata import version
from pathlib import Path

import torch


def describe_hardware(device: torch.device) -> str:
    """Name of the GPU, or number of CPU threads and name of the CPU."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{torch.get_num_threads()} CPU threads ({_cpu_name()})"


def _cpu_name() -> str:
    # the standard library's answer is empty on Linux
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def list_versions() -> dict[str, str]:
    """Versions of Python and of the packages that decide what a run computes."""
    names = ("hf-rnn-seq2seq", "torch", "transformers", "tokenizers", "accelerate", "sacrebleu")
    return {"python": platform.python_version(), **{name: version(name) for name in names}}
