"""The task "translation" is back, and nothing else in transformers has changed."""

import json
import subprocess
import sys

import datasets
import evaluate
import pytest
from transformers import pipelines

import hf_rnn_seq2seq
from hf_rnn_seq2seq import TranslationPipeline, train_tokenizer
from tests.conftest import build_model

SNAPSHOT = """
import json, sys
import transformers
from transformers import pipelines
from transformers.models.auto import configuration_auto, modeling_auto, tokenization_auto
if sys.argv[1] == "with":
    import hf_rnn_seq2seq
registry = pipelines.PIPELINE_REGISTRY

others = ["ner", "vqa", "translations", "summarization"]

def check(task):
    try:
        return repr(pipelines.check_task(task))
    except Exception as error:
        return repr(error)

print(json.dumps({
    "tasks": {task: repr(entry) for task, entry in registry.supported_tasks.items()},
    "aliases": registry.task_aliases,
    "removed": vars(pipelines).get("REMOVED_TASKS", {}),
    "checks": {task: check(task) for task in [*registry.supported_tasks, *others]},
    "configs": sorted(configuration_auto.CONFIG_MAPPING.keys()),
    "models": [len(mapping) for name, mapping in sorted(vars(modeling_auto).items()) if name.endswith("_MAPPING")],
    "names": sorted(vars(pipelines)),
}))
"""


def snapshot(how):
    result = subprocess.run([sys.executable, "-c", SNAPSHOT, how], capture_output=True, text=True, check=True)
    return json.loads(result.stdout)


def test_import_adds_translation_and_changes_nothing_else():
    before, after = snapshot("without"), snapshot("with")
    assert "TranslationPipeline" in after["tasks"].pop("translation")
    after["checks"].pop("translation")
    before["removed"].pop("translation", None)
    # the list of known tasks in the message of an unknown one has grown by one
    for checks in (before["checks"], after["checks"]):
        checks["translations"] = checks["translations"].partition(",")[0]
        checks["summarization"] = checks["summarization"].partition(",")[0]
        checks["vqa"] = checks["vqa"].partition(",")[0]
    after["configs"].remove("rnn_seq2seq")
    assert sum(after.pop("models")) - sum(before.pop("models")) == 2
    assert after == before


def test_task_names_its_languages():
    task, entry, options = pipelines.check_task("translation_en_to_de")
    assert (task, entry["impl"], options) == ("translation", TranslationPipeline, ("en", "de"))
    assert pipelines.check_task("translation_eng_Latn_to_deu_Latn")[2] == ("eng_Latn", "deu_Latn")


def test_unknown_tasks_are_still_unknown():
    for task in ("translation_en_de", "translationen"):
        with pytest.raises(KeyError, match=task):
            pipelines.check_task(task)


def test_task_without_a_model_is_refused_unless_transformers_4_had_one():
    with pytest.raises(ValueError, match="default"):
        pipelines.pipeline("translation")
    with pytest.raises(ValueError, match="default"):
        pipelines.pipeline("translation_de_to_en")
    entry = pipelines.check_task("translation_en_to_de")[1]
    assert entry["default"]["en", "de"]["model"][0] == "google-t5/t5-base"


def test_evaluator_works_again(tmp_path):
    tokenizer = train_tokenizer(["a b c"], kind="word")
    model = build_model(vocab_size=len(tokenizer)).float()
    model.generation_config.update(num_beams=2, max_new_tokens=4)
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    texts = ["a b", "c"]
    expected = [record["translation_text"] for record in pipelines.pipeline("translation", model=str(tmp_path))(texts)]
    data = datasets.Dataset.from_dict({"text": texts, "label": expected})
    evaluator = evaluate.evaluator("translation")
    result = evaluator.compute(str(tmp_path), data=data, metric=hf_rnn_seq2seq.load_metric("exact_match"))
    assert result["exact_match"] == 1.0
