from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tasks.data import batches as limits
from tasks.prompts.denoising import MAX_SENTINELS
from tasks.training.tokenizer import texts_of


@pytest.mark.parametrize(
    "text", ["Room 1234 for Zoë", "x = {\n\ty;\n}", "日本 🚀", "  two  spaces "]
)
def test_every_text_comes_back(text: str, tiny_tokenizer: Any) -> None:
    ids = tiny_tokenizer(text)["input_ids"]
    assert ids[-1] == tiny_tokenizer.eos_token_id
    assert tiny_tokenizer.decode(ids[:-1]) == text


def test_digits_stand_apart_and_sentinels_are_one_token(tiny_tokenizer: Any) -> None:
    assert tiny_tokenizer.tokenize("2024") == ["2", "0", "2", "4"]
    last = f"<extra_id_{MAX_SENTINELS - 1}>"
    assert tiny_tokenizer.tokenize(f"a{last}b") == ["a", last, "b"]


def test_texts_are_those_of_the_first_records_of_each_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = {"id": "0", "split": None, "group_id": "5a0e", "references": ["r"]}
    rows = [{**shared, "dialogue": f"d{number}", "summary": "s"} for number in range(5)]
    for name in ("a", "b"):
        pq.write_table(pa.Table.from_pylist(rows), tmp_path / f"{name}.parquet")
    files = [tmp_path / "a.parquet", tmp_path / "b.parquet"]
    assert list(texts_of(files, 2)) == ["d0", "d1", "s", "s"] * 2
    assert len(list(texts_of(files, 100))) == 20
    monkeypatch.setattr(limits, "BATCH_BYTES", 1)  # a row at a time, however few are asked for
    assert list(texts_of(files[:1], 2)) == ["d0", "s", "d1", "s"]
