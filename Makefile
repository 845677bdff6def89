# Everything a developer or an operator of one machine needs. `make help` lists it.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help run test attack torture drain drills slow-clients mutations clock bench mutants openapi check fmt stop clean-local

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1|\2/p' $(MAKEFILE_LIST) | column -t -s '|' 2>/dev/null || sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1  \2/p' $(MAKEFILE_LIST)

run: ## build, start everything, load the sample clinic once, serve until Ctrl-C
	@scripts/run.sh

test: ## every test, against databases of its own (ARGS="-p domain" narrows it)
	@scripts/test.sh $(ARGS)

torture: ## 100,000 commands under kill -9, Postgres restarts, a full disk and failpoints, by one process and by two (ARGS="COMMANDS SEED")
	@scripts/torture.sh $(ARGS)

drain: ## one worker before 1,000 queued scans: time, memory, nothing twice (ARGS=SCANS)
	@scripts/drain.sh $(ARGS)

attack: ## everything that an attacker with every right on every store, and no key, can do to a live clinic (ARGS=SEED)
	@scripts/attack.sh $(ARGS)

mutations: ## exports of 300, 2,500 and 70,000 events damaged in more than 2,000 ways; both verifiers must name the place (ARGS=SEED)
	@scripts/mutations.sh $(ARGS)

slow-clients: ## 600 slow bodies, 2,000 half heads and 60 held captures at once, while a clinician reads (ARGS="BODIES HEADS CAPTURES")
	@scripts/slow_clients.sh $(ARGS)

clock: ## servers a quarter of an hour, a day and a year ahead and behind, beside a right one under load (ARGS="+15m -1d")
	@scripts/clock.sh $(if $(ARGS),"$(ARGS)")

drills: ## ten rotations of the key-encryption key under load, as documented; then every record is read (ARGS=ROTATIONS)
	@scripts/drills.sh $(ARGS)

openapi: ## the API document by a linter, then 5,000 requests made of it, good ones and bad ones (ARGS="CALLS [SEED]")
	@scripts/openapi.sh $(ARGS)

bench: ## the append path beside stock postgres-es and bare inserts; writes target/bench/summary.json
	@scripts/bench.sh $(ARGS)

mutants: ## change domain and audit in one place at a time: does a test notice? (ARGS="domain 0/12")
	@scripts/mutants.sh $(ARGS)

check: ## formatting, lints, documentation, licences and sources of dependencies
	@scripts/check.sh

fmt: ## format the sources
	@cargo fmt --all

stop: ## stop the private databases, keeping their data
	@scripts/services.sh stop

clean-local: ## stop the private databases and delete all local state: data, keys, captures, logs
	@scripts/clean.sh
