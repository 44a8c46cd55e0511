# The workflow, one line a task. Everything works on a fresh machine with nothing but Python 3.11 or newer.
SHELL := /bin/bash
PYTHON ?= python3
BIN := .venv/bin

.PHONY: run talk test check bench chaos lock world clean

run: .venv/playground       ## set up, then serve everything on 127.0.0.1:8000
	@$(BIN)/python -m bot serve

talk: .venv/playground      ## the same conversation in this terminal
	@$(BIN)/python -m bot talk

test: .venv/test            ## all rings whose parts are installed
	@$(BIN)/python -m pytest -n auto --dist loadfile $(PYTEST)

check: .venv/test           ## lint, format, types
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy

bench: .venv/test           ## ours against a floor, in the same run
	@$(BIN)/python -m tests.bench

chaos: .venv/test           ## kill -9 at random, then an audit of what was lost, doubled, out of order
	@$(BIN)/python -m tests.chaos $(CHAOS)

world: .venv/test           ## what the fourth ring needs: the system's packages (Debian), an emulator of Slack, an OpenID provider
	apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -y -q postfix dovecot-imapd dovecot-lmtpd dnsmasq chromium curl swaks systemd
	$(BIN)/python -m tests.node

lock:                       ## newest stable releases, pinned with hashes
	@deploy/lock

.venv/%: deploy/requirements-%.lock deploy/setup
	@PYTHON=$(PYTHON) deploy/setup $*

clean:
	rm -rf .venv var
