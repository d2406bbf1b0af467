# The commands of the house. Each is a line here; how the local stack works is told in deploy/local.

SHELL := /bin/bash
STACK := deploy/local/stack.sh
# The stacks of bench and chaos live inside the developer's own folder, beside the developer's stack.
LOCAL := $(or $(KHATA_LOCAL_DIR),.local)
PROGRAMS := $(or $(CARGO_TARGET_DIR),target)

.DEFAULT_GOAL := help
.PHONY: help up down demo test fuzz bench bench-collector chaos status clean-local image image-test sbom compose-check k8s-check

help: ## this list
	@sed -n 's/^\([a-z0-9-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 14

up: ## start everything on this machine; again: start what is not running
	@$(STACK) up

down: ## stop everything that was started here
	@$(STACK) down

demo: up ## up, then watch accounts go from CREATED to their outcome
	@$(STACK) exec $(PROGRAMS)/$(if $(filter release,$(KHATA_PROFILE)),release,debug)/khata-demo

test: ## everything CI checks: formatting, lints, tests against real servers, chaos
	@deploy/local/test.sh

fuzz: ## look for bodies and values that break the decoders, a minute each; builds them first
	@fuzz/run.sh

bench: ## measure a release build against pgbench on the same Postgres
	@KHATA_LOCAL_DIR=$(LOCAL)/bench KHATA_PROFILE=release $(STACK) with $(PROGRAMS)/release/khata-bench

bench-collector: ## measure what tracing costs, and what a collector that is away changes
	@KHATA_LOCAL_DIR=$(LOCAL)/bench KHATA_PROFILE=release $(STACK) with bash -c \
	    'KHATA_TEST_DATABASE_URL=$$KHATA_DATABASE_URL KHATA_TEST_AMQP_URL=$$KHATA_AMQP_URL exec $(PROGRAMS)/release/khata-bench collector'

chaos: ## create accounts while workers and the broker are killed
	@KHATA_LOCAL_DIR=$(LOCAL)/chaos KHATA_PROFILE=dev $(STACK) with $(PROGRAMS)/debug/khata-chaos

status: ## what runs, on which ports, and where it logs
	@$(STACK) status

clean-local: ## down, and remove the local data
	@$(STACK) clean

image: ## the container images, by docker, podman or buildah: see deploy/docker/build.sh
	@deploy/docker/build.sh

image-test: ## run the stack from the images, read-only and without rights, and make demo's walk through it
	@deploy/docker/test.sh

sbom: ## what each program is made of, as CycloneDX, under target/sbom
	@deploy/docker/sbom.sh

compose-check: ## check the Dockerfile, deploy/compose.yaml and what it mounts
	@deploy/docker/check.sh

k8s-check: ## render deploy/k8s and validate it
	@deploy/k8s/check.sh
