.DEFAULT_GOAL := help
SHELL := /bin/bash
BIN := .venv/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)
export DO_NOT_TRACK := 1
# With it every process would compile Prefect, DVC and the rest anew: uv leaves that to the first.
unexport PYTHONDONTWRITEBYTECODE
# The project's own Prefect: neither the user's profile nor a company's server.
PREFECT = env -u PREFECT_PROFILE PREFECT_HOME=$(CURDIR)/.normscape/server PREFECT_SERVER_ANALYTICS_ENABLED=false \
	PREFECT_API_URL=$${NORMSCAPE_PREFECT_API_URL:-http://127.0.0.1:4200/api} prefect
# Two workers for each of 2 cores: many tests wait for servers.
PARALLEL = -n 4 --dist loadfile --no-loadscope-reorder
LOCK = uv --no-config pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--custom-compile-command 'make lock'

.PHONY: help run test test-fast lint types data repro train score monitor discover monitor-ui \
	server deploy worker services soak lock clean bench-tables bench-peers-env bench-quick \
	bench-ablation bench-calibration bench-discovery bench-drift bench-export bench-features \
	bench-feeds bench-gate bench-monitor bench-novelty bench-peers bench-pipeline bench-refine \
	bench-registry bench-relatives bench-scale bench-speed

help: ## Show what there is
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.venv/.synced: requirements.lock requirements-dev.lock pyproject.toml scripts/bootstrap.sh
	@scripts/bootstrap.sh

run: .venv/.synced ## The whole loop on the demo data, in a scratch clone (about 5 minutes on 2 cores)
	@python -m flows.tour

test: .venv/.synced ## All tests, about 9 minutes on 2 cores
	@pytest -q $(PARALLEL)

test-fast: .venv/.synced ## The fast part, about 1½ minutes on 2 cores
	@pytest -q $(PARALLEL) -m "not slow"

lint: .venv/.synced ## Style and formatting
	@ruff check . && ruff format --check .

types: .venv/.synced ## Static types
	@mypy

data: .venv/.synced ## Fill data/ and feed/ with the demo, compare with data.dvc
	@normscape data demo && dvc commit --quiet --force data.dvc

repro: .venv/.synced ## Reproduce everything up to the evaluation, without Prefect
	@dvc repro

train: .venv/.synced ## Guard, stages, gate, register, promote (ARGS="--help")
	@python -m flows.train $(ARGS)

score: .venv/.synced ## Score new images with the production model (ARGS="--help")
	@python -m flows.score $(ARGS)

monitor: .venv/.synced ## Compare production scores with the reference (ARGS="--help")
	@python -m flows.monitor $(ARGS)

discover: .venv/.synced ## Sort what was flagged into kinds of defects (ARGS="--help")
	@python -m flows.discover $(ARGS)

monitor-ui: .venv/.synced ## The monitoring history in Evidently's UI on loopback
	@evidently ui --workspace .normscape/monitor/workspace --host 127.0.0.1 --port 8010

services: .venv/.synced ## SeaweedFS, a real S3 server, on loopback until Ctrl-C
	@exec python -m scripts.services

server: .venv/.synced ## The Prefect server on loopback; schedules and events need it
	@mkdir -p .normscape/server && $(PREFECT) server start --host 127.0.0.1 --port 4200

deploy: .venv/.synced ## Create the work pools and deploy the flows to the server
	@scripts/deploy.sh

worker: .venv/.synced ## A worker for POOL (cpu or gpu)
	@mkdir -p .normscape/server && $(PREFECT) worker start --pool $(or $(POOL),cpu) --type process

bench-features: .venv/.synced ## Memory of feature extraction for 500 and 5,000 images
	@python -m bench.features

bench-calibration: .venv/.synced ## Realised false-positive rates in simulation
	@python -m bench.calibration

bench-gate: .venv/.synced ## How often the gate refuses an equal model, and a worse one, in simulation
	@python -m bench.gate

bench-drift: .venv/.synced ## False alarms in a plant-year and power of the drift decision (about 15 minutes)
	@python -m bench.drift

bench-feeds: .venv/.synced ## The demo's feed drawn twenty times: right verdicts on the right days (15 minutes)
	@python -m bench.feeds

bench-monitor: .venv/.synced ## Time and memory of a monitor run over ten million rows of the score log
	@python -m bench.monitor

soak: .venv/.synced ## Kill loops and races, ten rounds, and the registry's races 100 times (hours)
	@NORMSCAPE_RACES=100 pytest -q --timeout 7200 tests/unit/registry/test_races.py
	@for round in $$(seq 10); do pytest -q -k "kill or race or writers or two" || exit 1; done

bench-pipeline: .venv/.synced ## Does the pipeline reproduce itself, and run on other data (15 minutes)
	@python -m bench.pipeline

.venv-peers/.synced: bench/peers/requirements.lock scripts/peers.sh
	@scripts/peers.sh

bench-peers-env: .venv/.synced .venv-peers/.synced ## The environment of the benchmark's peers (anomalib)

bench-quick: .venv/.synced ## The detector beside its peers on the demo, a table in under 10 minutes
	@python -m bench.quick

bench-peers: .venv/.synced .venv-peers/.synced ## Accuracy against PatchCore, PaDiM and k-NN on five real categories, three seeds
	@python -m bench.peers_race

bench-speed: .venv/.synced .venv-peers/.synced ## Throughput and memory with 160 categories, beside PatchCore
	@python -m bench.speed

bench-registry: .venv/.synced ## Races and faults of the registry, the score log, throughput, large images (about an hour)
	@python -m bench.registry

bench-export: .venv/.synced ## Throughput of the OpenVINO export with 160 categories, beside the scorer
	@python -m bench.export

bench-scale: .venv/.synced .venv-peers/.synced ## What one model loses from 5 to 160 products (hours the first time)
	@python -m bench.scale

bench-ablation: .venv/.synced ## What every part and parameter is worth on seven categories
	@python -m bench.ablation

bench-novelty: .venv/.synced ## Are unknown products found, and only those: categories left out, groups judged (under 45 minutes)
	@python -m bench.novelty

bench-refine: .venv/.synced ## Are refined maps sharper on real defects, and what do they cost, three seeds
	@python -m bench.refine

bench-relatives: .venv/.synced ## Every detector and option side by side, three seeds (under 90 minutes of new runs)
	@python -m bench.relatives

bench-discovery: .venv/.synced ## Are the kinds of defects found, and new ones noticed (under 60 minutes)
	@python -m bench.discovery

bench-tables: .venv/.synced ## Write bench/README.md from bench/results
	@python -m bench.tables

lock: ## Compile the locks anew, without registry addresses
	@$(LOCK) pyproject.toml --all-extras -o requirements.lock
	@$(LOCK) --group pyproject.toml:dev -c requirements.lock -o requirements-dev.lock
	@$(LOCK) bench/peers/requirements.in -c requirements.lock -o bench/peers/requirements.lock

clean: ## Remove what runs have left: the tour, scores, registry, caches (not .venv, not data/)
	@chmod -R u+w .normscape 2>/dev/null || true  # registered versions are read-only
	@rm -rf .normscape artifacts feed .pytest_cache .mypy_cache .ruff_cache
