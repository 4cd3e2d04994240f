"""The heat map of a sentence's attention."""

from pathlib import Path

from ..model.pipeline_attention import AttentionMap


def plot_attention(attention: AttentionMap, picture: Path) -> None:
    """Draw the weights, source tokens across and target tokens down.

    Args:
        attention (`AttentionMap`): what to draw.
        picture (`Path`): PNG to write.
    """
    from matplotlib.figure import Figure

    num_target, num_source = attention.weights.shape
    figure = Figure(figsize=(2.4 + 0.24 * num_source, 1.4 + 0.24 * num_target), layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(attention.weights.numpy(), cmap="Blues", vmin=0, vmax=1, aspect="auto")
    # tokens are text, not mathematics: a dollar sign must not start a formula
    axes.set_xticks(range(num_source), attention.source_tokens, rotation=90, parse_math=False)
    axes.set_yticks(range(num_target), attention.target_tokens, parse_math=False)
    axes.xaxis.tick_top()
    axes.xaxis.set_label_position("top")
    axes.set(xlabel="source", ylabel="target")
    figure.colorbar(image, label="attention weight", shrink=0.6)
    figure.savefig(picture, dpi=120)
