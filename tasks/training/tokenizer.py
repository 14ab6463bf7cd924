r"""Trains the tokenizer of a base model made from scratch: byte-level, digits apart.

    python -m tasks.training.tokenizer --vocabulary 4096 --rows 20000 --out FOLDER \
        .retune/workspaces/RECIPE/ingest/*.parquet

Byte-level BPE has no unknown token: every text can be written and read back. Sentinels
(`<extra_id_0>` ...) stand for the gaps of span corruption, as in T5.
"""

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow.parquet as pq
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from tasks.data.batches import batches
from tasks.data.record_files import COLUMNS
from tasks.prompts.denoising import MAX_SENTINELS

PAD, END = "<pad>", "</s>"


def train_tokenizer(texts: Iterator[str], vocabulary_size: int) -> PreTrainedTokenizerFast:
    """Byte-level BPE (arXiv 1508.07909) over texts.

    Args:
        texts: The texts.
        vocabulary_size: Tokens in all, special ones included.
    """
    sentinels = [f"<extra_id_{number}>" for number in range(MAX_SENTINELS)]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(r"\d| ?[^\s\d]+|\s+(?!\S)|\s+"), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary_size,
        special_tokens=[PAD, END, *sentinels],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"$A {END}", special_tokens=[(END, tokenizer.token_to_id(END))]
    )
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=tokenizer,
        eos_token=END,
        pad_token=PAD,
        additional_special_tokens=sentinels,
        clean_up_tokenization_spaces=False,
    )


def texts_of(files: Sequence[Path], num_rows: int) -> Iterator[str]:
    """The texts of records that ingest wrote.

    Args:
        files: Parquet files of the stage ingest, one a task.
        num_rows: At most this many records of each, its first, so that no task drowns another.
    """
    for path in files:
        left = num_rows
        with pq.ParquetFile(path) as records:
            columns = [name for name in records.schema_arrow.names if name not in COLUMNS]
            for batch in batches(records, columns):
                for column in batch.slice(0, left).columns:
                    yield from (text for text in column.to_pylist() if text)
                left -= min(left, batch.num_rows)
                if not left:
                    break


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="Train a byte-level BPE tokenizer.")
    parser.add_argument("files", nargs="+", type=Path, help="Parquet files that ingest wrote")
    parser.add_argument("--rows", type=int, default=20_000, help="records of each file, at most")
    parser.add_argument("--vocabulary", type=int, default=4096, help="tokens in all")
    parser.add_argument("--out", type=Path, required=True, help="folder to write to")
    arguments = parser.parse_args()
    texts = texts_of(arguments.files, arguments.rows)
    train_tokenizer(texts, arguments.vocabulary).save_pretrained(arguments.out)


if __name__ == "__main__":
    main()
