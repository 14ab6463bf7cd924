"""Copies a trained model to a folder that ships: weights in bf16, half the size of fp32.

python -m tasks.training.export .retune/workspaces/pocket-flan/train/model models/pocket-flan
"""

import argparse
from pathlib import Path

import torch

from tasks.training.model import load_model, load_tokenizer
from tasks.training.processor import copy_processor


def export(source: Path, target: Path) -> None:
    """Write a model folder's weights in bf16, with its tokenizer, into another folder."""
    load_model(source).to(torch.bfloat16).save_pretrained(target)  # type: ignore[arg-type]
    load_tokenizer(source).save_pretrained(target)
    copy_processor(source, target)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="Copy a model folder, its weights in bf16.")
    parser.add_argument("source", type=Path, help="model folder")
    parser.add_argument("target", type=Path, help="folder to write to")
    arguments = parser.parse_args()
    export(arguments.source, arguments.target)


if __name__ == "__main__":
    main()
