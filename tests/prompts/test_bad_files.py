"""What a prompt file can have wrong with it, and what the user is told."""

import pickle
from pathlib import Path

import pytest

from tasks.errors import BadPrompt
from tasks.prompts.library import load_prompts

GOOD = """\
name: colours
version: 1
task: summarization
slots: [text]
target: colour
templates:
  - name: ask
    prompt: |
      Which colour is it?

      {{ text }}
  - name: label
    heldout: true
    prompt: "{{ text }} Colour:"
example: {text: The sky at noon., colour: blue}
"""


def load(folder: Path, text: str) -> BadPrompt:
    path = folder / "colours.yaml"
    path.write_text(text, "utf-8")
    with pytest.raises(BadPrompt) as caught:
        load_prompts(str(path))
    return caught.value


def test_the_good_file_is_good(tmp_path: Path) -> None:
    path = tmp_path / "colours.yaml"
    path.write_text(GOOD, "utf-8")
    prompts = load_prompts(str(path))
    assert [t.name for t in prompts.training] == ["ask"]
    assert [t.name for t in prompts.heldout] == ["label"]
    assert prompts.templates[0].prompt == "Which colour is it?\n\n{{ text }}"
    assert prompts.templates[0].completion == "{{ colour }}"


LABELS = ("task: summarization", "task: classification\nchoices: [red, blue]")
BAD = {
    "unknown slot": (
        ("{{ text }} Colour:", "{{ txt }} Colour:"),
        ["colours.yaml:14 (templates[1].prompt)", "unknown slot 'txt'", "did you mean 'text'?"],
    ),
    "no slot": (("{{ text }} Colour:", "Colour?"), ["at least one slot: text", "none"]),
    "target in the prompt": (("{{ text }} Col", "{{ text }} {{ colour }}"), ["slot 'colour'"]),
    "target among the slots": (
        ("slots: [text]", "slots: [text, colour]"),
        ["colours.yaml:4 (slots)", "the target 'colour' among them", "take it out"],
    ),
    "no target": (("target: colour\n", ""), ["the key 'target'", "nothing"]),
    "template without target": (
        ("    heldout: true", "    heldout: true\n    completion: ''"),
        ["templates[1].completion", "a template without target"],
    ),
    "constant completion": (
        ("    heldout: true", "    heldout: true\n    completion: blue"),
        ["a template without target"],
    ),
    "two alike": (
        ('"{{ text }} Colour:"', '"WHICH  colour is it? {{ text }}"'),
        ["colours.yaml:12 (templates[1])", "'label' and 'ask' render alike"],
    ),
    "duplicate names": (("name: label", "name: ask"), ["unique names", "'ask' twice"]),
    "no templates": (
        (GOOD[GOOD.index("templates") : GOOD.index("example")], "templates: []\n"),
        [":6 (templates)", "at least one"],
    ),
    "only held-out": (
        ("  - name: ask", "  - name: ask\n    heldout: true"),
        ["at least one template to train on", "only held-out ones"],
    ),
    "version in words": (("version: 1", "version: one"), ["colours.yaml:2", "integer", "'one'"]),
    "version below one": (("version: 1", "version: 0"), ["greater than or equal to 1"]),
    "held-out in words": (("heldout: true", "heldout: maybe"), ["valid boolean", "'maybe'"]),
    "number as example": (("colour: blue", "colour: 5"), ["a string", "5", "put it in quotes"]),
    "template as text": (("  - name: ask", "  - just text\n  - name: ask"), ["a mapping"]),
    "unknown key": (
        ("heldout: true", "held_out: true"),
        ["colours.yaml:13", "the unknown key 'held_out'", "did you mean 'heldout'?"],
    ),
    "unknown top key": (("templates:", "template:"), ["did you mean 'templates'?"]),
    "bad Jinja on its line": (
        ("      {{ text }}\n", "      {{ text }\n"),
        ["colours.yaml:11 (templates[0].prompt)", "Jinja that parses", "unexpected '}'"],
    ),
    "unknown filter": (("{{ text }} Col", "{{ text | loud }} Col"), ["No filter named 'loud'"]),
    "empty prompt": (('"{{ text }} Colour:"', '"  "'), ["templates[1].prompt", "some text"]),
    "not YAML": (("slots: [text]", "slots: [text"), ["colours.yaml:5", "YAML"]),
    "a date that is none": (
        ("colour: blue", "colour: 2024-13-45"),
        ["colours.yaml", "YAML", "month", "into quotes"],
    ),
    "not a mapping": ((GOOD, "- a\n- b\n"), ["a YAML mapping", "list"]),
    "empty file": ((GOOD, ""), ["a YAML mapping", "NoneType"]),
    "python object": (
        ("version: 1", "version: !!python/object/apply:os.getcwd []"),
        ["colours.yaml:2", "plain values", "os.getcwd"],
    ),
    "key twice": (("version: 1", "version: 1\nversion: 2"), [":3", "each key once", "version"]),
    "another name": (("name: colours", "name: colors"), ["own name, 'colours'", "'colors'"]),
    "unknown task": (
        ("task: summarization", "task: summarisation"),
        ["colours.yaml:3 (task)", "'summarization', ", "did you mean 'summarization'?"],
    ),
    "labels missing": (("task: summarization", "task: classification"), ["the list of labels"]),
    "labels too many": (
        ("target: colour", "target: colour\nchoices: [red, blue]"),
        ["choices for summarization"],
    ),
    "example misses a slot": (("text: The sky at noon., ", ""), ["'text' missing"]),
    "example has more": (("{text:", "{place: Rome, text:"), ["'place' besides"]),
    "reserved slot": (("slots: [text]", "slots: [text, choices]"), ["reserved name 'choices'"]),
    "slot no name": (("slots: [text]", "slots: [text, a-b]"), ["letters, digits and", "'a-b'"]),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_file(case: str, tmp_path: Path) -> None:
    (old, new), parts = BAD[case]
    assert old in GOOD
    message = str(load(tmp_path, GOOD.replace(old, new, 1)))
    for part in parts:
        assert part in message


def test_label_of_the_example_must_be_a_choice(tmp_path: Path) -> None:
    text = GOOD.replace(*LABELS).replace("colour: blue", "colour: green")
    message = str(load(tmp_path, text))
    assert "a completion out of: red, blue" in message
    assert "'green'" in message


def test_all_issues_are_reported_at_once(tmp_path: Path) -> None:
    text = GOOD.replace("version: 1", "version: one").replace("{{ text }} Col", "{{ txt }} Col")
    text = text.replace("task: summarization", "task: guess").replace("heldout:", "unseen:")
    error = load(tmp_path, text.replace("  {{ text }}\n", "  {{ text }\n"))
    assert len(error.issues) == 5
    message = str(error)
    for line in (2, 3, 11, 13, 14):
        assert f"colours.yaml:{line} " in message
    assert str(pickle.loads(pickle.dumps(error))) == message


def test_not_utf8(tmp_path: Path) -> None:
    path = tmp_path / "colours.yaml"
    path.write_bytes(GOOD.replace("noon", "Köln").encode("latin-1"))
    with pytest.raises(BadPrompt, match="UTF-8"):
        load_prompts(str(path))


def test_unknown_name_lists_the_close_ones() -> None:
    with pytest.raises(BadPrompt, match="did you mean dialogue_summary"):
        load_prompts("dialog_summary")
    with pytest.raises(BadPrompt, match="known: .*plain.*translation"):
        load_prompts("zzz")
    with pytest.raises(BadPrompt, match=f"the current folder is {Path.cwd()}"):
        load_prompts("mine/zzz.yaml")


ESCAPES = [
    "{{ ''.__class__.__mro__ }}",
    "{{ text.__class__.__base__.__subclasses__() }}",
    "{{ cycler.__init__.__globals__ }}",
    "{{ range.__globals__ }}",
    "{{ namespace.__init__.__globals__ }}",
    "{{ self.__init__.__globals__ }}",
    "{{ text | attr('__class__') }}",
    "{{ [text] | map(attribute='__class__') | first }}",
    "{{ '{0.__class__}'.format(text) }}",
    "{{ text.format.__self__ }}",
    "{{ lipsum() }}",
    "{{ [1, 2] | random }}",
    "{% for i in range(10**9) %}{{ i }}{% endfor %}",
    "{% for i in range(1000000000) %}{{ i }}{% endfor %}",
    "{{ 'a' * 1000000000 }}",
    "{{ 9 ** 9 ** 9 }}",
    "{{ '%999999999d' % 1 }}",
    "{{ 'a'.ljust(999999999) }}",
    "{{ 'a' | center(999999999) }}",
    "{% include '/etc/passwd' %}",
    "{% import 'os' as os %}{{ os }}",
    "{% set _ = choices.append('x') %}",
    "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
]


@pytest.mark.parametrize("escape", ESCAPES)
def test_sandbox_refuses(escape: str, tmp_path: Path) -> None:
    text = GOOD.replace(*LABELS)
    prompt = f"      {{{{ text }}}}\n      {escape}\n"
    error = load(tmp_path, text.replace("      {{ text }}\n", prompt))
    assert all("templates[0]" in issue.where for issue in error.issues)
