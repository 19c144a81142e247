# Verbs: setup demo test check fmt bench docs pictures assets. Shell logic lives in deploy/parts.sh.

SHELL := /bin/bash
MAKEFLAGS += --no-print-directory
# Debian keeps mosquitto in /usr/sbin, which is not on everyone's PATH.
export PATH := $(PATH):/usr/sbin:/sbin

BIN := .venv/bin
VENV := .venv/.installed
VENDOR := gateway/web/static/vendor/.fetched

.DEFAULT_GOAL := help
.PHONY: help setup demo test check fmt bench docs pictures assets

help: ## list the verbs
	@grep -E '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /  make \1\t/' | expand -t 16

setup: $(VENV) $(VENDOR) ## make .venv with weizhan in it and fetch the pages' scripts; a second call does nothing
	@:

$(VENV): pyproject.toml constraints.txt
	@deploy/parts.sh venv
	@touch $@

$(VENDOR): deploy/fetch_assets.py deploy/assets.json | $(VENV)
	@echo "assets: fetching the pages' scripts"
	@$(BIN)/python deploy/fetch_assets.py
	@mkdir -p $(@D) && touch $@

assets: $(VENV) ## fetch the pages' scripts again
	@rm -f $(VENDOR)
	@$(MAKE) $(VENDOR)

demo: setup ## run a whole simulated station on this machine
	@$(BIN)/weizhan demo $(ARGS)

test: setup ## install or name the real parts, then check, then every test
	@deploy/parts.sh install
	@$(MAKE) check
	@deploy/parts.sh tests $(ARGS)

check: $(VENV) ## format, lint, types, directions of import
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

fmt: $(VENV) ## format the code
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

bench: setup ## measure durable readings per second and memory
	@$(BIN)/python -m bench ingest --json $(ARGS)

docs: $(VENV) ## generate docs/configuration.md, profiles.md, rules.md, openapi.json and deploy/weizhan.yaml
	@$(BIN)/python docs/generate.py

pictures: setup ## take the pictures of docs/design.md with Chromium
	@$(BIN)/python docs/pictures.py
