"""The files of a Space: the demo page of one model, ready to run on the Hub."""

from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

# a folder of the Space, named so that it cannot be taken for an installed package
_PACKAGE = "attention_demo"
_APP = '''"""Demo of {model_id}; made by `hf-rnn-seq2seq push --space`."""

from attention_demo.demo import build_demo
from transformers import pipeline

MODEL = {model_id!r}
# the model's code lies in its own repository, beside the weights
translate = pipeline("translation", model=MODEL, revision={revision!r}, trust_remote_code=True)

if __name__ == "__main__":
    build_demo(translate, title=MODEL.rpartition("/")[2], examples={examples!r}).launch()
'''
_CARD = """---
title: {name}
emoji: 🔎
colorFrom: blue
colorTo: gray
sdk: gradio
sdk_version: {gradio_version}
app_file: app.py
models:
- {model_id}
---

Type a sentence, see its translations and where the model looked. The model is [{model_id}](https://huggingface.co/{model_id}).
"""


def space_files(model_id: str, *, revision: str | None = None, examples: list[str]) -> dict[str, bytes]:
    """Name in the Space -> content.

    Args:
        model_id (`str`): the model on the Hub.
        revision (`str`, *optional*): its branch.
        examples (`list[str]`): sentences to click on.
    """
    try:
        gradio_version = version("gradio")
    except PackageNotFoundError:
        raise ValueError('A Space is made with Gradio: `pip install "hf-rnn-seq2seq[demo]"`.') from None
    files = {
        "app.py": _APP.format(model_id=model_id, revision=revision, examples=examples),
        "requirements.txt": f"torch\ntransformers>=5.17,<6\ngradio=={gradio_version}\n",
        "README.md": _CARD.format(name=model_id.rpartition("/")[2], model_id=model_id, gradio_version=gradio_version),
        f"{_PACKAGE}/__init__.py": "",
    }
    for name in ("attention_page.py", "demo.py"):
        files[f"{_PACKAGE}/{name}"] = Path(__file__).with_name(name).read_text(encoding="utf-8")
    return {name: text.encode() for name, text in files.items()}
