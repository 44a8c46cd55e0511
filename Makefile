# The workflow, one line a task. Everything works on a fresh machine with nothing but Python 3.11 or newer.
SHELL := /bin/bash
PYTHON ?= python3
BIN := .venv/bin
TESTS := $(BIN)/python -m pytest -n auto --dist loadfile --no-loadscope-reorder

# What is started anew, by a test above all, need not be compiled anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: run talk test rings check bench bench-large chaos fuzz sbom lock world clean

run: .venv/playground       ## set up, then serve everything on 127.0.0.1:8000
	@$(BIN)/python -m bot serve

talk: .venv/playground      ## the same conversation in this terminal
	@$(BIN)/python -m bot talk

test: .venv/test            ## all rings whose parts are installed
	@$(TESTS) $(PYTEST)

rings: .venv/test           ## what is near: all but whole installations and the world around them (rings 1 to 3, and 5)
	@$(TESTS) -m "not world and not processes" $(PYTEST)

check: .venv/test           ## lint, format, types
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy

bench: .venv/test           ## ours against a floor, in the same run
	@$(BIN)/python -m tests.bench

bench-large: .venv/test     ## what a million conversations cost: ten minutes and more, some 15 GB in the temporary directory
	@$(BIN)/python -m tests.bench --large --file var/bench-large.json

chaos: .venv/test           ## kill -9 at random, then an audit of what was lost, doubled, out of order
	@$(BIN)/python -m tests.chaos $(CHAOS)

fuzz: .venv/test            ## hostile input at every door, FUZZ_SECONDS long (60); prints its seeds
	@$(BIN)/python -m tests.fuzz

sbom: .venv/test            ## the parts of an installation, as CycloneDX JSON in var/sbom.json
	@mkdir -p var && $(BIN)/python -m tests.sbom > var/sbom.json

world: .venv/test           ## what the fourth ring needs: the system's packages (Debian), an emulator of Slack, an OpenID provider
	apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -y -q postfix dovecot-imapd dovecot-lmtpd dnsmasq chromium curl swaks rabbitmq-server systemd caddy
	$(BIN)/python -m tests.node

lock:                       ## newest stable releases, pinned with hashes
	@deploy/lock

.venv/%: deploy/requirements-%.lock deploy/setup
	@PYTHON=$(PYTHON) deploy/setup $*

clean:
	rm -rf .venv var
