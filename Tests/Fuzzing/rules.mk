# libFuzzer on the readers. It comes with Swift's toolchain, but not by way of the package manager, which would
# want a `main` of every program: the modules and the target are compiled here.

FUZZ := build/fuzz
# Seconds for each reader.
SECONDS ?= 600
FUZZED := header bundle npy csv cifar idx png jpeg
# The longest input. A PNG file can hold 8 x 1032 pixels a byte: 4 kB are 34 million.
longest/header := 16384
longest/bundle := 16384
longest/npy := 16384
longest/csv := 16384
longest/cifar := 9229
longest/idx := 8192
longest/png := 4096
longest/jpeg := 4096
# The largest single allocation, in MB. Readers begin with 1 MB, and double what has arrived.
largest/png := 256
largest/jpeg := 64
largest := 16

# C of our own needs a map of its headers, which the package manager would make.
FUZZ_C := $(wildcard Sources/Shared/*/*.c)
C_MODULES := $(sort $(patsubst Sources/Shared/%/,%,$(dir $(FUZZ_C))))
FUZZ_FLAGS := -O -wmo -parse-as-library -swift-version 6 -sanitize=fuzzer,address \
  -package-name convex_networks -I $(FUZZ) $(addprefix -I ,$(dir $(wildcard \
  Sources/Shared/*/module.modulemap)) $(C_MODULES:%=$(FUZZ)/maps/%))
fuzz-module = swiftc $(FUZZ_FLAGS) -enable-testing -module-name $(1) -emit-module \
  -emit-module-path $(FUZZ)/$(1).swiftmodule -c Sources/Shared/$(1)/*.swift -o $(FUZZ)/$(1).o

# The linker warns of each symbol of the sanitizer that it cannot export.
$(FUZZ)/fuzz: $(wildcard Sources/Shared/Tensors/*.swift Sources/Shared/Schema/*.swift Sources/Shared/Images/*.swift) $(FUZZ_C) \
  Tests/Fuzzing/Readers.swift Tests/Fuzzing/Target/Target.swift Tests/Fuzzing/rules.mk
	@$(MAKE) --no-print-directory packages
	@mkdir -p $(FUZZ); rm -f $(FUZZ)/*.o
	@for module in $(C_MODULES); do mkdir -p $(FUZZ)/maps/$$module; \
	  printf 'module %s { umbrella "%s" export * }\n' $$module "$(CURDIR)/Sources/Shared/$$module/include" \
	    > $(FUZZ)/maps/$$module/module.modulemap; done
	$(call fuzz-module,Tensors)
	$(call fuzz-module,Schema)
	$(call fuzz-module,Images)
	$(foreach file,$(FUZZ_C),clang -O -c -fsanitize=address -I $(dir $(file))include $(file) \
	  -o $(FUZZ)/$(notdir $(file)).o &&) true
	swiftc $(FUZZ_FLAGS) -module-name Fuzzing Tests/Fuzzing/Readers.swift Tests/Fuzzing/Target/Target.swift \
	  $(FUZZ)/*.o -lpng16 -ljpeg -lz -o $@ 2>&1 | sed '/Cannot export local symbol/d'

# $(call fuzz-run,READER): what is of interest stays in $(FUZZ)/READER, and the next run begins with it too.
define fuzz-run
@mkdir -p $(FUZZ)/$(1); rm -f $(FUZZ)/$(1)-*; status=0; \
READER=$(1) $(FUZZ)/fuzz -max_total_time=$(SECONDS) -max_len=$(longest/$(1)) -timeout=10 \
  -malloc_limit_mb=$(or $(largest/$(1)),$(largest)) -rss_limit_mb=1024 -print_final_stats=1 \
  -artifact_prefix=$(FUZZ)/$(1)- $(FUZZ)/$(1) Tests/Fuzzing/corpus/$(1) > $(FUZZ)/$(1).log 2>&1 || status=1; \
[ $$status = 0 ] || tail -n 30 $(FUZZ)/$(1).log >&2; \
printf '%s: %s executions, %s findings\n' $(1) \
  "$$(sed -n 's/^stat::number_of_executed_units: *//p' $(FUZZ)/$(1).log)" \
  "$$(find $(FUZZ) -maxdepth 1 -name '$(1)-*' | wc -l)"; exit $$status

endef

.PHONY: fuzz
fuzz: $(FUZZ)/fuzz ## libFuzzer on the readers of headers, NPY, CSV, CIFAR, IDX, PNG and JPEG (SECONDS=600 each, FUZZED=idx for one)
	$(foreach reader,$(FUZZED),$(call fuzz-run,$(reader)))
