"""The demo page in a real browser: type a sentence, find the translation, the n-best list and the heat map.

make test-browser writes its screenshots to build/screenshots.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from transformers import pipeline

from hf_rnn_seq2seq import train_tokenizer
from hf_rnn_seq2seq.cli import main
from tests.conftest import build_model

pytestmark = pytest.mark.browser
ROOT = Path(__file__).parents[2]
SCREENSHOTS = ROOT / "build" / "screenshots"
SENTENCE = "b a c"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo") / "model"
    tokenizer = train_tokenizer(["a b c"], ["x y z w v u"], kind="word", joint=False)
    model = build_model(
        vocab_size=len(tokenizer),
        decoder_vocab_size=tokenizer.target_vocab_size,
        share_encoder_decoder_embeddings=False,
    ).float()
    model.generation_config.update(num_beams=3, min_new_tokens=4, max_new_tokens=8)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    assert path, "no Chromium was found; install Debian's package `chromium`"
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def demo(folder):
    """Address of a running demo."""
    command = [sys.executable, "-m", "hf_rnn_seq2seq.cli", "demo", str(folder), "--example", SENTENCE]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)
    try:
        yield re.search(r"http://\S+", process.stdout.readline())[0]
    finally:
        process.terminate()
        process.wait(timeout=30)


def test_typed_sentence_is_translated_and_its_attention_shown(browser, demo, folder):
    expected = pipeline("translation", model=str(folder))(SENTENCE, return_scores=True, num_return_sequences=3)
    page = browser.new_page(viewport={"width": 1280, "height": 1000})
    page.goto(demo)
    page.fill("#source textarea", SENTENCE)
    page.click("#translate")
    page.wait_for_selector("#attention table")
    page.screenshot(path=SCREENSHOTS / "demo.png")
    assert page.input_value("#target textarea") == expected[0]["translation_text"]
    rows = [row.inner_text() for row in page.query_selector_all("#n-best tr")]
    assert rows == [f"{record['score']:.3f}\t{record['translation_text']}" for record in expected]
    tokens = [cell.inner_text() for cell in page.query_selector_all("#attention thead th")]
    assert tokens == ["", "▁b", "▁a", "▁c", "</s>"]
    num_rows = len(page.query_selector_all("#attention tbody tr"))
    assert len(page.query_selector_all("#attention td")) == 4 * num_rows > 0
    page.close()


def test_page_of_translations_can_be_filtered(browser, folder, tmp_path):
    source, target = tmp_path / "source.txt", tmp_path / "page.html"
    source.write_text("b a c\n\nc c\n")
    words = ["--input", source, "--html", target, "--output", tmp_path / "target.txt"]
    assert main(["translate", str(folder), *map(str, words)]) == 0
    page = browser.new_page(viewport={"width": 1000, "height": 900})
    requests = []
    page.on("request", lambda request: requests.append(request.url))
    page.goto(target.as_uri())
    page.screenshot(path=SCREENSHOTS / "page.png")
    assert requests == [target.as_uri()]
    assert [item.is_visible() for item in page.query_selector_all("details")] == [True] * 3
    page.fill("input", "b a")
    assert [item.is_visible() for item in page.query_selector_all("details")] == [True, False, False]
    assert page.inner_text("#count") == "1"
    page.hover("details[open] td:nth-child(3)")
    assert page.inner_text("th.on") == "▁a"
    page.close()
