"""Recipes: what validates, and what is said about what does not."""

from pathlib import Path

import pytest

from tasks.config import load_recipe
from tasks.errors import BadRecipe

GOOD = """\
name: support-chat
base_model: {path: models/pocket-flan}
tasks:
  - name: support_summary
    source: {path: data/support_chat.jsonl}
    prompts: dialogue_summary
    max_examples: 1000
mixture: {strategy: temperature, temperature: 2.0, cap: 3000}
split: {validation: 0.1, test: 0.1, seed: 7}
train: {method: full, epochs: 3, learning_rate: 5e-4, batch_tokens: 4096}
generation: {max_new_tokens: 96, temperature: 0.0}
test: {baselines: [zero_shot, one_shot, few_shot]}
forgetting: {probes: general, max_drop: 0.05, remedies: [interpolate, replay, lora]}
registry: {model: support-summarizer}
"""

RECIPES = sorted(Path("configs/recipes").glob("*.yaml"))


def recipe_with(tmp_path: Path, old: str, new: str) -> Path:
    assert old in GOOD
    path = tmp_path / "recipe.yaml"
    path.write_text(GOOD.replace(old, new), encoding="utf-8")
    return path


def test_the_shape_of_the_design_validates(tmp_path: Path) -> None:
    recipe = load_recipe(recipe_with(tmp_path, "epochs: 3", "epochs: 2"))
    assert recipe.train.epochs == 2
    assert recipe.train.learning_rate == 5e-4
    assert recipe.tasks[0].max_examples == 1000
    assert recipe.forgetting.remedies == ("interpolate", "replay", "lora")


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_every_recipe_validates_and_names_its_schema_and_command(path: Path) -> None:
    load_recipe(path)
    text = path.read_text(encoding="utf-8")
    assert text.startswith("# yaml-language-server: $schema=recipe.schema.json\n")
    assert f"retune run configs/recipes/{path.name}" in text


def test_overrides_reach_into_lists_and_missing_sections(tmp_path: Path) -> None:
    path = recipe_with(tmp_path, "registry:", "registry:")
    recipe = load_recipe(
        path, ["tasks.0.source.path=mine.jsonl", "train.epochs=1", "split.near_duplicates=null"]
    )
    assert recipe.tasks[0].source.path == "mine.jsonl"
    assert recipe.train.epochs == 1
    assert recipe.split.near_duplicates is None


def test_overrides_are_taken_as_they_are_often_written(tmp_path: Path) -> None:
    path = recipe_with(tmp_path, "registry:", "registry:")
    recipe = load_recipe(path, ["tasks[0].name=mine", " train.epochs = 1"])
    assert (recipe.tasks[0].name, recipe.train.epochs) == ("mine", 1)


def test_what_is_sought_in_an_archive_may_be_long(tmp_path: Path) -> None:
    sought = f"a.zip!{'x' * 300}"
    recipe = load_recipe(
        recipe_with(tmp_path, "registry:", "registry:"), [f"tasks.0.source.path={sought}"]
    )
    assert recipe.tasks[0].source.path == sought


@pytest.mark.parametrize(
    ("old", "new", "parts"),
    [
        ("prompts:", "promts:", ["recipe.yaml:6: tasks.0.promts", "did you mean `prompts`?"]),
        ("epochs: 3", "epoch: 3", ["recipe.yaml:10: train.epoch", "did you mean `epochs`?"]),
        (
            "epochs: 3",
            "epochs: three",
            ["train.epochs", "a whole number", "'three'", "Passes over"],
        ),
        ("epochs: 3", "epochs: 0", ["train.epochs", "greater than or equal to 1", "0"]),
        ("epochs: 3", "epochs: 2.5", ["train.epochs", "a whole number", "2.5"]),
        ("method: full", "method: fulll", ["train.method", "'full'", "'fulll'", "mean `full`?"]),
        ("registry: {model: support-summarizer}\n", "", ["registry", "add `registry`"]),
        ("base_model: {path: models/pocket-flan}\n", "", ["base_model", "add `base_model`"]),
        ("{path: models/pocket-flan}", "{}", ["base_model", "exactly one of `path` and `hub`"]),
        (
            "{path: models/pocket-flan}",
            "{hub: google/flan-t5-small}",
            ["base_model", "`revision`, the commit"],
        ),
        ("    prompts: dialogue_summary\n", "", ["tasks.0", "exactly one of `prompts`"]),
        ("{path: data/support_chat.jsonl}", "{}", ["tasks.0.source", "`path`, `hub` and `dvc`"]),
        (
            "path: data/support_chat.jsonl",
            f"path: {'x' * 256}",
            ["source.path", "each name", "255"],
        ),
        ("path: data/support_chat.jsonl", 'path: ""', ["source.path", "a path, of one"]),
        ("path: data/support_chat.jsonl", f"path: {'d/' * 2048}", ["source.path", "4095 bytes"]),
        ("validation: 0.1", "validation: 0.95", ["split", "validation + test below 1"]),
        ("test: 0.1", "test: 1.5", ["split.test", "less than 1", "1.5"]),
        ("max_drop: 0.05", "max_drop: -1", ["forgetting.max_drop", "greater than or equal to 0"]),
        (
            "name: support-chat",
            "name: Support Chat",
            ["name", "lower-case", "such as support-chat"],
        ),
        ("temperature: 2.0", "temperature: 0.5", ["mixture.temperature", "1", "0.5"]),
        ("strategy: temperature", "strategy: weights", ["mixture", "`weights` exactly when"]),
        ("epochs: 3", "lr: 1", ["train.lr", "here that is `train.learning_rate`"]),
        ("epochs: 3", "max_drop: 1", ["train.max_drop", "elsewhere: `forgetting.max_drop`"]),
        ("seed: 7", "train: 0.8", ["split.train", "one of validation", "remove it"]),
        ("learning_rate: 5e-4", 'learning_rate: "5e-4"', ["a number", "without quotes"]),
        ("max_drop: 0.05", "max_drop: 5%", ["forgetting.max_drop", "a number", "write 0.05"]),
        ("name: support-chat", "name: 7", ["name", "text", "write it in quotes"]),
        ("  max_examples: 1000", "  metrics: rougeL", ["a list", "write `metrics: [rougeL]`"]),
        ("{path: models/pocket-flan}", "a/b", ["keys and values", "`base_model: {path: a/b}`"]),
        ("epochs: 3", "compile: yes", ["train.compile", "true or false", "'yes'"]),
        (
            "[zero_shot, one_shot, few_shot]",
            "[few_shot], few_shot_examples: [0]",
            ["yaml:12: test.few_shot_examples.0\n", "greater than or equal to 2"],
        ),
        ("[zero_shot, one_shot, few_shot]", "[two_shot]", ["test.baselines.0", "'two_shot'"]),
        ("name: support-chat", "name: [", ["recipe.yaml:", "valid YAML"]),
        ("name: support-chat", 'name: "a', ["a quoted scalar that begins on line 1"]),
        ("name: support-chat", "\tname: a", ["character '\\t'", "blanks instead of tabs"]),
        ("name: support-chat", "name: a\nname: b", ["recipe.yaml:2", "valid YAML", "duplicate"]),
        ("name: support-chat", "name: 2024-13-45", ["valid YAML", "month", "into quotes"]),
        (GOOD, "", ["recipe.yaml", "keys and values", "nothing"]),
        (GOOD, "- a\n- b\n", ["recipe.yaml", "keys and values"]),
    ],
)
def test_bad_recipes_say_where_and_how_to_mend(
    tmp_path: Path, old: str, new: str, parts: list[str]
) -> None:
    with pytest.raises(BadRecipe) as caught:
        load_recipe(recipe_with(tmp_path, old, new))
    for part in parts:
        assert part in str(caught.value)


def test_all_issues_are_reported_at_once(tmp_path: Path) -> None:
    path = recipe_with(tmp_path, "epochs: 3, learning_rate: 5e-4", "epochs: x, learnin_rate: 1")
    with pytest.raises(BadRecipe) as caught:
        load_recipe(path, ["split.seed=abc", "registry.modell=x"])
    assert len(caught.value.issues) == 4


@pytest.mark.parametrize(
    ("override", "part"),
    [
        ("train.epochs", "dotted.key=value"),
        ("tasks.5.name=x", "a list position from 0 to 0"),
        ("name.first=x", "below a plain value"),
        ("train.epochs=[", "a value in YAML"),
        ("name=2024-13-45", "a value in YAML"),
        ("train.epochs=0", "--set train.epochs\n"),
        ("split={test: x}", "--set split: split.test\n"),
    ],
)
def test_bad_overrides(tmp_path: Path, override: str, part: str) -> None:
    with pytest.raises(BadRecipe, match=part.replace("[", r"\[")):
        load_recipe(recipe_with(tmp_path, "registry:", "registry:"), [override])


def test_files_that_are_no_recipe(tmp_path: Path) -> None:
    (tmp_path / "support.yaml").write_text(GOOD, encoding="utf-8")
    with pytest.raises(BadRecipe, match=r"no such file[\s\S]*support\.yaml"):
        load_recipe(tmp_path / "suport.yaml")
    with pytest.raises(BadRecipe, match="try configs/recipes/dialogsum.yaml"):
        load_recipe("dialogsum")
    with pytest.raises(BadRecipe, match="a folder"):
        load_recipe(tmp_path)
    (tmp_path / "latin.yaml").write_bytes("name: caf\xe9".encode("latin-1"))
    with pytest.raises(BadRecipe, match="not UTF-8 at position 9"):
        load_recipe(tmp_path / "latin.yaml")
