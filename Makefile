# `make run` and `make test` set everything up by themselves; each set-up step leaves a stamp and is done once.

SHELL := /bin/bash
STATE ?= .puchify
VENV  := .venv
PY    := $(VENV)/bin/python
ARGS  := $(if $(ONCE),--once) $(if $(HOST),--host $(HOST))

.PHONY: run test bench lint fmt setup clean histories

run: setup
	PUCHIFY_STATE=$(STATE) $(VENV)/bin/puchify up $(ARGS)

test: setup lint
	$(PY) -m pytest

bench: setup
	$(PY) -m tests.bench $(if $(QUICK),--quick) $(if $(HOST),--host $(HOST))

lint: setup
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports

fmt: $(VENV)/.ready
	$(VENV)/bin/ruff check --fix .
	$(VENV)/bin/ruff format .

# Record the stories anew: only after a change that is meant to differ.
histories: setup
	$(PY) -m pytest tests/workflows/record_histories.py

setup: $(VENV)/.ready
	@$(PY) -m infra.temporal.install >/dev/null

# PostgreSQL is Puchify's own, under the state directory: the distribution's cluster is not made.
$(VENV)/.packages: infra/packages.txt
	@missing=$$(sed 's/#.*//' $< | xargs -n1 sh -c 'dpkg -s "$$0" >/dev/null 2>&1 || echo "$$0"'); \
	if [ -n "$$missing" ]; then \
	  echo "Installing $$missing"; \
	  mkdir -p /etc/postgresql-common && [ -e /etc/postgresql-common/createcluster.conf ] || \
	    echo 'create_main_cluster = false' > /etc/postgresql-common/createcluster.conf; \
	  export DEBIAN_FRONTEND=noninteractive; \
	  apt-get update -q && apt-get install -y -q --no-install-recommends $$missing; \
	fi
	@mkdir -p $(VENV) && touch $@

$(VENV)/.ready: requirements.lock pyproject.toml $(VENV)/.packages
	python3 -m venv $(VENV)
	$(VENV)/bin/pip install -q --require-hashes -r requirements.lock
	$(VENV)/bin/pip install -q --no-deps --no-build-isolation -e .
	@touch $@

clean: 
	@[ ! -x $(VENV)/bin/puchify ] || PUCHIFY_STATE=$(STATE) $(VENV)/bin/puchify clean
	rm -rf $(STATE)
