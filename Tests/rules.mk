# What keeps the tools from faults; docs/trust.md tells what each of these shows. What tests do not repeat every time.

include Tests/Fuzzing/rules.mk

TRIAL_PROGRAM := .build/release/trials
COUNT ?= 100000
SEED ?= 0
KILLS ?= 50
CELLS ?= 50
FIRST ?= 0

.PHONY: mutations
mutations: $(BUILT) ## COUNT=100000 mutants of bundles (SEED=0) through every tool
	$(TRIAL_PROGRAM) mutations --count $(COUNT) --seed $(SEED) --folder build/mutations

.PHONY: survive
survive: $(BUILT) ## kill make demo and a path of beta KILLS=50 times with signal 9 (SEED=0), and make them again
	Tests/Survival/survive $(KILLS) $(SEED) build/survival demo survival

# FIRST=i COUNT=1 solves problem i of a seed again, and writes its data to build/stalls.
.PHONY: stalls
stalls: COUNT = 5000
stalls: $(BUILT) ## solve COUNT=5000 small random problems (SEED=0), and CELLS=50 seeds of points over all cells
	$(TRIAL_PROGRAM) stalls --count $(COUNT) --seed $(SEED) --first $(FIRST) --cells $(CELLS) --folder build/stalls

# Leaks are not looked for: the tools end without giving back what they hold.
ASAN := ASAN_OPTIONS=detect_leaks=0:abort_on_error=1:allocator_may_return_null=1
TSAN := TSAN_OPTIONS=suppressions=$(CURDIR)/Tests/thread-sanitizer.txt:halt_on_error=1
# Tests whose loops are split over threads, of the library and of whole tools.
PARALLEL := ThreadsTests|HyperplaneArrangement|ArrangementTests|PatternProducts|DeferredPatches|GradientTests|OptimizerTests|SphericalKMeans|CertificateTests|BaselineTests|GatedSolveTests

.PHONY: sanitize
sanitize: ## tests and 3,000 mutants under AddressSanitizer, the parallel parts under ThreadSanitizer
	@$(MAKE) --no-print-directory packages
	$(ASAN) swift test -c release --disable-testable-imports --no-parallel --sanitize=address \
	  --scratch-path build/asan
	$(ASAN) build/asan/release/trials mutations --count 3000 --seed 1 --folder build/mutations-asan
	$(TSAN) swift test -c release --disable-testable-imports --no-parallel --sanitize=thread \
	  --scratch-path build/tsan --filter '$(PARALLEL)'

.PHONY: bench-memory
bench-memory: $(BUILT) ## peak memory of every tool on inputs of three sizes, against docs/trust.md
	$(TRIAL_PROGRAM) memory --sizes 4,16,64 --folder build/memory

.PHONY: memory-limits
memory-limits: $(BUILT) ## every tool with 100 MB, 300 MB and 1 GB of address space
	$(TRIAL_PROGRAM) limits --folder build/memory
