# Two commands: `make quickstart` (or `make embeddings`) and `make test`, and `make study` for those with the data of docs/baselines.md.
# All set up their own virtual environment first.
PYTHON ?= python3
SIZE ?= default
VENV := .venv
READY := $(VENV)/.ready

.PHONY: quickstart embeddings test study lint docs package clean

quickstart: $(READY)
	$(VENV)/bin/bistil quickstart --size $(SIZE)

# Sentence embeddings, on the same definitions.
embeddings: $(READY)
	$(VENV)/bin/bistil quickstart --task embeddings --size $(SIZE)

test: $(READY)
	$(VENV)/bin/python -m pytest -n 2 --dist loadfile

# Resumable: what results/ has is not made again.
study: $(READY)
	$(VENV)/bin/python -m benchmarks.transfer
	$(VENV)/bin/python -m benchmarks.baselines
	$(VENV)/bin/python -m benchmarks.learning_curves
	$(VENV)/bin/python -m benchmarks.shapes
	$(VENV)/bin/python -m benchmarks.inference
	$(VENV)/bin/python -m benchmarks.questions
	$(VENV)/bin/python -m benchmarks.tuning
	$(VENV)/bin/python -m benchmarks.tables
	$(VENV)/bin/python -m benchmarks.plots

lint: $(READY)
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .
	$(VENV)/bin/mypy
	$(VENV)/bin/python -m benchmarks.tables --check
	$(VENV)/bin/python -m benchmarks.plots --check
	$(VENV)/bin/python -m benchmarks.trimming --check
	$(VENV)/bin/python -m benchmarks.sparse_pos --check

# Warnings are errors, dead links among them. The site is docs/_build/html/index.html.
docs: $(READY)
	$(VENV)/bin/python -m sphinx -W --keep-going -q -c docs -d docs/_build/doctrees . docs/_build/html

# What a release uploads; the build's own needs are in the environment already.
package: $(READY)
	rm -rf dist
	$(VENV)/bin/python -m build --no-isolation
	$(VENV)/bin/python -m twine check --strict dist/*

# Plain torch brings gigabytes of CUDA, which a machine without an NVIDIA GPU cannot use.
$(READY): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "bistil needs Python 3.11 or newer; say which: make PYTHON=python3.12 …" >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python scripts/install_torch.py
	$(VENV)/bin/python -m pip install --quiet --editable '.[dev]'
	@touch $@

clean:
	rm -rf $(VENV)
