"""Metrics against the libraries' own values, and where the libraries say nothing."""

import evaluate
import numpy as np
import pytest
from rouge_score.rouge_scorer import RougeScorer
from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF
from sklearn.metrics import accuracy_score, f1_score

from tasks.errors import BadRecipe
from tasks.prompts.library import Task
from tasks.scoring.answers import FloatArray
from tasks.scoring.metrics import DEFAULT_METRICS, METRICS, check_metrics
from tasks.scoring.module import MODULES, statistics_of
from tasks.scoring.overlap import Words

TEXTS = [
    ("the cat sat on the mat", ["the cat sat on a mat", "a cat was on the mat"]),
    ("A quick brown fox, it jumps!", ["The quick brown fox jumps over it."]),
    ("", ["something was expected"]),
    ("int x = foo(3);", ["int y = foo(3);"]),
    ("one", ["one"]),
    ("they meet at noon\nand eat", ["they eat\nthey meet at noon"]),
    ("entirely different words here", ["nothing shared at all"]),
    ("no reference", [""]),
]
CALL = '{"name": "weather", "arguments": {"city": "Oslo", "days": 2}}'
LABELS = ["neg", "pos", "pos", "neutral", "neg", "pos", "neg"]
GUESSES = ["neg", "pos", "neg", "pos", "no idea", "pos", ""]


def statistics(name: str, completions: list[str], references: list[list[str]]) -> FloatArray:
    """Of any metric: completions are their own sources, and their nats are their lengths."""
    metric = METRICS[name]
    if metric.reads == "likelihoods":
        return metric.statistics(list(map(len, completions)), references)
    sources = [completions] if metric.reads == "sources" else []
    return metric.statistics(completions, references, *sources)


def value(name: str, completions: list[str], references: list[list[str]]) -> float:
    return float(METRICS[name].aggregate(statistics(name, completions, references).sum(axis=0)))


def alone(name: str, completion: str, *references: str) -> float:
    return value(name, [completion], [list(references)])


@pytest.mark.parametrize("name", ["rouge1", "rouge2", "rougeL", "rougeLsum"])
def test_rouge_is_the_librarys(name: str) -> None:
    scorer = RougeScorer([name])
    expected = [scorer.score_multi(refs, text)[name].fmeasure for text, refs in TEXTS]
    rows = statistics(name, [t for t, _ in TEXTS], [r for _, r in TEXTS])
    assert rows[:, 0] == pytest.approx(expected)
    assert value(name, *map(list, zip(*TEXTS, strict=True))) == pytest.approx(np.mean(expected))


def test_rouge_knows_other_scripts() -> None:
    assert alone("rouge1", "η γάτα", "η γάτα κοιμάται") == pytest.approx(0.8)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("दिन और दान", ["दिन", "और", "दान"]),
        ("தமிழ் மொழி", ["தமிழ்", "மொழி"]),
        ("สวัสดี!", ["ส", "วั", "ส", "ดี"]),
        ("我在Berlin 2天。", ["我", "在", "berlin", "2", "天"]),
        ("السَّلَامُ عليكم", ["السَّلَامُ", "عليكم"]),
        ("cafe\u0301 noir", ["caf\u00e9", "noir"]),
        ("It's 2_3, I \u2764\ufe0fit", ["it", "s", "2", "3", "i", "it"]),  # a sign of its own
    ],
)
def test_combining_marks_are_part_of_a_word(text: str, words: list[str]) -> None:
    assert Words().tokenize(text) == words
    other = "\n".join(words)
    assert alone("rougeL", text, other) == 1.0


@pytest.mark.parametrize("rows", [TEXTS, TEXTS[:2], TEXTS[2:3], TEXTS[4:5], TEXTS[6:7], TEXTS[:5]])
@pytest.mark.parametrize(("name", "scorer"), [("bleu", BLEU()), ("chrf", CHRF())])
def test_corpus_metrics_are_the_librarys(
    name: str, scorer: BLEU | CHRF, rows: list[tuple[str, list[str]]]
) -> None:
    completions = [text for text, _ in rows]
    streams = [[refs[min(k, len(refs) - 1)] for _, refs in rows] for k in range(2)]
    references = [list(refs) for refs in zip(*streams, strict=True)]
    expected = scorer.corpus_score(completions, streams).score / 100
    assert value(name, completions, references) == pytest.approx(expected, abs=1e-9)


CHINESE = [
    ("今天天气很好，我们去公园。", ["今天天气很好，我们去公园玩。"]),
    ("猫 cat 3", ["小猫 cat 3 只"]),
]


def test_scripts_without_spaces_are_scored_by_characters() -> None:
    completions, references = zip(*CHINESE, strict=True)
    streams = [list(refs) for refs in zip(*references, strict=True)]
    expected = BLEU(tokenize="zh").corpus_score(list(completions), streams).score / 100
    assert value("bleu", completions, references) == pytest.approx(expected, abs=1e-9)
    for name in ("token_f1", "rouge1", "rougeL", "length_ratio"):
        assert 0.5 < alone(name, "เด็กไปโรงเรียน", "เด็กไปบ้าน") < 1.0, name


@pytest.mark.parametrize("text", ["北京。", "«北 京»", "北京？"])
def test_punctuation_of_other_scripts_does_not_matter(text: str) -> None:
    assert alone("exact_match", text, "北京") == alone("token_f1", text, "北京") == 1.0


def test_bleu_of_a_row_is_the_librarys_of_a_sentence() -> None:
    rows = [*TEXTS, ("le chat dort", ["le chat dort"]), ("un chat", ["le chat dort"])]
    scorer = BLEU(effective_order=True)
    expected = [scorer.sentence_score(text, refs).score / 100 for text, refs in rows]
    metric = METRICS["bleu"]
    assert metric.alone is not None
    found = metric.alone(metric.statistics(*zip(*rows, strict=True)))
    assert found == pytest.approx(expected, abs=1e-9)
    assert found[-2] == pytest.approx(1.0)


def test_classification_is_scikit_learns() -> None:
    references = [[label] for label in LABELS]
    assert value("accuracy", GUESSES, references) == accuracy_score(LABELS, GUESSES)
    classes = sorted(set(LABELS))
    expected = f1_score(LABELS, GUESSES, labels=classes, average="macro", zero_division=0.0)
    assert value("macro_f1", GUESSES, references) == pytest.approx(expected)


def test_macro_f1_of_one_class() -> None:
    assert value("macro_f1", ["a", "a", "b"], [["a"], ["a"], ["a"]]) == pytest.approx(0.8)
    assert value("macro_f1", ["x"], [["a"]]) == 0.0


@pytest.mark.parametrize(
    ("name", "completion", "references", "expected"),
    [
        ("accuracy", " Positive ", ["positive"], 1.0),
        ("accuracy", "positive!", ["positive"], 0.0),
        ("accuracy", "", ["positive"], 0.0),
        ("exact_match", "The  Nile.", ["nile", "the river Nile"], 1.0),
        ("exact_match", "Nile river", ["nile"], 0.0),
        ("exact_match", "", ["nile"], 0.0),
        ("token_f1", "the river Nile", ["Nile", "Amazon"], 2 / 3),
        ("token_f1", "", ["Nile"], 0.0),
        ("token_f1", "the", ["a"], 1.0),
        ("entity_f1", "person: Anna Lee; place: Oslo", ["place: oslo; person: anna lee"], 1.0),
        ("entity_f1", "pet: Anna Lee; place: Oslo", ["person: Anna Lee; place: Oslo"], 0.5),
        ("entity_f1", "person: Anna; person: Anna", ["person: Anna"], 2 / 3),
        ("entity_f1", "none", ["none"], 1.0),
        ("entity_f1", "", ["none"], 1.0),
        ("entity_f1", "None", ["person: Anna"], 0.0),
        ("entity_f1", "Anna", ["none"], 0.0),
        ("entity_f1", "place: Oslo", ["person: Anna", "place: Oslo"], 1.0),
        ("tool_call_f1", CALL, [CALL.replace(", ", ",")], 1.0),
        ("tool_call_f1", CALL, [CALL.replace("2", "3")], 0.0),
        ("tool_call_f1", CALL, [f"{CALL}\n{CALL}"], 2 / 3),
        ("tool_call_f1", "It is cold.", ["Yes."], 1.0),
        ("tool_call_f1", CALL, ["Yes."], 0.0),
        ("tool_call_f1", "Yes.", [CALL], 0.0),
        ("tool_name_f1", CALL, [CALL.replace("2", "3")], 1.0),
        ("tool_name_f1", CALL, [CALL.replace("weather", "news")], 0.0),
        ("entity_span_f1", "pet: Anna Lee; place: Oslo", ["person: Anna Lee; place: Oslo"], 1.0),
        ("entity_span_f1", "person: Bo", ["person: Anna"], 0.0),
        ("entity_span_f1", "", ["none"], 1.0),
        ("entity_type_f1", "person: Bo", ["person: Anna"], 1.0),
        ("entity_span_f1", "time: 9:30", ["time: 10:30"], 0.0),
        ("entity_type_f1", "time: 9:30", ["time: 10:30"], 1.0),
        ("entity_span_f1", "Anna", ["person: Anna"], 1.0),
        ("entity_type_f1", "pet: Anna", ["person: Anna"], 0.0),
        ("entity_type_f1", "person: A", ["person: A; person: B"], 2 / 3),
        ("json_f1", '{"b": [2, 1.50], "a": 1}', ['{"a": 1.0, "b": [1.5, 2]}'], 1.0),
        ("json_f1", '{"a": 1, "b": 2, "c": 3}', ['{"a": 1, "b": 3}'], 2 / 5),
        ("json_f1", '{"a": "1"}', ['{"a": 1}'], 0.0),
        ("json_f1", '{"a": true, "b": 0}', ['{"a": 1, "b": false}'], 0.0),
        ("json_f1", '[{"a": 1, "b": 1}]', ['[{"a": 1, "b": 2}]', '[{"a": 1}]'], 2 / 3),
        ("json_f1", '[{"a": 1}, {"a": 2}]', ['[{"a": 2}, {"a": 1}]'], 0.0),
        ("json_f1", '{"id": 12345678901234567}', ['{"id": 12345678901234568}'], 0.0),
        ("json_f1", "{}", ["{}"], 1.0),
        ("json_f1", '{"a": 1', ['{"a": 1}'], 0.0),
        ("json_f1", "[" * 5000, ['{"a": 1}'], 0.0),
        ("json_f1", "no", ["no"], 1.0),
        ("json_valid", '```{"a": 1}```', ['{"a": 1}'], 0.0),
        ("json_valid", ' {"a": null}\n', ['{"a": 1}'], 1.0),
        ("inverse_perplexity", "", ["abc"], 1.0),
        ("inverse_perplexity", "aaa", [""], 1.0),
        ("inverse_perplexity", "aaa", ["äöü"], np.exp(-3 / 6)),
        ("rouge1_mean", "", ["a", "b"], 0.0),
        ("length_ratio", "a b", ["x", "a b c d"], 0.5),
        ("length_ratio", "", ["a"], 0.0),
        ("length_ratio", "", [""], 1.0),
        ("rougeL", "", [""], 0.0),
        ("rouge2", "one", ["one"], 0.0),
        ("bleu", "", ["a b c d"], 0.0),
        ("bleu", "a b c d", [""], 0.0),
        ("chrf", "", ["abc"], 0.0),
        ("chrf", "abc", [""], 0.0),
        ("chrf", "abcdef gh", ["abcdef gh"], 1.0),
    ],
)
def test_single_cases(name: str, completion: str, references: list[str], expected: float) -> None:
    assert alone(name, completion, *references) == pytest.approx(expected)


def test_entity_f1_is_micro() -> None:
    completions = ["person: A; person: B; person: C", "place: X"]
    references = [["person: A; person: B; person: C"], ["place: Y; place: Z; place: W"]]
    # 3 true positives, 1 false positive, 3 false negatives: not the mean of 1 and 0.
    assert value("entity_f1", completions, references) == pytest.approx(2 * 3 / (2 * 3 + 1 + 3))


@pytest.mark.parametrize("name", METRICS)
def test_aggregates_many_sums_at_once(name: str) -> None:
    metric = METRICS[name]
    rows = statistics(name, [t for t, _ in TEXTS], [r for _, r in TEXTS])
    sums = np.stack([rows.sum(axis=0), rows[:3].sum(axis=0), 2 * rows[1]])
    together = metric.aggregate(sums)
    assert together.shape == (3,)
    assert together == pytest.approx([float(metric.aggregate(row)) for row in sums])
    assert ((together >= 0) & (together <= 1)).all()


@pytest.mark.parametrize("name", METRICS)
def test_evaluate_modules(name: str) -> None:
    completions, references = map(list, zip(*TEXTS, strict=True))
    metric = METRICS[name]
    given = list(map(len, completions)) if metric.reads == "likelihoods" else completions
    more = {"sources": completions} if metric.reads == "sources" else {}
    module = evaluate.load(str(MODULES / name), keep_in_memory=True)
    result = module.compute(predictions=given, references=references, **more)
    assert result[name] == value(name, completions, references)
    direction = "higher is better" if metric.higher_is_better else "lower is better"
    assert direction in module.description or "Range, direction" in module.description
    expected = statistics(name, completions, references)
    assert np.array_equal(statistics_of(name, given, references, completions), expected)


@pytest.mark.parametrize("name", ["rouge1", "rouge2", "rougeL", "rougeLsum"])
def test_mean_over_references_is_the_librarys(name: str) -> None:
    scorer = RougeScorer([name])
    text, refs = TEXTS[0]
    expected = np.mean([scorer.score(reference, text)[name].fmeasure for reference in refs])
    assert alone(f"{name}_mean", text, *refs) == pytest.approx(expected)
    assert alone(f"{name}_mean", text, *refs) < alone(name, text, *refs)
    assert alone(f"{name}_mean", text, refs[0]) == alone(name, text, refs[0])


def test_a_metric_of_which_less_is_better_cannot_decide() -> None:
    check_metrics(["rougeL", "fabrication"])
    with pytest.raises(BadRecipe, match="more is better first"):
        check_metrics(["fabrication", "rougeL"])
    lower = {name for name, metric in METRICS.items() if not metric.higher_is_better}
    assert lower == {"fabrication", "omission"}


def test_unknown_metrics() -> None:
    check_metrics(tuple(METRICS))
    with pytest.raises(BadRecipe) as caught:
        check_metrics(["accuracy", "rougel", "zzz"], "review.yaml: metrics")
    assert [issue.found for issue in caught.value.issues] == ["'rougel'", "'zzz'"]
    assert caught.value.issues[0].mend == "did you mean rougeL?"
    assert "entity_f1" in caught.value.issues[1].expected
    with pytest.raises(BadRecipe, match="at least one of"):
        check_metrics([])


def test_every_kind_of_task_has_metrics() -> None:
    assert set(DEFAULT_METRICS) == set(Task.__args__)  # type: ignore[attr-defined]
    for names in DEFAULT_METRICS.values():
        check_metrics(names)
