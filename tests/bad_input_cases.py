"""What users get wrong, and what they must be told: the table behind `test_bad_input.py`.

Case("header only", "ingest", "source of colours | none", {"a.csv": "text,said\\n"},
     ["tasks.0.source={path: a.csv}"])
"""

import gzip
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.toy import ECHO

RECIPE = """\
name: toy
base_model: {path: model}
tasks:
  - name: colours
    source: {path: colours.csv}
    prompts: echo.yaml
split: {validation: 0.2, test: 0.2, near_duplicates: null}
train: {epochs: 1, batch_tokens: 512, precision: fp32}
forgetting: {probes: null}
registry: {model: toy}
"""
SUITE = """\
name: suite
probes:
  - {name: echo, source: {path: probe.csv}, prompts: echo.yaml}
"""
PUBLISHED = """\
templates:
  a: !Template
    name: ask
    jinja: "{{ text }} ||| {{ said }}"
    metadata: !Metadata {}
"""
COLOURS = "text,said\n" + "".join(f"red {number},blue {number}\n" for number in range(40))

USER_FILES = {"recipe.yaml": RECIPE, "echo.yaml": ECHO, "colours.csv": COLOURS}
"""The good files; beside them lies the folder `model`."""

FOLDER = object()
"""In place of a file's content: an empty folder."""

GONE = None
"""In place of a file's content: no such file."""

Files = Mapping[str, Any]


@dataclass(frozen=True)
class Case:
    """One mistake.

    Attributes:
        name: Of the test.
        stage: The stage that meets it.
        told: What the message must contain, parts separated by " | ".
        files: What differs from the good files: name -> content, `FOLDER`, `GONE`, or what makes
            the bad content of the good one.
        settings: `--set` arguments.
        after: Stages that run first, with the same files and settings, and well.
    """

    name: str
    stage: str
    told: str
    files: Files = field(default_factory=dict)
    settings: Sequence[str] = ()
    after: Sequence[str] = ()


def _data(name: str, told: str, files: Files, **source: Any) -> Case:
    """A bad source: the first of the files, unless `source` has a path."""
    settings = f"tasks.0.source={json.dumps({'path': next(iter(files), ''), **source})}"
    return Case(name, "ingest", told, files, [settings])


def _recipe(name: str, told: str, old: str, new: str) -> Case:
    assert old in RECIPE
    return Case(name, "ingest", told, {"recipe.yaml": RECIPE.replace(old, new, 1)})


def _prompts(name: str, told: str, old: str, new: str) -> Case:
    assert old in ECHO
    return Case(name, "template", told, {"echo.yaml": ECHO.replace(old, new)})


CONLL = "Oslo\tB-location\nshines\tO\n\nBergen\n\nRain\tO\n"

DATA = [
    _data("empty file", "a.csv | rows | an empty file", {"a.csv": ""}),
    _data("header only", "source of colours | none | header alone", {"a.csv": "text,said\n"}),
    _data(
        "latin-1",
        "a.csv:42 | text in utf-8 | 0xe9 | source.encoding",
        {"a.csv": COLOURS.encode() + b"caf\xe9,x\n"},
    ),
    _data(
        "utf-16", "a.csv | byte-order mark | encoding: utf-16", {"a.csv": COLOURS.encode("utf-16")}
    ),
    _data("no such encoding", "a character encoding | 'latin-99'", {"a.csv": COLOURS},
          encoding="latin-99"),
    _data(
        "truncated gz",
        "a.csv.gz | an intact .gz file | ends too early",
        {"a.csv.gz": gzip.compress((COLOURS * 50).encode())[:-20]},
    ),
    _data("a folder for a file", "a | a file | a folder", {"a": FOLDER}, format="parallel",
          parallel={"said": "colours.csv"}),
    _data("a file for a folder", "a.csv | save_to_disk | no folder", {"a.csv": COLOURS},
          format="saved"),
    _data("empty folder", "a | files in the folder | none", {"a": FOLDER}),
    _data("missing file", "colour.csv | no such file | did you mean colours.csv?", {},
          path="colour.csv"),
    _data("a glob without a match", "*.tsv | files that match | none", {}, path="*.tsv"),
    _data("missing column", "a.csv | 'said' | only text, sad | {said: sad}",
          {"a.csv": "text,sad\na,b\n"}),
    _data("all rows rejected", "5.0% | 2 of 2 rows unusable | a.csv:2 said is empty",
          {"a.csv": "text,said\na,\nb,\n"}),
    _data("too many rejected", "3 of 43 rows unusable | a.csv:42 3 cells where the | toy/ingest",
          {"a.csv": COLOURS + "a,b,c\n" * 3}),
    _data("unknown format", "a.xlsx | a known ending: .jsonl | '.xlsx'", {"a.xlsx": "x"}),
    _data("a zip archive", "a.csv | text | a zip archive | unpack", {"a.csv": b"PK\x03\x04..."}),
    _data("no parquet", "a.parquet | a Parquet file | magic bytes", {"a.parquet": COLOURS}),
    _data("no JSON on a line", "1 of 2 rows | a.jsonl:2 not JSON: Expecting value at column 10",
          {"a.jsonl": '{"text": "a", "said": "b"}\n{"text": }\n'}),
    _data("a JSON list of numbers", "3 of 3 rows | a.json:1 a number where a JSON object",
          {"a.json": "[1, 2, 3]"}),
    _data("a column out of range", "a.tsv | the column '2' | only 0, 1 | from 0",
          {"a.tsv": "a\tb\n"}, header=False, columns={"text": "0", "said": "2"}),
    _data("a field that no prompt has", "source.columns | said, text | 'sad' | first: {said: sad}",
          {"a.csv": COLOURS}, columns={"sad": "said"}),
    _data("an open quote", "a.csv:42 | quoted cells | never closed", {"a.csv": COLOURS + '"a,b\n'}),
    _data("a column twice", "a.csv:1 | names of their own | 'said' twice",
          {"a.csv": "said,said\na,b\n"}),
    _data("missing test file", "gone.csv | a file | no such file", {"a.csv": COLOURS},
          test="gone.csv"),
    _data("files of different length", "same number of lines | 2 in a.txt; 1 in b.txt | align",
          {"a.txt": "a\nb\n", "b.txt": "a\n"}, format="parallel", parallel={"said": "b.txt"}),
    Case("a token without a tag", "ingest", "1 of 3 rows | a.conll:4 not a token and a tag",
         {"a.conll": CONLL}, ["tasks.0.source.path=a.conll", "tasks.0.prompts=named_entities"]),
    Case("a label outside the choices", "ingest", "a.csv:3 label 'great' is not one of negative",
         {"a.csv": "text,label\na,positive\nb,great\n"},
         ["tasks.0.source.path=a.csv", "tasks.0.prompts=review_sentiment"]),
    Case("missing dvc file", "ingest", "other:gone.csv@v1 | a file that DVC tracks | other",
         {"other": FOLDER}, ["tasks.0.source={dvc: {repo: other, path: gone.csv, rev: v1}}"]),
    Case("second task bad", "ingest", "b.csv | rows | an empty file", {"b.csv": ""},
         ["tasks=[{name: a, source: {path: colours.csv}, prompts: echo.yaml},"
          " {name: b, source: {path: b.csv}, prompts: echo.yaml}]"]),
]  # fmt: skip

RECIPES = [
    _recipe("misspelt key", "recipe.yaml:8: train.epoch | did you mean `epochs`?",
            "epochs: 1", "epoch: 1"),
    _recipe("wrong type", "recipe.yaml:8: train.epochs | a whole number | 'many'",
            "epochs: 1", "epochs: many"),
    _recipe("below the range", "recipe.yaml:8: train.epochs | greater than or equal to 1 | 0",
            "epochs: 1", "epochs: 0"),
    _recipe("missing section", "registry | nothing | add `registry`", "registry: {model: toy}", ""),
    _recipe("section without value", "recipe.yaml:10: registry | nothing", "{model: toy}", ""),
    _recipe("unknown format value", "tasks.0.source.format | 'jsonl', 'json' | 'xls'",
            "colours.csv}", "colours.csv, format: xls}"),
    _recipe("a seed too large", "train.seed | less than 2147483648 | 4294967296",
            "epochs: 1", "epochs: 1, seed: 4294967296"),
    _recipe("no meeting place", "rendezvous | HOST:PORT, such as node0:29500 | 'node0'",
            "epochs: 1", "epochs: 1, launch: {nodes: 2, rendezvous: node0}"),
    _recipe("two origins", "recipe.yaml:2: base_model | exactly one of `path` and `hub`",
            "path: model", "path: model, hub: a/b"),
    _recipe("unpinned hub model", "base_model | `revision`, the commit", "path: model", "hub: a/b"),
    _recipe("nothing left to train on", "split | validation + test below 1",
            "test: 0.2", "test: 0.9"),
    _recipe("duplicate key", 'recipe.yaml:10 | duplicate key "name"',
            "registry:", "name: again\nregistry:"),
    _recipe("not YAML", "recipe.yaml:11 | valid YAML | expected ',' or '}'",
            "{model: toy}", "{model: toy"),
    _recipe("a list as a key", "recipe.yaml | plain keys", "name: toy", "? [a, b]\n: 1\nname: toy"),
    _recipe("name of a folder elsewhere", "recipe.yaml:1: name | lower-case letters | '../toy'",
            "name: toy", "name: ../toy"),
    Case("two tasks of one name", "ingest", "task names that differ",
         settings=["tasks=[{name: a, source: {path: colours.csv}, prompts: echo.yaml},"
                   " {name: a, source: {path: b.csv}, prompts: echo.yaml}]"]),
    Case("empty recipe", "ingest", "recipe.yaml | keys and values | nothing", {"recipe.yaml": ""}),
    Case("recipe of items", "ingest", "keys and values | a list", {"recipe.yaml": "- a\n"}),
    Case("recipe in latin-1", "ingest", "recipe.yaml | text in UTF-8 | position 3",
         {"recipe.yaml": b"# (\xe4\n"}),
    Case("recipe missing", "ingest", "recipe.yaml | no such file | try recipes.yaml",
         {"recipe.yaml": GONE, "recipes.yaml": RECIPE}),
    Case("recipe a folder", "ingest", "recipe.yaml | a recipe (YAML) | a folder",
         {"recipe.yaml": FOLDER}),
    Case("set unknown key", "ingest", "train.epoch | did you mean", settings=["train.epoch=1"]),
    Case("set unknown path", "ingest", "trane | did you mean `train`?", settings=["trane.x=1"]),
    Case("set below a value", "ingest", "--set name.x=1 | 'x' below", settings=["name.x=1"]),
    Case("set without a value", "ingest", "--set name | dotted.key=value", settings=["name"]),
    Case("set beyond a list", "ingest", "tasks.1.name=a | from 0 to 0 | 1",
         settings=["tasks.1.name=a"]),
    Case("set bad YAML", "ingest", "--set tasks=[ | a value in YAML | [", settings=["tasks=["]),
]  # fmt: skip

PROMPT_FILES = [
    Case("unknown prompt file", "template", "dialog_summary | no such file | dialogue_summary",
         settings=["tasks.0.prompts=dialog_summary"]),
    Case("misspelt prompt file", "template", "eco.yaml | no such file | did you mean echo.yaml?",
         settings=["tasks.0.prompts=eco.yaml"]),
    Case("prompt file a folder", "template", "prompts.yaml | a prompt file | no such file",
         {"prompts.yaml": FOLDER}, ["tasks.0.prompts=prompts.yaml"]),
    _prompts("unknown slot", "echo.yaml:8 (templates[0].prompt) | only text | 'txt' | 'text'?",
             "colour {{ text }}", "colour {{ txt }}"),
    _prompts("template without target", "templates[0].completion | {{ said }} | without target",
             'again"', 'again", completion: "blue"'),
    _prompts("no target", "echo.yaml:1 (target) | the key 'target' | nothing", "target: said\n",
             ""),
    _prompts("two templates alike", "echo.yaml:9 (templates[1]) | 'other' and 'plain' render alike",
             "Colour: {{ text }}", "Say the colour {{ text }}  again"),
    _prompts("only held-out templates", "(templates) | one template to train on | only held-out",
             'again"}', 'again", heldout: true}'),
    _prompts("prompts not YAML", "echo.yaml:5 | YAML", "[text]", "[text"),
    Case("unknown tag in promptsource", "template", "p.yaml:5 | plain values | !Metadata",
         {"p.yaml": PUBLISHED}, ["tasks.0.prompts=null", "tasks.0.promptsource=p.yaml"]),
    Case("missing promptsource", "template", "p.yaml | a readable file | No such file",
         settings=["tasks.0.prompts=null", "tasks.0.promptsource=p.yaml"]),
]  # fmt: skip

SPLITS = [
    Case("a side left empty", "split", "split | on the side validation | 0 validation",
         settings=["split.validation=0.0001"]),
    Case("a leak", "split", "tasks: colours | 1 records of train that stand in | split.on_leak",
         {"test.csv": "text,said\nred 1,blue 1\nred 99,blue 99\n"},
         ["tasks.0.source.test=test.csv"], after=["ingest", "template"]),
    Case("a test file of which no row is good", "template",
         "tasks: colours: the split test | at least one record | none: | rejects.jsonl of ingest",
         {"test.csv": "text,said\ngreen 1,\ngreen 2,\n"},
         ["tasks.0.source.test=test.csv"], after=["ingest"]),
    Case("a validation file of a header alone", "template", "split validation | it has no rows",
         {"dev.csv": "text,said\n"},
         ["tasks.0.source.validation=dev.csv"], after=["ingest"]),
    Case("a split of a column without an answer", "template", "colours: the split test of its",
         {"colours.csv": lambda good: good.replace("\n", ",train\n").replace("said,train", "said,s")
          + "green 1,,test\n"},
         ["tasks.0.source.split_column=s"], after=["ingest"]),
    Case("a stage too early", "split", "new/template | the output of a stage | run the stage templ",
         settings=["name=new"]),
]  # fmt: skip

MODELS = [
    Case("model missing", "train", "gone | a folder in Hugging Face format | no such folder",
         settings=["base_model.path=gone"]),
    Case("misspelt model", "train", "modle | no such folder | did you mean model?",
         settings=["base_model.path=modle"]),
    Case("hub model as a path", "train", "google/t5 | no such folder | {hub: google/t5, revision:",
         settings=["base_model.path=google/t5"]),
    Case("model a file", "train", "echo.yaml | a folder in Hugging Face format | a file",
         settings=["base_model.path=echo.yaml"]),
    Case("model without config", "train", "model | config.json | none in the folder",
         {"model/config.json": GONE}),
    Case("config cut", "train", "config.json | JSON | line 1", {"model/config.json": "{"}),
    Case("config a list", "train", "config.json | a JSON object | list",
         {"model/config.json": "[]"}),
    Case("model without tokenizer", "train", "model | a tokenizer (tokenizer.json | none",
         {"model/tokenizer.json": GONE}),
    Case("tokenizer no JSON", "train", "tokenizer.json | JSON", {"model/tokenizer.json": b"\xff"}),
    Case("model without weights", "train", "model | model.safetensors | no weights",
         {"model/model.safetensors": GONE}),
    Case("pickle weights", "train", "weights as safetensors | as a pickle | allow_pickle",
         {"model/model.safetensors": GONE, "model/pytorch_model.bin": b"x"}),
    Case("weights a pointer", "train", "model.safetensors | a whole safetensors file | git lfs",
         {"model/model.safetensors": "version https://git-lfs.github.com/spec/v1\n"}),
    Case("a shard missing", "train", "model | that model.safetensors.index.json names | no b.safe",
         {"model/model.safetensors.index.json": '{"weight_map": {"a": "b.safetensors"}}'}),
    Case("quantized weights", "train", "model | weights in 16 or 32 bits | quantized ones (gptq)",
         {"model/config.json": json.dumps({"quantization_config": {"quant_method": "gptq"}})}),
    Case("an adapter", "train", "model | a PEFT adapter | merge it into its base model",
         {"model/adapter_config.json": "{}"}),
    Case("two vocabularies", "train", "model | that reads prompts and | one of FSMT's",
         {"model/tokenizer.json": GONE, "model/vocab-src.json": "{}"}),
    Case("a tokenizer of another model", "train", "vocab_size 300 | ids up to 332 | belongs",
         {"model/config.json": json.dumps({"model_type": "t5", "vocab_size": 300})}),
]  # fmt: skip

BERT = json.dumps({
    "model_type": "bert", "vocab_size": 400, "hidden_size": 16, "intermediate_size": 32,
    "num_hidden_layers": 1, "num_attention_heads": 2, "initializer_range": 0.5,
})  # fmt: skip

CTRL = {"model/model.safetensors": GONE, "model/config.json": json.dumps({
    "model_type": "ctrl", "vocab_size": 400, "n_embd": 16, "dff": 32, "n_layer": 1, "n_head": 2,
})}  # fmt: skip
REFORMER = {"model/model.safetensors": GONE, "model/config.json": json.dumps({
    "model_type": "reformer", "vocab_size": 400, "is_decoder": True, "hidden_size": 16,
    "attn_layers": ["local"], "attention_head_size": 8, "feed_forward_size": 32, "axial_pos_embds":
    False, "num_attention_heads": 2, "local_attn_chunk_length": 7, "max_position_embeddings": 256,
})}  # fmt: skip

EVALUATION = [
    Case("unknown metric", "validate", "tasks.colours.metrics | rougeL | 'rouge' | did you mean",
         settings=["tasks.0.metrics=[rouge]"]),
    Case("no metric", "validate", "tasks.colours.metrics | at least one of | none",
         settings=["tasks.0.metrics=[]"]),
    Case("base model gone", "test", "model | a folder in Hugging Face format | no such folder",
         settings=["base_model.path=gone"]),
    Case("unknown probe suite", "forgetting", "forgetting.probes: generl | did you mean general?",
         settings=["forgetting.probes=generl"]),
    Case("probe file missing", "forgetting", "probe.csv | a file | no such file",
         {"suite.yaml": SUITE}, ["forgetting.probes=suite.yaml"]),
    Case("probe metric unknown", "forgetting", "suite.yaml:3 (probes[0].metrics) | 'f1'",
         {"suite.yaml": SUITE.replace("yaml}", "yaml, metrics: [f1]}")},
         ["forgetting.probes=suite.yaml"]),
    Case("probe key misspelt", "forgetting", "suite.yaml:3 (probes[0].promts) | did you mean",
         {"suite.yaml": SUITE.replace("prompts", "promts")}, ["forgetting.probes=suite.yaml"]),
    Case("probe without the column", "forgetting", "probe.csv | the column 'said' | only text",
         {"suite.yaml": SUITE, "probe.csv": "text,sad\na,b\n"}, ["forgetting.probes=suite.yaml"]),
]  # fmt: skip

IN_TRAINING = [
    Case("all examples too long", "train", "train | none left: 2 | train.max_prompt_tokens",
         settings=["train.max_prompt_tokens=2"]),
    Case("no such layers", "train", "train.lora.targets | layers that the model has | qq | `auto`",
         settings=["train.method=lora", "train.lora.targets=[qq]"]),
    Case("one layer of two", "train", "train.lora.targets | layers that the model has | qq | `auto",
         settings=["train.method=lora", "train.lora.targets=[q, qq]"]),
    Case("a model that sees ahead", "train", "model | a decoder, which sees no | encoder (bert)",
         {"model/config.json": BERT, "model/model.safetensors": GONE},
         settings=["base_model.from_scratch=true"]),
    Case("no recomputing", "train", "train.gradient_checkpointing | one that can't (ctrl)",
         CTRL, settings=["base_model.from_scratch=true", "train.gradient_checkpointing=true"]),
    Case("a model of fixed lengths", "train", "model | can be trained | ValueError in step",
         REFORMER, settings=["base_model.from_scratch=true"]),
    Case("a tokenizer nothing reads", "train", "model | a tokenizer | save the tokenizer into",
         {"model/tokenizer.json": GONE, "model/spiece.model": b"x"}),
    Case("weights of another shape", "train", "model | weights that fit config.json | such as",
         {"model/config.json": lambda text: text.replace('"d_model": 32', '"d_model": 48')}),
]  # fmt: skip

CASES = [*DATA, *RECIPES, *PROMPT_FILES, *SPLITS, *MODELS, *EVALUATION, *IN_TRAINING]

HEADER = b'{"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}'
CUT = len(HEADER).to_bytes(8, "little") + HEADER

COMMANDS = [
    Case("a bad recipe", "run", "recipe.yaml:8: train.epoch | did you mean `epochs`?",
         {"recipe.yaml": RECIPE.replace("epochs", "epoch")}),
    Case("nothing to read, run", "run", "colours.csv | a file | no such file",
         {"colours.csv": GONE}),
    Case("nothing to read, planned", "plan", "colours.csv | a file | no such file",
         {"colours.csv": GONE}),
    Case("model cut off", "plan", "model.safetensors | a whole safetensors file | 69 bytes where",
         {"model/model.safetensors": CUT}),
    Case("model that reads pictures", "plan", "model | text in and text out | llava (no architect",
         {"model/config.json": '{"model_type": "llava"}'}),
    Case("no GPU, planned", "plan", "train.method: qlora | a CUDA GPU and | no CUDA GPU",
         settings=["train.method=qlora"]),
    Case("no GPU, run", "run", "train.method: qlora | bitsandbytes | `method: lora`",
         settings=["train.method=qlora"]),
    Case("no vLLM", "plan", "generation.engine: vllm | the package vllm | `engine: torch`",
         settings=["generation.engine=vllm"]),
    Case("adapters with adafactor", "plan", "train | `optimizer: adamw`, with a learning rate",
         settings=["train.method=lora", "train.optimizer=adafactor"]),
    Case("rows on one side", "plan", "forgetting.max_examples of at least 2 where a model",
         settings=["train.interpolate={}", "forgetting.max_examples=1"]),
    Case("adapters on nothing", "plan", "train.method `full` where base_model.from_scratch",
         settings=["train.method=lora", "base_model.from_scratch=true"]),
    Case("unknown suite", "plan", "forgetting.probes: x | a probe suite | no such file",
         settings=["forgetting.probes=x"]),
]  # fmt: skip
"""Case.stage is the command here."""
