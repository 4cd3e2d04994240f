"""Recipes: reading, overriding, and what a misspelt one is told."""

from pathlib import Path

import pytest

from hf_rnn_seq2seq import read_finetuning_recipe
from hf_rnn_seq2seq.training.arguments import read_recipe

CONFIGS = Path(__file__).parents[2] / "scripts" / "configs"
MINIMAL = [
    "data.train.dataset=dates",
    "data.validation.dataset=dates",
    "data.validation.split=validation",
    "training.output_dir=out",
    "training.max_updates=1",
    "training.seed=1",
]


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.yaml")), ids=lambda path: path.stem)
def test_recipes_of_the_repository_are_valid(path):
    if path.stem.startswith("finetune"):
        output_dir = read_finetuning_recipe(path, []).training["output_dir"]
    else:
        output_dir = read_recipe(path, []).training.output_dir
    assert output_dir.startswith("runs/")


def test_overrides_win_and_numbers_are_numbers(tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_text("training: {learning_rate: 1e-3, max_tokens: 100}\n")
    recipe = read_recipe(path, [*MINIMAL, "training.max_tokens=200", "model.cell_type=gru", "tokenizer.joint=false"])
    assert recipe.training.learning_rate == 0.001
    assert recipe.training.max_tokens == 200
    assert recipe.model == {"cell_type": "gru"}
    assert recipe.tokenizer.joint is False


def test_recipe_changes_its_base_however_deep(tmp_path):
    (tmp_path / "base.yaml").write_text(
        "model: {cell_type: gru, embedding_size: 8}\ntraining: {seed: 3, max_tokens: 9}\n"
    )
    (tmp_path / "recipe.yaml").write_text("base: base.yaml\nmodel: {embedding_size: 16}\n")
    recipe = read_recipe(tmp_path / "recipe.yaml", MINIMAL)
    assert recipe.model == {"cell_type": "gru", "embedding_size": 16}
    assert (recipe.training.seed, recipe.training.max_tokens) == (1, 9)


def test_batches_are_token_budgets_unless_a_size_is_given():
    assert read_recipe(None, MINIMAL).training.max_tokens == 4096
    assert read_recipe(None, [*MINIMAL, "training.batch_size=8"]).training.max_tokens is None


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("training.learning_rat=1", "`training.learning_rat` is unknown in a recipe; did you mean `learning_rate`?"),
        ("data.train.sourcefile=x", "`data.train.sourcefile` is unknown in a recipe; did you mean `source_file`?"),
        ("training.seed=one", "`training.seed` must be int, got 'one'"),
        ("training.seed=true", "`training.seed` must be int, got True"),
        ("training.optimizer=sgd", "`training.optimizer` must be 'adamw' or 'adam', got 'sgd'"),
        ("training.max_epochs=few", "`training.max_epochs` must be int or None, got 'few'"),
        ("training.max_updates=null", "Training needs an end"),
        ("training.num_averaged=0", "`num_averaged` must be at least 1, got 0"),
        ("training.label_smoothing=1.5", r"`label_smoothing` is a probability in \[0, 1\), got 1.5"),
        ("training.patience=0", "`patience` must be at least 1, got 0"),
        ("training.max_grad_norm=0", "`max_grad_norm` must be larger than 0, got 0.0"),
        ("model.cel_type=gru", "`model.cel_type` is unknown in a recipe; did you mean `cell_type`?"),
        ("generation.num_beam=3", "`generation.num_beam` is unknown in a recipe; did you mean `num_beams`?"),
        ("training.seed=[", r"training.seed=\[ is not valid YAML"),
        ("training.seed.more=1", "`seed` in 'training.seed.more=1' is a single value, got 1"),
        ("training", "Overrides are written `section.key=value`, got 'training'"),
    ],
)
def test_mistakes_are_refused_by_name(override, message):
    with pytest.raises(ValueError, match=message):
        read_recipe(None, [*MINIMAL, override])


def test_missing_settings_are_named():
    with pytest.raises(ValueError, match="A recipe must set `data`, `training`"):
        read_recipe(None, [])
