import xml.etree.ElementTree as ET
from dataclasses import replace

from tasks.report.frontier import FrontierPoint, frontier_rows, frontier_svg, unbeaten

FULL = FrontierPoint("full", 0.20, 0.15, 0.25, 0.30, 0.25, 0.35)
LORA = FrontierPoint("lora", 0.12, 0.08, 0.16, 0.05, 0.00, 0.10, chosen=True)
WORSE = FrontierPoint("replay", 0.10, 0.05, 0.15, 0.08, 0.02, 0.14)


def test_only_what_is_beaten_in_both_is_off_the_frontier() -> None:
    assert unbeaten([FULL, WORSE, LORA]) == [LORA, FULL]


def test_equals_stay_together_and_a_tie_in_one_is_beaten_by_the_other() -> None:
    twin = replace(LORA, name="twin")
    same_gain_more_forgotten = replace(LORA, name="tie", forgetting=0.06)
    assert unbeaten([LORA, twin, same_gain_more_forgotten]) == [LORA, twin]


def test_rows_bear_the_numbers_of_the_plot() -> None:
    rows = frontier_rows([FULL, WORSE, LORA])
    assert [row["number"] for row in rows] == ["1", "2", "3"]
    assert [row["on_frontier"] for row in rows] == [True, False, True]
    assert rows[2]["chosen"] and rows[2]["gain"] == "+0.120 (+0.080 to +0.160)"


def test_every_mark_and_the_budget_lie_within_the_plot() -> None:
    svg = ET.fromstring(_standalone(frontier_svg([FULL, WORSE, LORA], max_drop=0.5)))
    width, height = (float(side) for side in svg.attrib["viewBox"].split()[2:])
    circles = svg.findall("{*}circle")
    assert len(circles) == 3
    assert all(0 < float(circle.attrib["cx"]) < width for circle in circles)
    assert all(0 < float(circle.attrib["cy"]) < height for circle in circles)
    (budget,) = [line for line in svg.findall("{*}line") if "stroke-dasharray" in line.attrib]
    heights = [float(circle.attrib["cy"]) for circle in circles]
    assert 0 < float(budget.attrib["y1"]) < min(heights), "the budget of 0.5 is above all of them"


def test_more_gain_is_to_the_right_and_less_forgetting_is_lower() -> None:
    svg = ET.fromstring(_standalone(frontier_svg([FULL, LORA], max_drop=None)))
    full, lora = svg.findall("{*}circle")
    assert float(full.attrib["cx"]) > float(lora.attrib["cx"])
    assert float(full.attrib["cy"]) < float(lora.attrib["cy"])


def test_marks_in_one_place_share_a_label() -> None:
    svg = ET.fromstring(_standalone(frontier_svg([LORA, FULL, replace(LORA, chosen=False)], 0.05)))
    texts = [text.text for text in svg.findall("{*}text")]
    assert texts[-2:] == ["1 (kept), 3", "2"]


def test_axes_bear_round_numbers() -> None:
    svg = ET.fromstring(_standalone(frontier_svg([FULL, LORA], max_drop=0.05)))
    texts = [text.text for text in svg.findall("{*}text")]
    assert texts[:5] == ["0", "0.1", "0.2", "0.3", "0.4"]


def test_names_are_escaped() -> None:
    named = replace(FULL, name="<script>alert(1)</script>")
    drawn = str(frontier_svg([named], max_drop=None))
    assert "<script>" not in drawn and "&lt;script&gt;" in drawn


def test_nothing_to_draw() -> None:
    assert frontier_svg([], max_drop=0.05) == ""
    assert frontier_svg([replace(FULL, gain=float("nan"))], max_drop=0.05) == ""


def _standalone(svg: str) -> str:
    return str(svg).replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1)
