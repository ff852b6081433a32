# The two commands of a newcomer are `make run` and `make test`. `make help` lists all.
PYTHON ?= python3
VENV   ?= .venv
DATA   ?= data
BIN    := $(VENV)/bin
SUDO   := $(shell [ "$$(id -u)" = 0 ] || echo sudo)
APT    := $(SUDO) env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300

.PHONY: help run test system-test check deb services torture soak scale bench bench-peers broker-certs prove-forgetting fuzz format evaluate year train demo clean
.DEFAULT_GOAL := help

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18

run: $(VENV)/.demo ## the demo, or your own unit: make run CONFIG=unit.yaml
	@$(BIN)/edge-anpr run $(if $(CONFIG),-c '$(CONFIG)',--demo)

test: $(VENV)/.dev services ## all tests; installs from Debian what they need: mosquitto, PostgreSQL, strace, faketime, GStreamer, systemd
	@$(BIN)/pytest $(ARGS)

# Of PostgreSQL the programs only: the tests start servers of their own, so Debian is asked to make and start none.
PACKAGES := systemd python3-systemd python3-gi python3-gst-1.0 gir1.2-gstreamer-1.0 gir1.2-gst-plugins-base-1.0 \
	gstreamer1.0-plugins-base gstreamer1.0-plugins-good lintian man-db shellcheck
NO_CLUSTER := /etc/postgresql-common/createcluster.d
services:
	@need=; PATH="$$PATH:/usr/sbin"; \
	for one in mosquitto strace faketime; do command -v $$one >/dev/null || need="$$need $$one"; done; \
	ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || need="$$need postgresql"; \
	dpkg -s $(PACKAGES) >/dev/null 2>&1 || need="$$need $(PACKAGES)"; \
	[ -z "$$need" ] || { echo "installing$$need"; $(SUDO) mkdir -p $(NO_CLUSTER); \
	  echo 'create_main_cluster = false' | $(SUDO) tee $(NO_CLUSTER)/edge-anpr.conf >/dev/null; \
	  $(APT) update -qq && $(APT) install -y -qq --no-install-recommends $$need; done=$$?; \
	  $(SUDO) rm -f $(NO_CLUSTER)/edge-anpr.conf; $(SUDO) rmdir --ignore-fail-on-non-empty $(NO_CLUSTER); exit $$done; }

# Roots are kept in ~/.cache/edge-anpr/roots; the test of arm64 runs it emulated.
SYSTEM := mmdebstrap arch-test systemd-container qemu-user-static binfmt-support qemu-system-x86 qemu-utils mtools dosfstools \
	mosquitto openssh-client python3-gi gir1.2-gst-rtsp-server-1.0 gstreamer1.0-plugins-good
system-test: $(VENV)/.dev ## boot the package in containers, and a card in a machine (root; 25 minutes; the first time an hour more, to make their Debian)
	@dpkg -s $(SYSTEM) >/dev/null 2>&1 || { $(APT) update -qq && $(APT) install -y -qq --no-install-recommends $(SYSTEM); }
	@export EDGE_ANPR_ROOTS="$${EDGE_ANPR_ROOTS:-$$HOME/.cache/edge-anpr/roots}"; \
	$(SUDO) env EDGE_ANPR_ROOTS="$$EDGE_ANPR_ROOTS" $(BIN)/python -m tests.system.root && \
	$(SUDO) env EDGE_ANPR_ROOTS="$$EDGE_ANPR_ROOTS" $(BIN)/pytest -m system tests/system tests/soak --durations=0 $(ARGS); \
	done=$$?; cat build/system-test.json 2>/dev/null; exit $$done

check: $(VENV)/.dev ## format, lint with the import rule, strict types
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/lint-imports
	@$(BIN)/mypy

deb: $(VENV)/.dev ## the Debian package, for Debian 13 and Raspberry Pi OS on it: dist/edge-anpr_VERSION_all.deb
	@$(BIN)/python deploy/deb/build.py

torture: $(VENV)/.dev services ## kill, cut and corrupt everything between unit and records, and count (25 minutes): ARGS="--seed N"
	@$(BIN)/python -m tests.torture $(ARGS)

scale: $(VENV)/.dev services ## hundreds of units against the shipped broker and one centre: make scale ARGS="--units 500 --storm"
	@$(BIN)/python -m tests.torture.scale $(ARGS)

soak: $(VENV)/.dev $(VENV)/.evaluate services ## a day's frames through a real unit: does anything grow? (root; half an hour to two): ARGS="--frames N"
	@$(SUDO) env PYTHONPATH=.:models/training $(BIN)/python -m tests.soak $(ARGS)

bench: $(VENV)/.evaluate ## what a look costs on several roads, beside the last run kept (2 minutes): ARGS=--keep, CLIPS=folder
	@PYTHONPATH=.:models/training $(BIN)/python -m tests.bench $(if $(CLIPS),--clips '$(CLIPS)') $(ARGS)

bench-peers: $(VENV)/.evaluate ## processor time and right plates beside RapidOCR in one run (3 minutes); writes docs/speed/peers.md
	@PYTHONPATH=.:models/training $(BIN)/python -m tests.bench.peers $(ARGS)

broker-certs: $(VENV)/.dev ## an authority and a broker's certificate: make broker-certs NAME=mqtt.example.org (see docs/broker.md)
	@$(BIN)/edge-anpr provision ca authority
	@$(BIN)/edge-anpr provision broker authority --name $(NAME)

fuzz: $(VENV)/.dev ## throw broken input at every parser for a while: make fuzz MINUTES=10
	@$(BIN)/python -m tests.fuzz.parsers $(or $(MINUTES),10)

format: $(VENV)/.dev ## let ruff put the code into shape
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix-only .

prove-forgetting: $(VENV)/.dev services ## look for every form of 100 plates in a real unit (root, ten minutes); writes forgetting.md
	@$(SUDO) env PYTHONPATH=.:models/training $(BIN)/python -m tests.privacy.prove $(ARGS)

evaluate: $(VENV)/.evaluate ## measure the models on labelled material: make evaluate DATA=folder (ARGS="--only clips")
	@$(BIN)/python models/training/evaluate.py '$(DATA)' --out models/training/runs/evaluation $(ARGS)

year: $(VENV)/.dev ## a year of passages in simulation: false hits of a list against those expected (ARGS="--entries 60000")
	@$(BIN)/python models/training/year.py $(ARGS)

# The detector comes first: it shows the labeller where the real plates are that the OCR learns from.
train: $(VENV)/.train ## train both models, or go on with a run (four hours on one core): make train DATA=folder
	models/training/fonts.sh
	cd models/training && ../../$(BIN)/python detector_train.py --data '$(abspath $(DATA))' $(ARGS)
	cd models/training && ../../$(BIN)/python detector_export.py --data '$(abspath $(DATA))' --checkpoint runs/detector/checkpoint.safetensors
	cd models/training && ../../$(BIN)/python labeller.py --data '$(abspath $(DATA))'
	cd models/training && ../../$(BIN)/python ocr_train.py --data '$(abspath $(DATA))' $(ARGS)
	cd models/training && ../../$(BIN)/python ocr_export.py runs/ocr/checkpoint.safetensors
	cd models/training && ../../$(BIN)/python confusion.py

demo: $(VENV)/.dev ## make the demo's clip anew: make demo DATA=folder
	@$(BIN)/python models/training/demo_clip.py --data $(DATA) --out edge_anpr/demo/clip.mp4 --strip docs/demo.jpg

clean: ## remove the venv and what tools left behind
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache

# Debian splits venv off; ask for it by name instead of failing halfway.
$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "edge-anpr needs Python 3.11 or newer; set PYTHON=" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || { echo "installing python3-venv"; $(APT) update -qq && $(APT) install -y -qq python3-venv; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.demo: pyproject.toml | $(BIN)/python
	$(BIN)/pip install --progress-bar on --quiet -e '.[demo]'
	@touch $@

$(VENV)/.dev: pyproject.toml | $(BIN)/python
	$(BIN)/pip install --quiet -e '.[dev]'
	@touch $@ $(VENV)/.demo

$(VENV)/.evaluate: pyproject.toml | $(BIN)/python
	$(BIN)/pip install --quiet -e '.[dev,evaluate]'
	@touch $@ $(VENV)/.dev $(VENV)/.demo

$(VENV)/.train: pyproject.toml | $(BIN)/python
	$(BIN)/pip install --quiet -e '.[dev,evaluate,train]'
	@touch $@ $(VENV)/.dev $(VENV)/.evaluate
