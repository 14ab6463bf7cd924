PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
CORPORA := .retune/corpora

.DEFAULT_GOAL := help
.PHONY: help install demo test check format lock audit bench bench-gpu schema corpora tokenizer clean

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

install: $(INSTALLED)  ## make .venv with the locked dependencies

$(INSTALLED): requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Retune needs Python 3.11 or newer")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --no-compile --requirement requirements.lock
	$(BIN)/python -m compileall -qq -j 0 $(VENV)/lib || true  # as pip does on one core, and whatever it can't
	$(BIN)/python -m pip install --quiet --no-deps --editable .
	touch $@

demo: install  ## fine-tune, test and register the support-chat model
	$(BIN)/retune run configs/recipes/support_chat.yaml

test: install  ## run the tests
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder

check: install  ## formatting, lint and types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: install  ## rewrite the code in the project's format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lock: install  ## pin every package anew
	$(BIN)/pip-compile --quiet --extra dev --extra harness --extra s3 --extra servers --strip-extras --allow-unsafe --no-emit-index-url \
		--no-emit-find-links --no-emit-trusted-host --output-file requirements.lock pyproject.toml
	sed -i 's/^\(torch==[0-9.]*\)+cpu$$/\1/' requirements.lock  # whichever build the index has

audit: install  ## look for known vulnerabilities in the locked packages
	$(BIN)/pip-audit --requirement requirements.lock --no-deps --disable-pip

corpora: install  ## generate what the embedded base model is trained on
	mkdir -p $(CORPORA)
	$(BIN)/python -m data.generators.friend_chats --rows 60000 --out $(CORPORA)/friend_chats.jsonl
	$(BIN)/python -m data.generators.stories --rows 40000 --out $(CORPORA)/stories.jsonl
	$(BIN)/python -m data.generators.passages --rows 60000 --out $(CORPORA)/passages.jsonl
	$(BIN)/python -m data.generators.entities --rows 60000 --out $(CORPORA)/entities.jsonl
	$(BIN)/python -m data.generators.reviews --task sentiment --rows 30000 --out $(CORPORA)/sentiment.jsonl
	$(BIN)/python -m data.generators.reviews --task rating --rows 30000 --out $(CORPORA)/rating.jsonl
	$(BIN)/python -m data.generators.dates --rows 30000 --out $(CORPORA)/dates.jsonl
	$(BIN)/python -m data.generators.news --rows 40000 --out $(CORPORA)/news.jsonl
	$(BIN)/python -m data.generators.notes --rows 40000 --out $(CORPORA)/notes.jsonl
	$(BIN)/python -m data.generators.sentence_pairs --task paraphrase --rows 40000 --out $(CORPORA)/paraphrase.jsonl
	$(BIN)/python -m data.generators.sentence_pairs --task entailment --rows 40000 --out $(CORPORA)/entailment.jsonl
	$(BIN)/python -m data.generators.translation --rows 40000 --out $(CORPORA)/translation.jsonl

tokenizer: corpora  ## train the base model's tokenizer on what its recipe reads
	$(BIN)/python -m tasks.ingest --recipe configs/recipes/pocket_flan_mixture.yaml
	$(BIN)/python -m tasks.training.tokenizer --vocabulary 4096 --rows 10000 \
		--out configs/models/pocket_mixture .retune/workspaces/pocket-flan-mixture/ingest/*.parquet

bench: install  ## measure what is claimed about speed and memory
	$(BIN)/python benchmarks/scale.py --rows 10000 100000
	$(BIN)/python benchmarks/generation.py --rows 100 --rounds 3
	$(BIN)/python benchmarks/serving.py
	$(BIN)/python benchmarks/training.py --rows 400
	$(BIN)/python benchmarks/memory.py

bench-gpu: install  ## measure training on a GPU
	$(BIN)/python benchmarks/gpu.py

schema: install  ## write the recipe's JSON Schema and docs/recipes.md from the field docs
	$(BIN)/python -m tasks.config.document

clean:  ## remove the environment; the state in .retune stays
	rm -rf $(VENV)
