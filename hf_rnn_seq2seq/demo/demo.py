"""A page to try a model on: type a sentence, see translations with scores and where the model looked."""

import gradio
from transformers import Pipeline

from .attention_page import render_attention, render_translations


def build_demo(translate: Pipeline, *, title: str, examples: list[str]) -> gradio.Blocks:
    """The page.

    Args:
        translate (`Pipeline`): `pipeline("translation", ...)` of any model.
        title (`str`): heading.
        examples (`list[str]`): sentences to click on.
    """
    beams = translate.model.generation_config.num_beams or 1
    # a model of ours may have none
    has_attention = translate.model.config.to_dict().get("attention_type") != "none"

    def show(text: str, num_beams: float, n_best: float):
        if not text.strip():
            return "", "", ""
        num_beams = int(num_beams)
        records = translate(
            text.strip(),
            num_beams=num_beams,
            num_return_sequences=min(int(n_best), num_beams),
            return_scores=True,
            return_attention=has_attention,
        )
        best = records[0]
        looked = render_attention(best["attention"]) if has_attention else "This model has no attention."
        return best["translation_text"], render_translations(records), looked

    with gradio.Blocks(title=title) as page:
        gradio.Markdown(f"# {title}\n\nAn RNN encoder-decoder: type a sentence and see what it makes of it.")
        with gradio.Row():
            with gradio.Column():
                source = gradio.Textbox(label="Source", lines=3, autofocus=True, elem_id="source")
                with gradio.Row():
                    num_beams = gradio.Slider(1, 16, value=beams, step=1, label="Beams")
                    n_best = gradio.Slider(1, 16, value=min(5, beams), step=1, label="Translations shown")
                button = gradio.Button("Translate", variant="primary", elem_id="translate")
                gradio.Examples(examples, source)
            with gradio.Column():
                target = gradio.Textbox(label="Translation", lines=3, interactive=False, elem_id="target")
                gradio.Markdown("### Best translations and their scores")
                best = gradio.HTML(elem_id="n-best")
        gradio.Markdown("### Where the model looked")
        attention = gradio.HTML(elem_id="attention")
        inputs, outputs = [source, num_beams, n_best], [target, best, attention]
        button.click(show, inputs, outputs)
        source.submit(show, inputs, outputs)
    return page
