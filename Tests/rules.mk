# What keeps the tools from faults; docs/trust.md tells what each of these shows. What tests do not repeat every time.

include Tests/Fuzzing/rules.mk

TRIALS := .build/release/trials
COUNT ?= 100000
SEED ?= 0

.PHONY: mutations
mutations: $(BUILT) ## COUNT=100000 mutants of bundles (SEED=0) through every tool
	$(TRIALS) mutations --count $(COUNT) --seed $(SEED) --folder build/mutations
