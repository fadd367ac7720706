# `make help` lists the targets. Everything happens in environments in this folder.

PYTHON ?= python3
OLDEST_PYTHON ?= $(PYTHON)
ARGS ?=
DATA ?=

VENV := .venv
OLDEST := .venv-oldest
PEERS := .venv-peers
PY := $(VENV)/bin/python
# Safe path: neither a test nor its subprocesses may import the source tree. Tests run side
# by side, each on one thread unless it asks for more, and threads do not spin meanwhile.
QUIET := PYTHONSAFEPATH=1 OMP_NUM_THREADS=1 OMP_WAIT_POLICY=passive
TEST := $(QUIET) $(PY)
TEST_OLDEST := $(QUIET) $(OLDEST)/bin/python
SIDE_BY_SIDE := -n 2 --dist worksteal
# Only files that have the mark are collected: few of all.
OLDEST_TESTS = $(shell grep -rl --include='*.py' --exclude-dir=oracle 'mark\.oldest' tests)
CHECK_INSTALLED := -c 'import sys, sklearn_convnet as package; \
	assert package.__file__.startswith(sys.prefix), package.__file__'

# Folders are listed as well: theirs is the time that changes when a file goes.
SOURCES := setup.py pyproject.toml MANIFEST.in README.md LICENSE \
	$(shell find sklearn_convnet -name __pycache__ -prune -o \
		! -name '*.c' ! -name '*.so' -print 2>/dev/null)

export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help demo docs check-site notebook test test-oracle test-ray lint bench compare peers wheel release install \
	clean
.NOTPARALLEL:
.DELETE_ON_ERROR:

help:  ## show this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 14
	@echo
	@echo 'ARGS="..." is passed on by demo, test, test-oracle, bench and compare;'
	@echo 'PYTHON=... makes the environments (now $(PYTHON)).'

demo: install  ## train on a folder of data and draw the result: DATA=FOLDER
	$(PY) docs/examples/demo.py $(if $(DATA),--data "$(DATA)") $(ARGS)

test: install  ## build, install, run all tests and the examples of docstrings and docs
	$(TEST) $(CHECK_INSTALLED)
	$(TEST) -m pytest $(SIDE_BY_SIDE) --ignore=tests/oracle --ignore=tests/oldest $(ARGS)
	$(TEST) -m pytest --doctest-modules --pyargs sklearn_convnet
	$(TEST) -m pytest $(SIDE_BY_SIDE) --doctest-glob='*.md' docs

test-oracle: $(VENV)/stamps/torchvision $(OLDEST)/stamps/installed  ## compare with PyTorch; test with the oldest releases
	$(TEST) $(CHECK_INSTALLED)
	$(TEST) -m pytest $(SIDE_BY_SIDE) tests/oracle $(ARGS)
	$(TEST_OLDEST) $(CHECK_INSTALLED)
	$(TEST_OLDEST) -m pytest $(SIDE_BY_SIDE) -m oldest $(OLDEST_TESTS)

test-ray: $(VENV)/stamps/ray  ## run searches and ensembles on ray
	$(TEST) $(CHECK_INSTALLED)
	$(TEST) -m pytest -m whole tests/beyond/test_ray.py

lint: $(VENV)/stamps/lint  ## check style and types: ruff, cython-lint and mypy
	$(VENV)/bin/ruff check
	$(VENV)/bin/ruff format --check
	PATH="$(CURDIR)/$(VENV)/bin:$$PATH" cython-lint sklearn_convnet  # it calls pycodestyle
	$(VENV)/bin/mypy

docs: $(VENV)/stamps/docs  ## make the pages of the docs: build/site/index.html
	$(TEST) $(CHECK_INSTALLED)
	rm -rf build/pages && mkdir -p build/pages
	cp -r docs CHANGELOG.md CONTRIBUTING.md build/pages  # sources that are made stay out of docs
	$(TEST) -m sphinx -j 2 -q -W --keep-going -b html build/pages/docs build/site
	@echo 'build/site/index.html'

check-site: docs  ## open pages of the docs in Chromium, with screenshots
	$(PY) docs/check_site.py

notebook: $(VENV)/stamps/notebook  ## run the notebook of the docs, and open its page in Chromium
	$(PY) docs/check_notebook.py

bench: $(VENV)/stamps/oracle  ## time LeNet-5 next to skorch: DATA=FOLDER of Fashion-MNIST
	$(PY) benchmarks/fashion.py "$(DATA)" $(ARGS)

compare: $(VENV)/stamps/bench  ## time networks and kernels next to PyTorch: ARGS="train", ...
	$(PY) benchmarks/compare.py $(ARGS)

peers: $(PEERS)/stamps/installed  ## make .venv-peers: other estimators and data sets, for benchmarks/defaults

wheel: build/wheel  ## build the source archive and, from it, the wheel in dist/

release: wheel  ## look over what is to be released, and test the source archive by itself
	$(PY) .ci/check_release.py
	rm -rf build/release && mkdir -p build/release
	tar -xzf dist/*.tar.gz -C build/release --strip-components=1
	$(MAKE) -C build/release test

install: $(VENV)/stamps/installed  ## build and install the package in .venv

clean:  ## remove what was built; the environments stay
	rm -rf build dist *.egg-info
	rm -rf .pytest_cache .ruff_cache .mypy_cache .hypothesis
	find sklearn_convnet '(' -name '*.c' -o -name '*.so' ')' -delete

# Environments

$(VENV)/stamps/tools: pyproject.toml
	test -x $(PY) || $(PYTHON) -m venv $(VENV)
	$(PY) -m pip install -q 'pip>=25.1' build $$($(PY) -c 'import tomllib; \
		print(*tomllib.load(open("pyproject.toml", "rb"))["build-system"]["requires"])')
	@mkdir -p $(@D) && touch $@

$(VENV)/stamps/lint: pyproject.toml | $(VENV)/stamps/tools
	$(PY) -m pip install -q --group lint
	@touch $@

$(VENV)/stamps/docs $(VENV)/stamps/notebook $(VENV)/stamps/ray: $(VENV)/stamps/installed pyproject.toml
	$(PY) -m pip install -q --group $(@F)
	@touch $@

$(VENV)/stamps/installed: build/wheel | $(VENV)/stamps/tools
	$(PY) -m pip install -q --force-reinstall --no-deps dist/*.whl
	$(PY) -m pip install -q 'sklearn_convnet[plot,test]'
	@touch $@

$(VENV)/stamps/oracle $(VENV)/stamps/bench: $(VENV)/stamps/installed
	$(PY) -m pip install -q 'sklearn_convnet[$(@F)]'
	@touch $@

# Without what it depends on: it asks for one build of PyTorch, and its models run with any.
$(VENV)/stamps/torchvision: $(VENV)/stamps/oracle
	$(PY) -m pip install -q --no-deps torchvision==0.29.1
	@touch $@

$(OLDEST)/stamps/installed: build/wheel
	test -x $(OLDEST)/bin/python || $(OLDEST_PYTHON) -m venv $(OLDEST)
	$(OLDEST)/bin/python -m pip install -q 'pip>=25.1'
	$(OLDEST)/bin/python -m pip install -q --force-reinstall --no-deps dist/*.whl
	$(OLDEST)/bin/python -m pip install -q --group oldest 'sklearn_convnet[test]'
	@mkdir -p $(@D) && touch $@

# An environment of its own: aeon asks for an older numpy.
$(PEERS)/stamps/installed: build/wheel
	test -x $(PEERS)/bin/python || $(PYTHON) -m venv $(PEERS)
	$(PEERS)/bin/python -m pip install -q 'pip>=25.1'
	$(PEERS)/bin/python -m pip install -q --force-reinstall --no-deps dist/*.whl
	$(PEERS)/bin/python -m pip install -q --group peers sklearn_convnet
	@mkdir -p $(@D) && touch $@

# The wheel is built from the unpacked source archive, so that a file which the archive
# lacks is noticed. build/sdist keeps its objects: only what changed is compiled again.

LOG = > build/log 2>&1 || { cat build/log; exit 1; }

build/configured: setup.py pyproject.toml
	rm -rf build/sdist && mkdir -p build && touch $@

# The stamp bears the time of the start: what is edited meanwhile is built next time.
build/wheel: $(SOURCES) build/configured | $(VENV)/stamps/tools
	@touch build/begun
	rm -rf dist *.egg-info
	$(PY) -m build --no-isolation --sdist --outdir dist . $(LOG)
	@mkdir -p build/sdist
	find build/sdist -type f ! -name '*.c' ! -name '*.o' ! -name '*.so' -delete
	tar -xzf dist/*.tar.gz -C build/sdist --strip-components=1
	$(PY) -m build --no-isolation --wheel --outdir dist build/sdist $(LOG)
	@mv build/begun $@
