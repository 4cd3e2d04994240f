"""Runs of several contestants side by side, and what to say of their times."""

import os
import statistics
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch

from ..model.modeling_fast_paths import SWITCH


@dataclass(frozen=True)
class Timing:
    """Several runs of the same work.

    Attributes:
        seconds (`list[float]`): of each run.
    """

    seconds: list[float]

    @property
    def median(self) -> float:
        """Seconds of the middle run."""
        return statistics.median(self.seconds)

    def rate(self, amount: float) -> str:
        """Median, smallest and largest of `amount` per second, as text."""
        rates = [amount / seconds for seconds in self.seconds]
        return f"{statistics.median(rates):,.0f} ({min(rates):,.0f} to {max(rates):,.0f})"


def race(contestants: dict[str, Callable[[], float]], num_runs: int) -> dict[str, Timing]:
    """Let all run in turn, so that what else the machine does hits all alike.

    Args:
        contestants: functions that do the work and return the seconds it took; each is called once before it counts.
        num_runs (`int`): runs that count.
    """
    for run in contestants.values():
        run()
    seconds = {name: [] for name in contestants}
    for _ in range(num_runs):
        for name, run in contestants.items():
            seconds[name].append(run())
    return {name: Timing(runs) for name, runs in seconds.items()}


@contextmanager
def fast_paths(are_on: bool) -> Iterator[None]:
    """With the hand-written paths, or without."""
    before = os.environ.get(SWITCH)
    os.environ[SWITCH] = "1" if are_on else "0"
    try:
        yield
    finally:
        if before is None:
            del os.environ[SWITCH]
        else:
            os.environ[SWITCH] = before


@contextmanager
def threads(number: int) -> Iterator[None]:
    """With this many threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)
