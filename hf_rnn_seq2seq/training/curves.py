"""The learning curves of a run as a picture, drawn from its log."""

import json
from pathlib import Path


def plot_learning_curves(log_file: Path, picture: Path) -> None:
    """Draw loss, learning rate and validation scores over updates.

    Args:
        log_file (`Path`): `training_log.jsonl` of a run.
        picture (`Path`): PNG to write.
    """
    # the object interface needs no display and leaves the user's backend alone
    from matplotlib.figure import Figure

    entries = [json.loads(line) for line in log_file.read_text(encoding="utf-8").splitlines()]

    def series(name: str) -> tuple[list, list]:
        chosen = [entry for entry in entries if name in entry]
        return [entry["update"] for entry in chosen], [entry[name] for entry in chosen]

    figure = Figure(figsize=(11, 4), layout="constrained")
    loss_axes, score_axes = figure.subplots(1, 2)
    loss_axes.plot(*series("train_loss"), color="tab:blue", alpha=0.6, label="training (as optimised)")
    loss_axes.plot(*series("validation_loss"), color="tab:orange", marker=".", label="validation")
    loss_axes.set(xlabel="updates", ylabel="nats per target token", title="Loss")
    rate_axes = loss_axes.twinx()
    rate_axes.plot(*series("learning_rate"), color="gray", linestyle=":", label="learning rate")
    rate_axes.set_ylabel("learning rate")
    lines = [*loss_axes.get_lines(), *rate_axes.get_lines()]
    loss_axes.legend(lines, [line.get_label() for line in lines], loc="upper right")
    for name, label in (("bleu", "BLEU"), ("chrf", "chrF"), ("exact_match", "exact match, %")):
        score_axes.plot(*series(f"validation_{name}"), marker=".", label=label)
    score_axes.set(xlabel="updates", ylabel="score", title="Validation, generated text", ylim=(0, 100))
    score_axes.legend(loc="best")
    for axes in (loss_axes, score_axes):
        axes.grid(alpha=0.3)
    figure.savefig(picture, dpi=120)
