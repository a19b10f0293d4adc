# The commands of this project. `make` lists them.

SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

GO ?= go

# What is fetched for tests and lint stays here; internal/testservers looks into the same folder.
CACHE := $(or $(TIDEWATCH_CACHE),$(or $(XDG_CACHE_HOME),$(HOME)/.cache)/tidewatch)

# Too many dependencies for our go.mod: pinned here, built once into the cache.
LINT_VERSION := v2.15.0
LINT := $(CACHE)/golangci-lint-$(LINT_VERSION)/golangci-lint
VULN_VERSION := v1.9.0
VULN := $(CACHE)/govulncheck-$(VULN_VERSION)/govulncheck

FETCH := $(GO) run ./internal/testservers/fetch
SHOW := $(GO) run ./benchmarks/show

PKG ?= ./...
VIEWS ?= home=/ hosts=/hosts security=/security alerts=/alerts pipelines=/pipelines pipeline=/pipelines/authentication
FUZZTIME ?= 20s

.PHONY: help
help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/\1|\2/' | awk -F'|' '{printf "  make %-18s %s\n", $$1, $$2}'

## Use

.PHONY: build
build: ## build bin/tidewatch; the first time that takes a minute or two, and says how far it is
	@GO=$(GO) scripts/build bin/ ./cmd/tidewatch

.PHONY: run
run: build ## start everything on this machine, with a demo: broker, stores, worker, API
	bin/tidewatch up

.PHONY: page
page: ## build the web page from web/ into serve/page/dist, checked and tested; needs Node 20 or newer
	cd web && npm ci --no-audit --no-fund && npm run check && npm test && npm run build

.PHONY: page-dev
page-dev: ## the page with live reload, against a running `tidewatch up`: TIDEWATCH_API=http://127.0.0.1:8080
	cd web && npm ci --no-audit --no-fund && npm run dev

.PHONY: pictures
pictures: ## pictures of the page of a running `tidewatch up` into docs/images: SERVER=http://127.0.0.1:8080
	mkdir -p docs/images
	$(GO) run ./internal/chromium/pictures -server $(or $(SERVER),http://127.0.0.1:8080) -out docs/images $(VIEWS)

.PHONY: clean
clean: ## remove what was built here; the cache and the data folder stay
	rm -rf bin
	find . -name '*.test' -o -name '*.prof' -o -name cpu.out | xargs -r rm -f

## Test

.PHONY: test
test: tools ## all tests, against real servers; gets what they need first
	$(GO) test -timeout 20m $(PKG)

.PHONY: check
check: lint ## before each commit, under two minutes: format, vet, lint, imports, tests without servers
	$(GO) test -short -timeout 2m ./...

.PHONY: lint
lint: $(LINT) ## go vet and golangci-lint, formatting included
	$(GO) vet ./...
	$(LINT) run ./...

.PHONY: format
format: $(LINT) ## format the code
	$(LINT) fmt ./...

.PHONY: race
race: tools ## tests under the race detector; PKG=./engine/... for a part
	$(GO) test -race -timeout 40m $(PKG)

.PHONY: race-short
race-short: ## the same for the parts where goroutines meet, without servers
	$(GO) test -race -short -timeout 10m ./stream/... ./engine/... ./alerts/... ./operators/... ./pipelines/... ./serve/... ./sources/... ./sinks/...

.PHONY: fuzz
fuzz: ## run every fuzz target for FUZZTIME=20s; PKG=./schemas for a part
	scripts/fuzz "$(FUZZTIME)" $(PKG)

.PHONY: model
model: ## explore the model of the commit protocol in full, with every misreading that it must catch
	$(GO) run ./docs/design/model -all

HISTORIES ?= 100000

.PHONY: metamorphic
metamorphic: ## random histories of everything that may happen to workers, against a calm run: HISTORIES=; go on after SEED=
	$(GO) test ./engine -run 'TestMetamorphic$$' -v -timeout 12h -histories $(HISTORIES) -seed $(SEED)

.PHONY: metamorphic-mutants
metamorphic-mutants: ## plant bugs in the engine, and see each caught by random histories or the shipped pipelines: HISTORIES= RESULTS=
	$(GO) run ./benchmarks/mutants -histories $(HISTORIES) -seed $(SEED) $(if $(RESULTS),-results $(RESULTS))

.PHONY: golden
golden: ## write the present output into golden files; read the difference before you commit it
	$(GO) test $$($(GO) list -f '{{.ImportPath}} {{join .TestImports " "}} {{join .XTestImports " "}}' ./... | grep ' .*internal/golden' | cut -d' ' -f1) -rewrite

.PHONY: vuln
vuln: $(VULN) ## known vulnerabilities in what we use; needs the public database
	$(VULN) ./...

.PHONY: tools
tools: ## get what the tests need into the cache: Kafka, Redis, PostgreSQL, S3, Python
	@$(FETCH)

## Measure and show

.PHONY: bench
bench: build tools ## Go benchmarks; W=W2 for one workload on real servers
ifdef W
	$(SHOW) bench -w $(W)
else
	$(GO) test -run '^$$' -bench . -benchmem $(PKG)
endif

.PHONY: bench-guard
bench-guard: tools ## does a commit cost more than another? both drain a topic in turn: BASE=rev HEAD=rev W=W2 RUNS=5 EVENTS= RESULTS= THRESHOLD=5
	@$(GO) run ./benchmarks/guard -base "$(BASE)" -head "$(HEAD)" -w $(or $(W),W2) -events $(EVENTS) \
		-runs $(if $(filter command line environment,$(origin RUNS)),$(RUNS),5) $(if $(RESULTS),-results $(RESULTS)) $(if $(THRESHOLD),-threshold $(THRESHOLD))

.PHONY: bench-curves
bench-curves: build tools ## what a worker costs by partitions, keys, open windows, cores, pipelines, with pictures: CURVE=keys,cores EVENTS=10000000 RUNS=3 RESULTS=
	@$(GO) run ./benchmarks/curves $(if $(CURVE),-curve $(CURVE)) $(if $(filter command line environment,$(origin EVENTS)),-events $(EVENTS)) \
		$(if $(filter command line environment,$(origin RUNS)),-runs $(RUNS)) $(if $(RESULTS),-results $(RESULTS))

ENGINES ?= flink,flink-rocksdb,kstreams,bytewax,tidewatch

.PHONY: bench-peers
bench-peers: build tools ## the same work for Flink, Kafka Streams, Bytewax and ours: W=W2 EVENTS=10000000 ENGINES= RUNS=; LATENCY=1 at RATE=
	@$(GO) run ./benchmarks/peers -w $(or $(W),W2) -engines $(ENGINES) -runs $(RUNS) $(if $(RESULTS),-results $(RESULTS)) \
		$(if $(LATENCY),-rate $(RATE),-events $(if $(filter command line environment,$(origin EVENTS)),$(EVENTS),10000000))

EVENTS ?= 2000000
WORKERS ?= 3
KILL_EVERY ?= 5s
SEED ?= 7

.PHONY: show-exact
show-exact: build tools ## kill workers all the time, compare with SQL: EVENTS= WORKERS= KILL_EVERY= SEED=
	@$(SHOW) exact -events $(EVENTS) -workers $(WORKERS) -kill-every $(KILL_EVERY) -seed $(SEED)

RUNS ?= 1

CRASH := $(GO) run ./benchmarks/crash
# What both take: results are added to those in the log beside RESULTS, or in LOG.
CRASH_FLAGS = -seed $(SEED) $(if $(SCENARIO),-scenario $(SCENARIO)) $(if $(RESULTS),-results $(RESULTS)) $(if $(LOG),-log $(LOG))

.PHONY: crash
crash: tools ## kill, pause and cut off real workers, compare with an oracle: SEED= RUNS= SCENARIO=, or MINUTES= SHARE=kills; SHORT=1 takes five minutes
	$(GO) build -tags faults -o bin/tidewatch-faults ./cmd/tidewatch
	@$(CRASH) $(CRASH_FLAGS) $(if $(SHORT),-short) $(if $(filter command line environment,$(origin MINUTES)),-minutes $(MINUTES),-runs $(RUNS)) $(if $(SHARE),-share $(SHARE))

.PHONY: crash-mutants
crash-mutants: tools ## plant bugs in a copy of the tree, and see each caught by its scenario of make crash: SCENARIO= MUTANT= MISSING=1 RESULTS=
	$(GO) build -tags faults -o bin/tidewatch-faults ./cmd/tidewatch
	@$(CRASH) -mutants $(CRASH_FLAGS) $(if $(MUTANT),-mutant "$(MUTANT)") $(if $(MISSING),-missing)

.PHONY: show-restart
show-restart: build tools ## a killed worker reads again only what came since its snapshot
	@$(SHOW) restart

SINK ?= redis
HOW ?= kill
AWAY ?= $(if $(filter command line environment,$(origin MINUTES)),$(MINUTES),10)

.PHONY: show-outage
show-outage: build tools ## a server goes away and comes back: memory, catch-up, nothing lost: SINK=redis|postgres|objects|kafka MINUTES=10 HOW=kill|pause
	@$(SHOW) outage -sink $(SINK) -how $(HOW) -minutes $(AWAY)

RATE ?= 50000
EPOCH ?= 200ms

.PHONY: show-burst
show-burst: build tools ## ten times the normal rate for a minute: memory, lag, catch-up, nothing lost
	@$(SHOW) burst

.PHONY: show-alert-latency
show-alert-latency: build tools ## from the end of a window to the alert in Postgres, at a fixed rate, and no alert but those: RATE= EPOCH=
	@$(SHOW) alert-latency -rate $(RATE) -epoch $(EPOCH)

.PHONY: show-recovery
show-recovery: build tools ## kill -9 to lag zero with many live groups, with and without copies of snapshots: GROUPS= LIMIT=
	@$(SHOW) recovery -groups $(or $(GROUPS),1000000) -limit $(or $(LIMIT),0)

.PHONY: show-cloudtrail
show-cloudtrail: build tools ## real CloudTrail records, live and by replay: equal answers
	@$(SHOW) cloudtrail

.PHONY: show-replay
show-replay: build ## every shipped pipeline says by replay of the archive what it said live, under two minutes
	@$(SHOW) replay

.PHONY: show-foreign
show-foreign: build tools ## a producer that is not ours: equal answers
	@$(SHOW) foreign

.PHONY: show-detect
show-detect: build ## the shipped rules on simulated lives and real CloudTrail: what they find, how often they cry wolf
	@$(SHOW) detect

.PHONY: show-up
show-up: build tools ## the single-node mode survives kill -9
	@$(SHOW) up

.PHONY: show-first-data
show-first-data: build ## how soon after its start the single-node mode has something to look at
	@$(SHOW) first-data

.PHONY: show-first-minutes
show-first-minutes: build ## the tutorial as a newcomer goes through it, page and terminal; PICTURES=docs/images takes pictures
	@$(SHOW) first-minutes $(if $(PICTURES),-pictures $(PICTURES))

MINUTES ?= 60

.PHONY: show-up-hour
show-up-hour: build ## the single-node mode stays small for an hour, MINUTES= for less
	@$(SHOW) uphour -minutes $(MINUTES)

VIEWERS ?= 200
QUERIES ?= 20

.PHONY: show-viewers
show-viewers: build ## many pages before one server: CPU, memory, age of updates; VIEWERS= QUERIES=
	@$(SHOW) viewers -viewers $(VIEWERS) -queries $(QUERIES) -each $(QUERIES)

.PHONY: show-fleet
show-fleet: tools ## what a fleet costs beside the events: assignment, claims, requests to the object store, marks; WORKERS=1000 PARTITIONS=10000
	@$(GO) run ./benchmarks/fleet $(if $(filter command line environment,$(origin WORKERS)),-workers $(WORKERS)) $(if $(PARTITIONS),-partitions $(PARTITIONS))

# Built in a folder beside, and moved when complete: an interrupted build leaves nothing half done.
$(LINT):
	@echo "building golangci-lint $(LINT_VERSION), once: about four minutes" >&2
	@mkdir -p "$(CACHE)" && part=$$(mktemp -d "$(CACHE)/.part-XXXXXX") && cd "$$part" && \
		GOBIN="$$part" GOFLAGS= $(GO) install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(LINT_VERSION) && \
		mkdir -p "$(dir $(LINT))" && mv golangci-lint "$(LINT)" && rmdir "$$part"

$(VULN):
	@mkdir -p "$(CACHE)" && part=$$(mktemp -d "$(CACHE)/.part-XXXXXX") && cd "$$part" && \
		GOBIN="$$part" GOFLAGS= $(GO) install golang.org/x/vuln/cmd/govulncheck@$(VULN_VERSION) && \
		mkdir -p "$(dir $(VULN))" && mv govulncheck "$(VULN)" && rmdir "$$part"
