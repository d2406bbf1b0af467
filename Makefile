# Commands for developers and CI. The scripts in deploy/ do the work.

SHELL := /bin/bash
STACK := deploy/local/stack.sh
# The stacks of bench and chaos are in the developer's folder, beside the developer's own stack.
LOCAL := $(or $(KHATA_LOCAL_DIR),.local)
PROGRAMS := $(or $(CARGO_TARGET_DIR),target)

.DEFAULT_GOAL := help
.PHONY: help up down demo test model name-match fuzz bench bench-collector chaos soak restore mutants failpoints status clean-local image image-test sbom lists compose-check k8s-check

help: ## List these commands
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "%-17s%s\n", $$1, $$2 }' $(MAKEFILE_LIST)

up: ## Start everything on this machine; again: start only what does not run
	@$(STACK) up

down: ## Stop everything that these commands started
	@$(STACK) down

demo: up ## Start everything, then show accounts on their way from CREATED to their outcome
	@$(STACK) exec $(PROGRAMS)/$(if $(filter release,$(KHATA_PROFILE)),release,debug)/khata-demo

test: ## Run everything that CI checks: formatting, lints, tests against real servers, chaos
	@deploy/local/test.sh

model: ## Explore every order of faults in a model of the validation protocol, and print the number of states
	@cargo run --quiet -p khata-model

name-match: ## Print the error rates of the name match on the labelled pairs
	@cargo test -q -p khata-name-match --test name_match -- --nocapture --test-threads 1

fuzz: ## Build the fuzz targets, then search each decoder for failures for a minute
	@fuzz/run.sh

bench: ## Measure a release build, all or PART=…, against pgbench on the same Postgres
	@KHATA_LOCAL_DIR=$(LOCAL)/bench KHATA_PROFILE=release $(STACK) with bash -c \
	    'KHATA_DATABASE_URL=$$KHATA_OWNER_URL exec $(PROGRAMS)/release/khata-bench $(or $(PART),$(if $(BACKLOG),webhooks)) $(BACKLOG)'

bench-collector: ## Measure the cost of tracing, with and without a reachable collector
	@KHATA_LOCAL_DIR=$(LOCAL)/bench KHATA_PROFILE=release $(STACK) with bash -c \
	    'KHATA_TEST_DATABASE_URL=$$KHATA_OWNER_URL KHATA_TEST_AMQP_URL=$$KHATA_AMQP_URL exec $(PROGRAMS)/release/khata-bench collector'

# $(call chaos,ARGUMENTS): khata-chaos on servers of its own, which it stops and starts.
chaos = KHATA_LOCAL_DIR=$(LOCAL)/chaos KHATA_PROFILE=dev $(STACK) with bash -c \
    'KHATA_TEST_DATABASE_URL=$$KHATA_OWNER_URL KHATA_TEST_AMQP_URL=$$KHATA_AMQP_URL \
     exec $(PROGRAMS)/debug/khata-chaos $(1) $(if $(SEED),--seed $(SEED)) $(SCENARIO)'

chaos: ## Produce faults, all or SCENARIO=… SEED=…, and check that Khata keeps its promises
	@$(call chaos)

soak: ## Produce faults for HOURS=…, with new seeds
	@$(call chaos,--soak $(or $(HOURS),1))

restore: ## Restore a database to a point in time, as docs/operations.md says, and check what Khata does
	@KHATA_LOCAL_DIR=$(LOCAL)/chaos KHATA_PROFILE=dev $(STACK) with e2e/restore.sh

# $(call with_mutants,ARGUMENTS): khata-chaos with programs that have deliberate faults and failpoints.
with_mutants = cargo build --quiet --workspace --bins --features khata-domain/mutants && \
    KHATA_SKIP_BUILD=1 $(subst $(PROGRAMS)/debug,$(PROGRAMS)/mutants/debug,$(call chaos,$(1)))

mutants failpoints: export CARGO_TARGET_DIR := $(PROGRAMS)/mutants
mutants: ## Build Khata with deliberate faults, all or SCENARIO=…, and check that each is found
	@$(call with_mutants,--mutants)

failpoints: ## Stop, pause and cut off processes at the points of an account's way, all or POINT=…
	@$(call with_mutants,--failpoints $(POINT))

status: ## List the processes with their ports and log files
	@$(STACK) status

clean-local: ## Stop everything and remove the local data
	@$(STACK) clean

image: ## Build the container images with docker, podman or buildah; a release with KHATA_PLATFORMS=…
	@deploy/docker/build.sh

image-test: ## Run the demo on a stack from the images, read-only and without rights
	@deploy/docker/test.sh

sbom: ## Write a CycloneDX bill of materials for each program to target/sbom
	@deploy/docker/sbom.sh

lists: ## Refresh the list of IFSCs that is part of the programs
	@deploy/ifsc/refresh.sh latest

compose-check: ## Check the Dockerfile, deploy/compose.yaml and the files that it mounts
	@deploy/docker/check.sh

k8s-check: ## Render deploy/k8s and the Helm chart, validate and compare the results
	@deploy/k8s/check.sh
