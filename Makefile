# `make run` and `make test` set everything up by themselves; each set-up step leaves a stamp and is done once.

SHELL := /bin/bash
STATE ?= .puchify
VENV  := .venv
CLIENTS := .venv-clients
PY    := $(VENV)/bin/python
ARGS  := $(if $(ONCE),--once) $(if $(HOST),--host $(HOST))

.PHONY: run test duplicates faults soak fuzz fuzz-images bench bench-placement lab-setup lab-test lint fmt setup clean
.PHONY: histories

run: setup
	PUCHIFY_STATE=$(STATE) $(VENV)/bin/puchify up $(ARGS)

test: setup lint $(CLIENTS)/.ready $(VENV)/.lab
	$(PY) -m pytest --numprocesses 2

# A thousand creates through a network that loses and repeats; `make test` orders fewer. SEED draws other faults.
duplicates: setup
	CREATES=1000 $(PY) -m pytest -s tests/e2e/test_duplicates.py

# Each step struck by each fault, and runs with faults drawn at random; `make test` does a part. ONLY="create_disk:late",
# SEED=7 draws others, RUNS=2000 draws more. Guests have less time than elsewhere, so that deadlines are near.
faults: setup
	PUCHIFY_GUEST_PATIENCE=60 FAULTS_ALL=1 FAULTS_ONLY="$(ONLY)" FAULTS_SEED=$(SEED) FAULTS_RUNS=$(RUNS) \
	  $(PY) -m pytest -q tests/faults tests/host/test_faults.py tests/imports/test_faults.py

bench: setup
	$(PY) -m tests.bench $(if $(QUICK),--quick) $(if $(HOST),--host $(HOST)) $(if $(STORE),--store $(STORE))

# How evenly, how far apart and how full a region is filled, beside random, first fit and Nova's way.
bench-placement: setup
	$(PY) -m tests.bench.placement $(if $(QUICK),--quick)

# One restart storm after the other: kill -9 of every process in turn, PostgreSQL too, while fifty clients are at work.
soak: setup
	MINUTES=$(or $(MINUTES),10) SEED=$(SEED) $(PY) -m pytest -q tests/e2e/soak.py

# Requests made out of the OpenAPI document, valid and not, in chains; `make test` takes a minute of them.
fuzz: fuzz-images $(CLIENTS)/.ready
	MINUTES=$(or $(MINUTES),15) $(PY) -m pytest -s tests/clients/test_openapi.py

# Images that nobody thought of, drawn by what they reach in the inspector; `make test` takes some seconds of them.
fuzz-images: setup
	MINUTES=$(or $(MINUTES),15) $(PY) -m pytest -s tests/images/test_fuzz.py

lab-setup: setup $(VENV)/.lab

# Every zone killed and every link cut in turn, on both engines, while images are stored and servers made, and all that a
# region may lose; `make test` does one of each. ONLY="glusterfs" takes one engine, ONLY="zone" what is about zones.
lab-test: lab-setup
	LAB_ALL=1 $(PY) -m pytest -s tests/lab tests/region $(if $(ONLY),-k $(ONLY))

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
	@set -o pipefail; $(PY) -m infra.temporal.install | sed -u '/^\//d'  # its progress, without where things are

# Puchify starts its daemons itself, where and when they are wanted. Those that come with packages run neither now nor
# after the next boot, unless they were there before. $(1): their units; $$missing: the packages.
POLICY := /usr/sbin/policy-rc.d
DAEMONS := pdns.service haproxy.service
define install
for unit in $(1); do [ -e /lib/systemd/system/$$unit ] || new="$$new $$unit"; done; \
	  [ -e $(POLICY) ] || { trap 'rm -f $(POLICY)' EXIT; printf '#!/bin/sh\nexit 101\n' >$(POLICY); chmod 755 $(POLICY); }; \
	  export DEBIAN_FRONTEND=noninteractive; \
	  apt-get update -q && apt-get install -y -q --no-install-recommends $$missing || exit 1; \
	  [ -z "$$new" ] || systemctl --quiet disable $$new 2>/dev/null || true;
endef

# PostgreSQL is Puchify's own, under the state directory: the distribution shall not make a cluster of its own while the
# package is installed. Then its own configuration is put where ucf left it, so that nothing of ours stays behind.
CLUSTERS := /etc/postgresql-common/createcluster.conf
# Whether a package is there: one that was removed is known to dpkg as well.
INSTALLED := [ "$$(dpkg-query -Wf "\$${db:Status-Status}" "$$0" 2>/dev/null)" = installed ]
$(VENV)/.packages: infra/packages.txt
	@missing=$$(sed -e '/^# Lab:/,$$d' -e 's/#.*//' $< | xargs -n1 sh -c '$(INSTALLED) || echo "$$0"'); \
	if [ -n "$$missing" ]; then \
	  echo "Installing" $$missing; \
	  [ "$$(id -u)" = 0 ] || { echo "make setup installs packages: run it as root once" >&2; exit 1; }; \
	  [ -e $(CLUSTERS) ] || { mkdir -p $(dir $(CLUSTERS)); echo 'create_main_cluster = false' >$(CLUSTERS); }; \
	  $(call install,$(DAEMONS)) \
	  [ ! -e $(CLUSTERS).ucf-dist ] || mv $(CLUSTERS).ucf-dist $(CLUSTERS); \
	fi
	@mkdir -p $(VENV) && touch $@

# What the lab's zones are made of: apart, since a run needs none of it.
UNITS := ceph-crash.service frr.service smartmontools.service uuidd.service uuidd.socket
$(VENV)/.lab: infra/packages.txt $(VENV)/.packages
	@missing=$$(sed -n '/^# Lab:/,$$p' $< | sed 's/#.*//' | xargs -n1 sh -c '$(INSTALLED) || echo "$$0"'); \
	if [ -n "$$missing" ]; then \
	  echo "Installing" $$missing; \
	  [ "$$(id -u)" = 0 ] || { echo "make lab-setup installs packages: run it as root once" >&2; exit 1; }; \
	  $(call install,$(UNITS)) \
	fi
	@touch $@

$(VENV)/.ready: requirements.lock pyproject.toml $(VENV)/.packages
	python3 -m venv $(VENV)
	$(VENV)/bin/pip install -q --require-hashes -r requirements.lock
	$(VENV)/bin/pip install -q --no-deps --no-build-isolation -e .
	@touch $@

# Clients that others wrote, against which the tests hold the wire: apart, since a run needs none of them.
$(CLIENTS)/.ready: tests/clients/requirements.lock $(VENV)/.packages
	python3 -m venv $(CLIENTS)
	$(CLIENTS)/bin/pip install -q --require-hashes -r $<
	@touch $@

clean: 
	@[ ! -x $(VENV)/bin/puchify ] || PUCHIFY_STATE=$(STATE) $(VENV)/bin/puchify clean
	rm -rf $(STATE)
