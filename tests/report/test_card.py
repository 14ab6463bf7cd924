"""The model card: its head is what the hub reads, its code runs, its figures are the test's."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from tasks.config import Generation
from tasks.report.card import CardFacts, card, license_in
from tasks.report.usage import shape_of
from tests.reporting import metrics, result, toy_facts
from tests.toy import save_model

CHAT = "{% for m in messages %}<{{ m.role }}>{{ m.content }}</s>{% endfor %}<assistant>"
GENERATION = {"max_new_tokens": 8, "temperature": 0.0, "top_p": 1.0, "max_prompt_tokens": 512}


def card_facts(folder: Path, **changes: Any) -> CardFacts:
    template = {"name": "gist", "heldout": False, "prompt": "Gist ```: {{ dialogue }}"}
    stored = {"task": "question_answering", "templates": [template]}
    told = {
        "model": "summarizer",
        "recipe": "chat",
        "base_model": "google/flan-t5-small",
        "on_hub": True,
        "license": "apache-2.0",
        "shape": "encoder-decoder",
        "method": "full",
        "generation": GENERATION,
        "prompts": {task: stored for task in metrics()["tasks"]},
        "data": toy_facts(folder).data,
        "metrics": metrics(),
        "test": result()["test"],
        "forgetting": result()["forgetting"],
        "reasons": ["entities fell <b>"],
        "lineage": {"retune.git_commit": "77e1"},
    }
    return CardFacts(**{**told, **changes})


def test_card(tmp_path: Path) -> None:
    _, head, body = card(card_facts(tmp_path)).split("---\n", 2)
    assert yaml.safe_load(head) == {
        "library_name": "transformers",
        "pipeline_tag": "text2text-generation",
        "base_model": "google/flan-t5-small",
        "license": "apache-2.0",
        "tags": ["retune", "instruct"],
        "model-index": [
            {
                "name": "summarizer",
                "results": [
                    {
                        "task": {"type": "question_answering"},
                        "dataset": {"name": task, "type": task, "split": "test"},
                        "metrics": [
                            {"type": "rougeL", "name": "rougeL", "value": 0.34},
                            {"type": "fabrication", "name": "fabrication", "value": 0.1},
                        ],
                    }
                    for task in ("chat", "mail ")
                ],
            }
        ],
    }
    for said in ("# summarizer\n", "Gist ```: {{ dialogue }}\n````",
                 "| chat | 16 | 12 | 2 | 1 | 1 |", "| chat | 10 | 1 | 1 | 0 | 3 |",
                 "0.340 (0.330-0.350)", "tested on 12 records",
                 "| entities | 0.810 | 0.600 | -0.210 | -0.250 to -0.170 |",
                 "chat: in phrasings that it was not trained on, rougeL was 0.280",
                 "10.0% of the names, numbers and times",
                 "1 of 1 test records stand, nearly the same, in the training split",
                 "trained on prompts of at most 512 tokens; longer ones were cut in the test",
                 "- entities fell &lt;b>",
                 "| retune.git_commit | 77e1 |"):  # fmt: skip
        assert said in body, said


def test_what_is_not_known_is_left_out(tmp_path: Path) -> None:
    text = card(card_facts(tmp_path, on_hub=False, license=None, forgetting={}))
    head = yaml.safe_load(text.split("---\n")[1])
    assert not {"base_model", "license"} & set(head)
    assert "What it forgot of other tasks was not measured." in text


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (b"---\nlicense: mit\nlanguage: en\n---\n# A model", "mit"),
        (b"---\nlicense: [mit]\n---\n", None),
        (b"---\n: [\n---\n", None),
        (b"# A model\n---\nlicense: mit\n---\n", None),
        (b"---\nlicense: mit\nreleased: 2024-13-45\n---\n", None),
        (b"---\nlicense: mit\n---\n# caf\xe9", None),
    ],
)
def test_license_of_a_card(tmp_path: Path, text: bytes, found: str | None) -> None:
    assert license_in(tmp_path) is None
    (tmp_path / "README.md").write_bytes(text)
    assert license_in(tmp_path) == found


@pytest.mark.parametrize(
    ("kind", "template", "shape"),
    [
        ("t5", None, "encoder-decoder"),
        ("llama", None, "decoder-only"),
        ("llama", CHAT, "chat"),
    ],
)
def test_the_code_of_a_card_answers_as_the_test_did(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    kind: str,
    template: str | None,
    shape: str,
) -> None:
    from transformers import AutoTokenizer

    from tasks.scoring.generate import complete, load_generator

    folder = save_model(tmp_path / "model", kind)
    tokenizer: Any = AutoTokenizer.from_pretrained(folder)
    tokenizer.chat_template = template
    tokenizer.save_pretrained(folder)
    assert shape_of(folder) == shape
    shown = card(card_facts(tmp_path / "facts", shape=shape)).split("```python\n")[1]
    prompt = "Say it again: red 3"
    code = shown.split("\n```")[0].replace('"..."', repr(prompt), 1)
    monkeypatch.chdir(folder)
    capsys.readouterr()
    exec(code, {})
    (answer,) = complete(load_generator(folder), [prompt], Generation(max_new_tokens=8), 512)
    assert capsys.readouterr().out == f"{answer.text}\n" != "\n"
