"""Tiny randomly initialised translation models, English to German, with their own tokenizers."""

import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.architectures import SIZES

WORDS = {"red": "rot", "green": "grün", "blue": "blau", "black": "schwarz", "white": "weiß"}
ENGLISH = [f"Say the colour {word} again!" for word in WORDS] * 20
GERMAN = [f"Sag noch einmal die Farbe {word}!" for word in WORDS.values()] * 20
SPECIAL = ["<s>", "<pad>", "</s>", "<unk>"]
IDS = {"bos_token_id": 0, "pad_token_id": 1, "eos_token_id": 2}
IN_PIECES = ("marian", "m2m100", "plbart")
"""Their tokenizers are read by the package sentencepiece."""

TRANSLATORS = ("nllb", "mbart", "mbart50", "seamless", *IN_PIECES)


def save_translator(kind: str, folder: Path) -> Path:
    """A model folder of random weights, of one of `TRANSLATORS`."""
    import torch

    torch.manual_seed(0)
    model, tokenizer = globals()[f"_{kind}"](folder)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def _nllb(folder: Path) -> tuple[Any, Any]:
    import transformers as tf

    tokenizer = tf.NllbTokenizer(**_byte_pairs(SPECIAL), src_lang="eng_Latn", tgt_lang="deu_Latn")
    config = tf.M2M100Config(**SIZES, **IDS, vocab_size=len(tokenizer), decoder_start_token_id=2)
    return tf.M2M100ForConditionalGeneration(config), tokenizer


def _m2m100(folder: Path) -> tuple[Any, Any]:
    import transformers as tf

    pieces = _pieces(folder / "sentencepiece.bpe.model", [*ENGLISH, *GERMAN], 80)
    _write_vocabulary(folder / "vocab.json", [*SPECIAL, *pieces])
    tokenizer = tf.M2M100Tokenizer(
        str(folder / "vocab.json"),
        str(folder / "sentencepiece.bpe.model"),
        src_lang="en",
        tgt_lang="de",
    )
    config = tf.M2M100Config(**SIZES, **IDS, vocab_size=len(pieces) + 120, decoder_start_token_id=2)
    return tf.M2M100ForConditionalGeneration(config), tokenizer


def _mbart(folder: Path) -> tuple[Any, Any]:
    import transformers as tf

    tokenizer = tf.MBartTokenizer(vocab=_unigrams(), src_lang="en_XX", tgt_lang="de_DE")
    start = tokenizer.convert_tokens_to_ids("de_DE")
    config = tf.MBartConfig(**SIZES, **IDS, vocab_size=len(tokenizer), decoder_start_token_id=start)
    return tf.MBartForConditionalGeneration(config), tokenizer


def _mbart50(folder: Path) -> tuple[Any, Any]:
    import transformers as tf

    tokenizer = tf.MBart50Tokenizer(vocab=_unigrams(), src_lang="en_XX", tgt_lang="de_DE")
    config = tf.MBartConfig(**SIZES, **IDS, vocab_size=len(tokenizer), decoder_start_token_id=2)
    return tf.MBartForConditionalGeneration(config), tokenizer


def _plbart(folder: Path) -> tuple[Any, Any]:
    import transformers as tf

    path = folder / "sentencepiece.bpe.model"
    _pieces(path, [*ENGLISH, *GERMAN], 80)
    tokenizer = tf.PLBartTokenizer(str(path), src_lang="java", tgt_lang="en_XX")
    config = tf.PLBartConfig(**SIZES, **IDS, vocab_size=len(tokenizer), decoder_start_token_id=2)
    return tf.PLBartForConditionalGeneration(config), tokenizer


def _seamless(folder: Path) -> tuple[Any, Any]:
    import transformers as tf

    tokenizer = tf.SeamlessM4TTokenizer(
        **_byte_pairs(["<pad>", "<unk>", "<s>", "</s>"]),
        src_lang="eng",
        tgt_lang="deu",
        additional_special_tokens=["__eng__", "__deu__"],
    )
    sizes = {name: size for name, size in SIZES.items() if name not in ("d_model", "init_std")}
    config = tf.SeamlessM4TConfig(
        **sizes,
        vocab_size=len(tokenizer),
        hidden_size=32,
        initializer_range=0.2,
        pad_token_id=0,
        bos_token_id=2,
        eos_token_id=3,
        decoder_start_token_id=3,
    )
    return tf.SeamlessM4TForTextToText(config), tokenizer


def _marian(folder: Path) -> tuple[Any, Any]:
    import transformers as tf

    pieces = _pieces(folder / "source.spm", ENGLISH, 40) + _pieces(
        folder / "target.spm", GERMAN, 40
    )
    tokens = ["</s>", "<unk>", *dict.fromkeys(pieces), "<pad>"]
    _write_vocabulary(folder / "vocab.json", tokens)
    tokenizer = tf.MarianTokenizer(
        str(folder / "source.spm"), str(folder / "target.spm"), str(folder / "vocab.json")
    )
    pad = len(tokens) - 1
    ids = {"pad_token_id": pad, "eos_token_id": 0, "decoder_start_token_id": pad}
    model = tf.MarianMTModel(tf.MarianConfig(**SIZES, **ids, vocab_size=len(tokens)))
    model.generation_config = tf.GenerationConfig(**ids, bad_words_ids=[[pad]], num_beams=4)
    return model, tokenizer


def _byte_pairs(special: list[str]) -> dict[str, Any]:
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    trainer = trainers.BpeTrainer(vocab_size=150, special_tokens=special, show_progress=False)
    tokenizer.train_from_iterator([*ENGLISH, *GERMAN], trainer)
    model = json.loads(tokenizer.to_str())["model"]
    return {"vocab": model["vocab"], "merges": [tuple(pair) for pair in model["merges"]]}


def _unigrams() -> list[tuple[str, float]]:
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=150, special_tokens=SPECIAL, unk_token="<unk>", show_progress=False
    )
    tokenizer.train_from_iterator([*ENGLISH, *GERMAN], trainer)
    return [tuple(entry) for entry in json.loads(tokenizer.to_str())["model"]["vocab"]]


def _pieces(path: Path, texts: Sequence[str], size: int) -> list[str]:
    """Train SentencePiece; its pieces without special ones."""
    import sentencepiece

    written = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(texts),
        model_writer=written,
        vocab_size=size,
        hard_vocab_limit=False,
        minloglevel=2,
    )
    path.write_bytes(written.getvalue())
    pieces = sentencepiece.SentencePieceProcessor(model_proto=written.getvalue())
    return [pieces.IdToPiece(number) for number in range(3, pieces.get_piece_size())]


def _write_vocabulary(path: Path, tokens: Sequence[str]) -> None:
    path.write_text(json.dumps({token: number for number, token in enumerate(tokens)}))
