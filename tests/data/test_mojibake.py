"""Garbled texts are found, and texts in whatever language are none."""

from pathlib import Path

import pytest

from tasks.data.mojibake import garbled
from tests.ingesting import jsonl, records, run, summary

TEXTS = [
    "Le café crème coûte 2 € : « Où est l’élève ? » À bientôt…",
    "Größe, Übung, Straße: „Ärger“ – süß, aber öde…",
    "Não há ação amanhã à noite; você põe o pão. “AMANHÔ",
    "Zażółć gęślą jaźń – „ŁÓDŹ”, ćma i źrebię…",
    "Ånger, själv, öl: ”Å”. Blåbærsyltetøy på brød »Å«",
    "¿Qué pasó? «SECCIÓN» – ¡ACCIÓ…!",
    "Příliš žluťoučký kůň úpěl ďábelské ódy",
    "Từ điển tiếng Việt; Îles, Ñandú, Đặng",
    "Привет, мир! Ελληνικά 日本語 한국어 עברית العربية 🙂",
    "It’s “fine” — 5 × 3 = 15 ½ °C",
]
ENDINGS = ["[SECCIÓ…]", "CAFÉ…", "là\xa0»", "HERKKÄ”", "GABÚ–", "DÉJÀ’"]


@pytest.mark.parametrize("text", [*TEXTS, *" ".join(TEXTS).split(), *ENDINGS])
def test_texts_are_not_garbled(text: str) -> None:
    assert garbled(text) is None


@pytest.mark.parametrize("damaged", ["Itâ€™s", "cafÃ©", "20 Â°C", "fine â€“ or", "SÃ£o"])
@pytest.mark.parametrize("text", [text for text in TEXTS if "Ã" not in text])
def test_a_text_of_which_some_was_read_as_another_encoding(damaged: str, text: str) -> None:
    assert garbled(f"{text} {damaged} ok") is not None


@pytest.mark.parametrize("text", TEXTS)
def test_utf_8_that_was_read_as_another_encoding(text: str) -> None:
    found = text.encode().decode("latin-1")
    assert garbled(found) is not None
    as_windows = "".join(
        bytes([byte]).decode("cp1252", errors="ignore") or chr(byte) for byte in text.encode()
    )
    assert garbled(as_windows) is not None
    assert garbled("It was read right: Café") is None


def test_garbled_records_are_counted_and_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    chats = [{"dialogue": f"Un café à {n} h ?", "summary": "Café."} for n in range(3)]
    path = tmp_path / "a.csv"
    lines = [",".join(chat.values()) for chat in chats]
    path.write_text("\n".join(["dialogue,summary", *lines, "At eight?,At eight."]) + "\n", "utf-8")
    told = "3 records look like UTF-8 that was read as another encoding ('Un cafÃ© Ã"
    mend = "set source.encoding to utf-8"
    for encoding, is_told in (("utf-8", False), ("latin-1", True), ("cp1252", True)):
        [*remarks] = summary(run(tmp_path, {"path": str(path), "encoding": encoding}))["remarks"]
        assert [told in remark and mend in remark for remark in remarks] == [True] * is_told
    assert told in caplog.text
    garbage = [{"dialogue": "Itâ€™s fine", "summary": "Fine."}]
    [remark] = summary(run(tmp_path, {"path": jsonl(tmp_path / "b.jsonl", garbage)}))["remarks"]
    assert "'Itâ€™s fine' in record " in remark
    assert remark.endswith(": mend the source, with the package ftfy for example")


def test_lost_characters_are_counted_and_told(tmp_path: Path) -> None:
    chats = [{"dialogue": f"Au caf\ufffd, {n} h ?", "summary": "Caf\ufffd."} for n in range(2)]
    source = {"path": jsonl(tmp_path / "a.jsonl", [*chats, {"dialogue": "A?", "summary": "A."}])}
    artifact = run(tmp_path, source)
    [remark] = summary(artifact)["remarks"]
    assert remark.startswith("2 records have the character U+FFFD")
    assert f"('Au caf\ufffd, 0 h ?' in record {records(artifact)[0]['id']})" in remark
