"""Where the decoder looked: attention weights of one sentence, and their heat map."""

from dataclasses import dataclass
from pathlib import Path

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from ..model.tokenization_rnn_seq2seq import RnnSeq2SeqTokenizer


@dataclass(frozen=True)
class AttentionMap:
    """Attention of one sentence pair.

    Attributes:
        source_tokens (`list[str]`): S of them, `</s>` included.
        target_tokens (`list[str]`): T of them, `</s>` included where it was generated.
        weights (`torch.Tensor` of shape `(T, S)`): each row sums to 1; mean over layers and heads where a model has
            several.
        text (`str`): the target, detokenised.
    """

    source_tokens: list[str]
    target_tokens: list[str]
    weights: torch.Tensor
    text: str


@torch.inference_mode()
def map_attention(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, source: str, target: str | None = None, **options
) -> AttentionMap:
    """Attention weights of a source sentence and its translation.

    Args:
        model: any encoder-decoder that returns `cross_attentions`.
        tokenizer: its tokenizer.
        source (`str`): source sentence.
        target (`str`, *optional*): its translation; generated with `options` if not given.

    Raises:
        ValueError: if `source` is empty.
    """
    if not source.strip():
        raise ValueError("`source` must hold text to attend to, got an empty string.")
    model.eval()
    inputs = tokenizer(source, return_tensors="pt").to(model.device)
    inputs = {"input_ids": inputs["input_ids"], "attention_mask": inputs["attention_mask"]}
    if target is None:
        sequence = model.generate(**inputs, **options)[:1]
    else:
        labels = tokenizer(text_target=target, return_tensors="pt")["input_ids"].to(model.device)
        sequence = torch.cat([labels.new_full((1, 1), model.config.decoder_start_token_id), labels], dim=1)
    outputs = model(**inputs, decoder_input_ids=sequence[:, :-1], output_attentions=True)
    ids = sequence[0, 1:].tolist()
    if isinstance(tokenizer, RnnSeq2SeqTokenizer):
        target_tokens = tokenizer.convert_target_ids_to_tokens(ids)
    else:
        target_tokens = tokenizer.convert_ids_to_tokens(ids)
    return AttentionMap(
        source_tokens=tokenizer.convert_ids_to_tokens(inputs["input_ids"][0].tolist()),
        target_tokens=target_tokens,
        weights=torch.cat(outputs.cross_attentions, dim=1)[0].float().mean(0).cpu(),
        text=tokenizer.decode(ids, skip_special_tokens=True),
    )


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
