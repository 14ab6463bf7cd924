"""Models that translate: completions are of the target language, in training and generation."""

import json
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

from tasks.config import Generation, Train
from tasks.data.tokenizing import encode_completions, encode_prompts
from tasks.errors import BadModel
from tasks.scoring.generate import complete, load_generator
from tasks.scoring.nats import nats_of
from tasks.training.encoding import encode_examples
from tasks.training.job import TrainJob
from tasks.training.main import train
from tasks.training.model import fit, load_model, load_tokenizer, start_token_ids
from tests.conftest import WritePairs
from tests.translators import IN_PIECES, TRANSLATORS, save_translator

PROMPT, COMPLETION = "Say the colour red again!", "Sag die Farbe rot, grün"
FROM_EOS = ("nllb", "m2m100", "mbart50", "seamless")
"""Their decoder starts from the end-of-text token; then they write the language."""

Translator = Callable[[str], Path]


@pytest.fixture(scope="module")
def translator(tmp_path_factory: pytest.TempPathFactory) -> Translator:
    """The folder of a tiny translation model."""
    made: dict[str, Path] = {}

    def of(kind: str) -> Path:
        if kind not in made:
            made[kind] = save_translator(kind, tmp_path_factory.mktemp(kind))
        return made[kind]

    return of


def copy_that_says(folder: Path, copy: Path, source: str | None, target: str | None) -> Path:
    """A copy of a model folder with other languages."""
    shutil.copytree(folder, copy)
    path = copy / "tokenizer_config.json"
    settings = json.loads(path.read_text()) | {"src_lang": source, "tgt_lang": target}
    path.write_text(json.dumps(settings))
    return copy


@pytest.fixture(autouse=True)
def without_normalizer() -> None:
    warnings.filterwarnings("ignore", message=".*sacremoses")


def loaded(folder: Path) -> tuple[Any, Any]:
    model, tokenizer = load_model(folder), load_tokenizer(folder)
    fit(model, tokenizer, folder)
    return model, tokenizer


@pytest.mark.parametrize("kind", TRANSLATORS)
def test_ids_are_those_of_transformers(kind: str, translator: Translator) -> None:
    model, tokenizer = loaded(translator(kind))
    [written] = encode_completions([COMPLETION], tokenizer, is_encoder_decoder=True)
    given = AutoTokenizer.from_pretrained(translator(kind))(PROMPT, text_target=COMPLETION)
    assert encode_prompts([PROMPT], tokenizer, is_encoder_decoder=True) == [given["input_ids"]]
    assert given["labels"] != tokenizer(COMPLETION)["input_ids"]  # as it would be in a prompt
    stop = tokenizer.eos_token_id
    labels = given["labels"][1:] if kind == "seamless" else given["labels"]
    # mBART and PLBart have the language at the end, from where it goes to the decoder's start.
    assert [*written, *labels[len(written) :]] == labels
    assert (written[-1], written.count(stop)) == (stop, 1)
    expected = {
        "marian": [tokenizer.pad_token_id],
        "mbart": labels[-1:],
        "plbart": labels[-1:],
    } | dict.fromkeys(FROM_EOS, [stop, labels[0]])
    assert start_token_ids(model) == expected[kind]


@pytest.mark.parametrize("kind", TRANSLATORS)
def test_what_is_trained_is_what_is_generated(
    kind: str, translator: Translator, tmp_path: Path, write_pairs: WritePairs
) -> None:
    for part in ("output", "scratch"):
        (tmp_path / part).mkdir()
    job = {
        "base": str(translator(kind)),
        "base_name": kind,
        "base_revision": None,
        "from_scratch": False,
        "allow_pickle": False,
        "train_file": str(write_pairs(tmp_path / "train.parquet", 120)),
        "validation_file": str(write_pairs(tmp_path / "validation.parquet", 16)),
        "train": {"epochs": 1, "learning_rate": 1e-2, "batch_tokens": 512, "precision": "fp32"},
        "mixture": {},
        **{name: str(tmp_path / name) for name in ("output", "scratch", "tokens", "events")},
    }
    train(TrainJob.model_validate_json(json.dumps(job)))
    folder = tmp_path / "output" / "model"
    generator = load_generator(folder)
    [made] = complete(generator, [PROMPT], Generation(max_new_tokens=6), 64)
    # As anyone would who has only the folder.
    model, tokenizer = AutoModelForSeq2SeqLM.from_pretrained(folder), generator.tokenizer
    inputs = tokenizer(PROMPT, return_tensors="pt")
    num_starts = len(generator.start_ids)
    # SeamlessM4T's own takes a table of languages of its own.
    write = super(type(model), model).generate if kind == "seamless" else model.generate
    ids = write(**inputs, max_new_tokens=6 + num_starts - 1)[0].tolist()
    assert ids[:num_starts] == list(generator.start_ids)
    assert made.text == tokenizer.decode(ids[num_starts:], skip_special_tokens=True).strip()


def test_likelihoods_leave_out_the_language_which_has_to_come_first(
    translator: Translator,
) -> None:
    generator = load_generator(translator("nllb"))
    model, tokenizer = generator.model, generator.tokenizer
    given = tokenizer(PROMPT, text_target=COMPLETION, return_tensors="pt")
    starts = torch.cat([torch.tensor([[2]]), given.pop("labels")], dim=1)
    with torch.no_grad():
        scores = model(**given, decoder_input_ids=starts).logits.log_softmax(-1)[0]
    expected = -sum(
        float(scores[place, starts[0, place + 1]]) for place in range(1, len(starts[0]) - 2)
    )
    found = nats_of(generator, [PROMPT], [COMPLETION], Generation(), 64)
    assert found == pytest.approx([expected], rel=1e-5)


def test_ids_are_made_anew_for_another_language(
    translator: Translator, tmp_path: Path, write_pairs: WritePairs
) -> None:
    pairs = write_pairs(tmp_path / "pairs.parquet", 9)
    for language in ("deu_Latn", "fra_Latn"):
        copy = copy_that_says(translator("nllb"), tmp_path / language, "eng_Latn", language)
        _, tokenizer = loaded(copy)
        found = encode_examples(pairs, tokenizer, True, Train(), tmp_path / "tokens")
        assert tokenizer.convert_ids_to_tokens(int(found.completions[0][0])) == language


def test_the_model_may_say_its_language(translator: Translator, tmp_path: Path) -> None:
    copy = copy_that_says(translator("mbart"), tmp_path / "silent", "en_XX", None)
    _, tokenizer = loaded(copy)
    assert tokenizer.tgt_lang == "de_DE"  # its decoder starts from that
    tokenizer.save_pretrained(tmp_path / "saved")
    assert AutoTokenizer.from_pretrained(tmp_path / "saved").tgt_lang == "de_DE"


@pytest.mark.parametrize(
    ("kind", "languages", "told"),
    [
        ("nllb", ("eng_Latn", None), "src_lang: eng_Latn, tgt_lang: None"),
        ("nllb", (None, "deu_Latn"), "src_lang: None, tgt_lang: deu_Latn"),
        ("nllb", ("english", "deu_Latn"), "src_lang: english, tgt_lang: deu_Latn"),
        ("m2m100", ("en", "german"), "src_lang: en, tgt_lang: german"),
    ],
)
def test_languages_that_are_not_told_or_unknown(
    kind: str,
    languages: tuple[str | None, str | None],
    told: str,
    translator: Translator,
    tmp_path: Path,
) -> None:
    copy = copy_that_says(translator(kind), tmp_path / "copy", *languages)
    with pytest.raises(BadModel, match=f"(?s){told}.*tokenizer_config.json"):
        loaded(copy)


@pytest.mark.parametrize("kind", IN_PIECES)
def test_pieces_that_are_cut_off(kind: str, translator: Translator, tmp_path: Path) -> None:
    copy = copy_that_says(translator(kind), tmp_path / "copy", None, None)
    for name in ("source.spm", "sentencepiece.bpe.model"):
        if (copy / name).exists():
            (copy / name).write_text("version https://git-lfs.github.com/spec/v1\n")
    with pytest.raises(BadModel, match="(?s)a tokenizer.*parse ModelProto.*save the tokenizer"):
        load_tokenizer(copy)
