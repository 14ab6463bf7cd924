from typing import Any

from tasks.report.confusion import MOST_LABELS, Cell, confusions


def row(right: str, answer: str, task: str = "moods") -> dict[str, Any]:
    return {"task": task, "references": [right], "completions": {"base": "", "tuned": answer}}


def test_answers_are_counted_by_their_right_label() -> None:
    rows = [row("Good", "good "), row("Good", "Good"), row("Good", "bad"), row("bad", "no idea")]
    rows.append(row("a text", "another", task="chat"))
    [found] = confusions(rows, {"moods": ["macro_f1", "accuracy"], "chat": ["rougeL"]})
    assert (found.task, found.labels) == ("moods", ["bad", "Good"])
    assert {each.label: [cell.count for cell in each.cells] for each in found.rows} == {
        "bad": [0, 0, 1],
        "Good": [1, 2, 0],
    }
    assert found.rows[1].cells[0] == Cell(1, 2)  # a third is in the second of four shades
    assert found.rows[1].cells[2] == Cell(0, 0)


def test_many_labels_make_no_table() -> None:
    rows = [row(str(number), "0") for number in range(MOST_LABELS + 1)]
    assert confusions(rows, {"moods": ["accuracy"]}) == []
    assert len(confusions(rows[1:], {"moods": ["accuracy"]})) == 1
