"""Worked examples in prompts: drawn by seed, never the question itself, never cut."""

from tasks.scoring.fewshot import first_answer, with_shots
from tests.toy import examples

POOL = examples("echo", 20)


def always(text: str) -> bool:
    return True


def test_prompt_with_shots() -> None:
    shown = with_shots(POOL[0], POOL[1:3], 5, seed=1, fits=always)
    assert {shot["id"] for shot in shown.shots} == {POOL[1]["id"], POOL[2]["id"]}
    first, second = shown.shots
    assert shown.text == (
        f"{first['prompt']}\n{first['completion']}\n\n"
        f"{second['prompt']}\n{second['completion']}\n\n{POOL[0]['prompt']}"
    )


def test_draw_depends_on_seed_and_example() -> None:
    def drawn(index: int, seed: int) -> list[str]:
        shown = with_shots(POOL[index], POOL, 3, seed, always)
        return [shot["id"] for shot in shown.shots]

    assert drawn(0, 1) == drawn(0, 1)
    assert drawn(0, 1) != drawn(0, 2)
    assert drawn(0, 1) != drawn(1, 1)


def test_never_shows_the_example_itself() -> None:
    for seed in range(30):
        for example in POOL[:4]:
            shown = with_shots(example, POOL[:4], 3, seed, always)
            assert len(shown.shots) == 3
            assert example["id"] not in {shot["id"] for shot in shown.shots}


def test_as_many_as_fit_whole() -> None:
    whole = with_shots(POOL[0], POOL, 3, 1, always)
    fewer = with_shots(POOL[0], POOL, 3, 1, lambda text: len(text) < len(whole.text))
    assert fewer.shots == whole.shots[:2]
    assert all(f"{s['prompt']}\n{s['completion']}\n\n" in fewer.text for s in fewer.shots)
    none = with_shots(POOL[0], POOL, 3, 1, lambda text: False)
    assert (none.text, none.shots) == (POOL[0]["prompt"], ())


def test_shots_of_conversations_are_turns_before_the_prompts_own() -> None:
    shot = {"id": "1", "prompt": "<|system|>\nBe brief.\n<|user|>\nHi", "completion": "Yo"}
    asked = {"id": "2", "prompt": "<|system|>\nBe kind.\n<|user|>\nBye"}
    shown = with_shots(asked, [shot], 1, 1, always)
    assert shown.text == ("<|system|>\nBe kind.\n<|user|>\nHi\n<|assistant|>\nYo\n<|user|>\nBye")
    plain = with_shots({"id": "3", "prompt": "Bye"}, [shot], 1, 1, always)
    assert plain.text == "<|user|>\nHi\n<|assistant|>\nYo\n<|user|>\nBye"


def test_what_the_system_says_later_is_not_lost_behind_shots() -> None:
    shot = {"id": "1", "prompt": "Hi", "completion": "Yo"}
    late = "<|user|>\nWho?\n<|system|>\nBe kind.\n<|user|>\nBye"
    shown = with_shots({"id": "2", "prompt": late}, [shot], 1, 1, always)
    said = "<|user|>\nHi\n<|assistant|>\nYo\n<|user|>\nWho?\n<|user|>\nBye"
    assert shown.text == f"<|system|>\nBe kind.\n{said}"


def test_answer_ends_at_the_blank_line_of_the_pattern() -> None:
    went_on = "red 3\n\nSay it again: blue\nblue"
    assert first_answer(went_on, POOL[:2]) == "red 3"
    assert first_answer(went_on, []) == went_on
    assert first_answer(went_on, [{"completion": "two\n\nparagraphs"}]) == went_on
