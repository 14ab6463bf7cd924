"""What SECURITY.md promises and no other test holds: passwords, code in models, pickles."""

import ast
import json
from pathlib import Path

import pytest
from pydantic import ValidationError

from tasks.config import Recipe
from tasks.errors import BadModel
from tasks.home import without_password
from tests.registering import recipe
from tests.toy import save_model

ROOT = Path(__file__).parents[1]
EXECUTES = {"pickle", "cloudpickle", "dill", "joblib", "marshal", "shelve", "multiprocessing"}


def modules() -> list[Path]:
    return sorted((ROOT / "tasks").rglob("*.py")) + sorted((ROOT / "flows").rglob("*.py"))


def test_nothing_is_pickled_between_processes() -> None:
    found, loads = [], []
    for path in modules():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found += [a.name for a in node.names if a.name.split(".")[0] in EXECUTES]
            elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in EXECUTES:
                found.append(str(path))
            elif isinstance(node, ast.Call) and ast.unparse(node.func) == "torch.load":
                loads.append({word.arg: ast.unparse(word.value) for word in node.keywords})
    assert found == []
    assert loads and all(call.get("weights_only") == "True" for call in loads)


def test_code_in_a_model_folder_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tasks.training.model import load_model, load_tokenizer

    folder = save_model(tmp_path / "model", "t5")
    evil = f"open({str(tmp_path / 'was-run')!r}, 'w').close()\n"
    for name in ("evil.py", "modeling_evil.py"):
        (folder / name).write_text(evil)
    config = json.loads((folder / "config.json").read_text())
    classes = {"AutoConfig": "evil.C", "AutoModelForSeq2SeqLM": "modeling_evil.M"}
    config |= {"model_type": "evil", "auto_map": classes}
    (folder / "config.json").write_text(json.dumps(config))
    told = json.loads((folder / "tokenizer_config.json").read_text())
    told |= {"tokenizer_class": "Evil", "auto_map": {"AutoTokenizer": ["evil.T", "evil.T"]}}
    (folder / "tokenizer_config.json").write_text(json.dumps(told))
    monkeypatch.setattr("builtins.input", lambda *_: pytest.fail("asked whether to run code"))
    for load in (load_model, load_tokenizer):
        with pytest.raises(BadModel):
            load(folder)
    assert not (tmp_path / "was-run").exists()


@pytest.mark.parametrize(
    "repo", ["https://ana:SECRET@git.example/x.git", "https://SECRET@git.example/x.git"]
)
def test_a_recipe_takes_no_password(repo: str) -> None:
    content = recipe().model_dump(mode="json")
    content["tasks"][0]["source"] |= {"path": None, "dvc": {"repo": repo, "path": "c.jsonl"}}
    with pytest.raises(ValidationError, match="without a password"):
        Recipe.model_validate_json(json.dumps(content))
    content["tasks"][0]["source"]["dvc"]["repo"] = "ssh://git@git.example/x.git"
    Recipe.model_validate_json(json.dumps(content))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("http://ana:geheim@host:5000/x", "http://host:5000/x"),
        ("at https://token@host and http://b:c@d.", "at https://host and http://d."),
        ("sqlite:////home/ana@work/mlflow.db", "sqlite:////home/ana@work/mlflow.db"),
        ("mail ana@example.org", "mail ana@example.org"),
        ("http://host:5000/a@b", "http://host:5000/a@b"),
        (
            "postgresql+psycopg2://ana:ge/he im@db:5432/mlflow",
            "postgresql+psycopg2://db:5432/mlflow",
        ),
        ("mysql://ana:geheim@db/mlflow?ssl=1", "mysql://db/mlflow?ssl=1"),
        (
            "at postgresql://db/mlflow?user=ana&password=geheim&sslmode=require: no answer",
            "at postgresql://db/mlflow?user=ana&password=***&sslmode=require: no answer",
        ),
        ("postgresql://db:5432/mlflow", "postgresql://db:5432/mlflow"),
    ],
)
def test_passwords_of_urls_are_not_shown(text: str, shown: str) -> None:
    assert without_password(text) == shown
