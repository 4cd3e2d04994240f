"""Learning rate as a function of the update: warm-up, then constant, inverse square root, cosine or plateau."""

import math
from typing import Literal

Schedule = Literal["constant", "inverse_sqrt", "cosine", "plateau"]


class LearningRate:
    """Rate for each update.

    Args:
        peak (`float`): rate after warm-up.
        schedule (`str`): `"constant"`; `"inverse_sqrt"` (Vaswani et al. 2017, section 5.3); `"cosine"` to 0 at
            `num_updates`; `"plateau"`: times `factor` when validation has not improved `patience` times in a row.
        warmup_updates (`int`): linear rise from 0 over this many updates.
        num_updates (`int`, *optional*): length of training, needed by `"cosine"`.
        factor (`float`): of `"plateau"`.
        patience (`int`): of `"plateau"`, in validations.

    Raises:
        ValueError: if `"cosine"` has no `num_updates`.
    """

    def __init__(
        self,
        *,
        peak: float,
        schedule: Schedule = "constant",
        warmup_updates: int = 0,
        num_updates: int | None = None,
        factor: float = 0.5,
        patience: int = 1,
    ):
        if schedule == "cosine" and num_updates is None:
            raise ValueError(
                "`lr_scheduler='cosine'` must know where training ends; set `max_updates`, or `max_epochs` without "
                "`streaming`."
            )
        self.peak, self.schedule = peak, schedule
        self.warmup_updates, self.num_updates = warmup_updates, num_updates
        self.factor, self.patience = factor, patience
        self.scale, self.num_bad = 1.0, 0

    def rate(self, update: int) -> float:
        """Rate of update number `update`, counted from 1."""
        if update < self.warmup_updates:
            return self.peak * update / self.warmup_updates
        if self.schedule == "inverse_sqrt":
            return self.peak * math.sqrt(max(1, self.warmup_updates) / update)
        if self.schedule == "cosine":
            progress = (update - self.warmup_updates) / max(1, self.num_updates - self.warmup_updates)
            return self.peak * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))
        return self.peak * self.scale

    def report_validation(self, improved: bool) -> None:
        """Tell whether the validation just made was the best so far."""
        if self.schedule != "plateau":
            return
        self.num_bad = 0 if improved else self.num_bad + 1
        if self.num_bad >= self.patience:
            self.scale *= self.factor
            self.num_bad = 0

    def state_dict(self) -> dict:
        """What a resumed run needs."""
        return {"scale": self.scale, "num_bad": self.num_bad}

    def load_state_dict(self, state: dict) -> None:
        """Continue from `state_dict()`."""
        self.scale, self.num_bad = state["scale"], state["num_bad"]
