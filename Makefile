# Everything a newcomer needs: `make demo` shows it working, `make test` shows that it does.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
EXAMPLE := $(BIN)/modelbuild build -f Modelfile.example.toml

.PHONY: install demo test fuzz test-slow test-parity test-gpu test-torches torture torture-mergekit parity check docs site bench bench-memory bench-devices bench-check startup quality exactness clean

install: $(VENV)/installed

$(VENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	$(BIN)/python -m compileall -q modelbuild
	touch $@

demo: install  ## build the example, build it again, change one number
	@echo '$$ modelbuild build -f Modelfile.example.toml'
	@$(EXAMPLE)
	@echo; echo '$$ ls -l out/release out/deep'
	@ls -l out/release out/deep
	@echo; echo '$$ modelbuild graph -f Modelfile.example.toml'
	@$(BIN)/modelbuild graph -f Modelfile.example.toml
	@echo; echo '# Again: nothing is done.'
	@echo '$$ modelbuild build -f Modelfile.example.toml'
	@$(EXAMPLE)
	@echo; echo '# One number changed: `t` of the last slerp, for all that is neither attention nor mlp.'
	@echo '$$ modelbuild build -f Modelfile.example.toml --set vars.blend=0.45'
	@$(EXAMPLE) --set vars.blend=0.45

test: install  ## the everyday suite, a few minutes on two cores
	$(BIN)/python -m pytest -n auto

test-slow: install  ## what takes longer: transformers and lm-eval as judges, installs, long runs
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev,eval,search,torchao]'
	$(BIN)/python -m pytest -n auto -m 'slow and not gpu and not parity'

fuzz: install  ## bad input by the ten thousand, and 100 random graphs: FUZZ_SEED, FUZZ_KINDS, FUZZ_HEADERS and the like, GRAPHS say otherwise
	$(BIN)/python -m tests.fuzz
	$(BIN)/python -m pytest -q -m slow tests/build/test_any_graph.py tests/hostile

test-parity: install  ## against mergekit, which is installed into .venv-mergekit
	$(BIN)/python -m pytest -n auto -m parity tests/parity

test-gpu: install  ## on a CUDA device, with a torch that sees it: the same bytes, full memory, transfers beside kernels
	$(BIN)/python -m pytest -n 4 -m gpu

test-torches: install  ## the same lock and bytes with the oldest torch that is supported, which is downloaded: gigabytes
	$(PYTHON) -m venv .venv-torch
	grep -v '^torch==' constraints.txt > .venv-torch/constraints.txt
	.venv-torch/bin/python -m pip install --quiet --disable-pip-version-check -c .venv-torch/constraints.txt torch==2.6.0 .
	MODELBUILD_OTHER_PYTHON=$(CURDIR)/.venv-torch/bin/python $(BIN)/python -m pytest -m slow tests/locks/test_elsewhere.py

# How many of each: 0 is all of them.  Set any of these to do less, and MODELBUILD_TORTURE_SEED to draw others.
TORTURE = KILLS=0 TORN=0 PAIRS=500 OUTSIDE=200 POWER=5000 ERRORS=0 FULL=40 DAMAGES=0 ROUNDS=20 \
  EXPORT_KILLS=0 EXPORT_TORN=0 EXPORT_PAIRS=200 EXPORT_OUTSIDE=100 EXPORT_POWER=1500 EXPORT_ERRORS=0 EXPORT_FULL=40
torture: install  ## faults at every point: some hours; the figures are printed at the end, and stand in docs/reliability.md
	env $(foreach one,$(TORTURE),MODELBUILD_TORTURE_$(one)) $(BIN)/python -m pytest -m '' -k 'not longer' tests/faults

torture-mergekit:  ## kills and full disks for mergekit, in .venv-mergekit, which make test-parity makes
	PYTHONPATH=. .venv-mergekit/bin/python -m tests.faults.mergekit_faults

parity: install  ## the same, and write docs/parity.md
	$(BIN)/python -m pytest -n auto -m parity tests/parity --parity-report docs/parity.md

check: install  ## style, types, floors
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: install  ## write the pages of methods and commands anew, what commands print in the guides, and the pictures
	$(BIN)/python docs/pages.py
	$(BIN)/python docs/cli.py
	$(BIN)/python docs/blocks.py README.md docs/get-started.md docs/faq.md docs/from-mergekit.md docs/guides/*.md
	$(BIN)/python docs/pictures.py

site: install  ## docs/ as a site, in site/; a warning is an error
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[docs]'
	$(BIN)/mkdocs build --strict --quiet

bench: install  ## measure against mergekit and against copying the same bytes; takes most of an hour
	$(BIN)/python benchmarks/run.py

bench-memory: install  ## the same with all files in memory: with mergekit's own, 15 GB of it
	$(BIN)/python benchmarks/run.py --place /dev/shm/modelbuild-bench
	rm -rf /dev/shm/modelbuild-bench

bench-devices: install  ## build on the CPU and on a CUDA device in turn
	$(BIN)/python benchmarks/devices.py

quality: install  ## merge the example family by every method, score the merges, write examples/README.md
	$(BIN)/python benchmarks/quality.py --write

exactness: install  ## build every exact method with many options, and compare the bytes
	$(BIN)/python benchmarks/exactness.py

startup: install  ## measure the commands that do no work
	$(BIN)/python benchmarks/startup.py

bench-check: install  ## compare a new run with the committed results, by ratios
	rm -rf out/bench
	$(BIN)/python benchmarks/run.py --no-mergekit --output out/bench
	$(BIN)/python benchmarks/check.py out/bench/results.json

clean:
	rm -rf $(VENV) .venv-* out site .mypy_cache .pytest_cache .ruff_cache
