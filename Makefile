# make study   the whole study, by DVC            make test    the tests
# make lab     explore, in JupyterLab            make bench   ratios, measured side by side
# make course  the course as pages, and students' notebooks
# make app     a page that restores photographs  make lint    ruff, notebooks without outputs
# make clean   what a demo run made
PROFILE ?= demo
PYTHON ?= python3
VENV ?= .venv

# An active conda environment is used as it is; otherwise a virtual environment is made, once.
ifneq ($(and $(CONDA_PREFIX),$(filter-out base,$(CONDA_DEFAULT_ENV))),)
ENVIRONMENT := $(CONDA_PREFIX)
else
ENVIRONMENT := $(VENV)
endif
BIN := $(ENVIRONMENT)/bin
INSTALLED := $(ENVIRONMENT)/.reblur-$(shell cat pyproject.toml constraints.txt | cksum | cut -d' ' -f1)
export PATH := $(abspath $(BIN)):$(PATH)

.PHONY: reproduce study test lab app course bench lint verify environment clean
.DEFAULT_GOAL := study

environment: $(INSTALLED)

$(INSTALLED):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Reblur needs Python >= 3.11: run 'make PYTHON=/path/to/python3.11', or use environment.yml."; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(ENVIRONMENT)
	@echo "Installing into $(ENVIRONMENT): about 7 GB, some minutes, only this once."
	@$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[test]' || \
	  { echo "The installation failed; what pip said stands above. Free 8 GB of disk, check the network, and run the same command again: it goes on where it stopped."; exit 1; }
	@rm -f $(ENVIRONMENT)/.reblur-*
	@touch $@

study: $(INSTALLED)
	@$(BIN)/reblur study --profile $(PROFILE) $(if $(JOBS),--jobs $(JOBS))

test: $(INSTALLED)
	@$(BIN)/python -m pytest -n 2 --dist worksteal -q -m "not benchmark" $(TESTS)

bench: $(INSTALLED)
	@$(BIN)/python tests/benchmarks/run.py

lab: $(INSTALLED)
	@$(BIN)/jupyter lab --ServerApp.root_dir="$(CURDIR)" --LabApp.default_url=/lab/tree/notebooks/explore.ipynb

course: $(INSTALLED)
	@$(BIN)/python -m reblur.course notebooks/teach results/course

app: $(INSTALLED)
	@$(BIN)/reblur app $(if $(WEIGHTS),--weights $(WEIGHTS)) $(if $(PORT),--port $(PORT))

lint: $(INSTALLED)
	@$(BIN)/ruff check . && $(BIN)/ruff format --check .
	@$(BIN)/nbstripout --verify notebooks/*.ipynb notebooks/teach/*.ipynb

# make reproduce RUN=scale_recurrent-ss_skip-0 [PROFILE=cpu] [UPDATES=100]
reproduce: $(INSTALLED)
	@$(BIN)/reblur reproduce $(RUN) --profile $(if $(filter demo,$(PROFILE)),cpu,$(PROFILE)) $(if $(UPDATES),--updates $(UPDATES))

verify: $(INSTALLED)
	@$(BIN)/reblur verify $(PROFILE)

clean:
	rm -rf results/demo scratch .pytest_cache .ruff_cache .hypothesis
