# convex-networks: `make help` lists the targets, README.md tells the rest.

SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
MAKEFLAGS += --no-builtin-rules
.SUFFIXES:
.DELETE_ON_ERROR:
# Every tool uses all processors by itself, and its time is taken.
.NOTPARALLEL:
# Numbers have a point.
export LC_ALL := C

PREFIX ?= /usr/local
PROGRAM_PREFIX ?=
DESTDIR ?=
# A directory that holds CIFAR-10 in its binary version, or holds cifar-10-batches-bin with it.
CIFAR10 ?=

TOOLS := cifar-extract patchify arrangements gram solve recover evaluate baseline generate tensor

.PHONY: all
all: build

.PHONY: help
help: ## list the targets
	@sed -n 's/^\([a-z0-9-]*\):.*## \(.*\)/\1\t\2/p' $(MAKEFILE_LIST) | \
	  while IFS=$$'\t' read -r name text; do printf '%-20s %s\n' "$$name" "$$text"; done

## ---------------------------------------------------------------- build, test, install

PACKAGES := libopenblas-dev liblapacke-dev libpng-dev libjpeg-dev zlib1g-dev pkg-config

# $(call install-packages,CHECK,NAMES,PACKAGES): unless CHECK succeeds, installs the PACKAGES that hold NAMES.
define install-packages
@if $(1) 2>/dev/null; then exit 0; fi; \
sudo=; [ "$$(id -u)" = 0 ] || sudo=sudo; \
if ! command -v apt-get >/dev/null || { [ -n "$$sudo" ] && ! command -v sudo >/dev/null; } || \
  ! { $$sudo apt-get update && $$sudo env DEBIAN_FRONTEND=noninteractive \
      apt-get install -y --no-install-recommends $(3); }; then \
  echo "make: $(2) is missing; on Debian and Ubuntu, as root:" >&2; \
  echo "  apt-get install $(3)" >&2; exit 1; \
fi
endef

.PHONY: packages
packages: ## install the Debian packages that are missing (needs root or sudo)
	$(call install-packages,pkg-config --exists openblas lapacke libpng libjpeg zlib,OpenBLAS$(comma) LAPACKE$(comma) libpng$(comma) libjpeg or zlib,$(PACKAGES))

.PHONY: gnuplot
gnuplot:
	$(call install-packages,command -v gnuplot >/dev/null,gnuplot,gnuplot-nox)

# build/bin holds a copy of each tool that is replaced only where its bytes changed. Experiments depend
# on these copies: a build that leaves a tool as it was redoes nothing, and one that changes it redoes
# what it made.
BIN := build/bin
BUILT := .build/release/tools-are-built
export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: build
build: $(BUILT) ## build the tools into .build/release (the default)

# Directories are among the sources, so that a file that went is noticed too.
$(BUILT): $(shell find Sources) Package.swift
	@$(MAKE) --no-print-directory packages
	swift build -c release
	@mkdir -p $(BIN); for tool in $(TOOLS); do \
	  cmp -s .build/release/$$tool $(BIN)/$$tool && continue; \
	  cp .build/release/$$tool $(BIN)/$$tool.new; mv $(BIN)/$$tool.new $(BIN)/$$tool; \
	done
	@touch $@

# The empty recipe lets make look at the copy's own time.
$(TOOLS:%=$(BIN)/%): $(BUILT) ;

# The one release build serves tools and tests: Package.swift opens the library's internals to both.
# One test at a time in a process: the number of OpenBLAS's threads is one for the whole process, so that a test that sets
# it changes the order of another's sums. Two processes, which share the tests by the names of their suites: most of
# them run the tools one after another. The first call builds the tests, and runs none.
TESTS := .build/release/convex-networksPackageTests.xctest --testing-library swift-testing --no-parallel
FIRST_HALF := ^PipelineTests\.[A-N]
.PHONY: test
test: $(BUILT) ## run all tests
	swift test -c release --disable-testable-imports --no-parallel --filter 'none of them'
	@mkdir -p build; export NO_COLOR=1 CIFAR10='$(abspath $(CIFAR))'; status=0; \
	$(TESTS) --filter '$(FIRST_HALF)' > build/test-1.log 2>&1 & first=$$!; \
	$(TESTS) --skip '$(FIRST_HALF)' 2>&1 | tee build/test.log || status=1; \
	wait $$first || status=1; cat build/test-1.log; \
	[ $$status = 0 ] || grep -hE -A3 'recorded an issue|error:' build/test*.log | cut -c1-400 | tail -n 60; \
	grep -h 'Test run' build/test*.log | grep -v started; exit $$status

include Tests/rules.mk

.PHONY: format
format: ## format the sources
	swift format -i -r Sources Tests Package.swift

.PHONY: lint
lint: ## check format and conventions
	swift format lint --strict -r Sources Tests Package.swift
	@if grep -rn 'import Foundation' Sources; then \
	  echo "make: Foundation takes longer to load than a small tool to run: use Glibc" >&2; exit 1; fi
	@if grep -rnE '^([^ /]+ )*import ' Sources/Shared/Evaluation | \
	  grep -vE ':import (Tensors|Schema|LinearAlgebra|Patches|Images|Glibc)$$'; then \
	  echo "make: the certificate may not import this: Sources/Shared/Evaluation/Evaluation.swift" >&2; exit 1; fi
	@if grep -rnE '^([^ /]+ )*import ' Sources/Shared/Schema | grep -vE ':import Tensors$$'; then \
	  echo "make: Schema may import Tensors only" >&2; exit 1; fi
	@find Sources -name '*.swift' -exec awk -f .ci/lengths.awk {} +

.PHONY: check
check: lint test ## lint, then all tests (warnings are errors): what .ci/run runs

BINDIR = $(DESTDIR)$(PREFIX)/bin
MANDIR = $(DESTDIR)$(PREFIX)/share/man/man1
FORMATDIR = $(DESTDIR)$(PREFIX)/share/man/man5
BASHDIR = $(DESTDIR)$(PREFIX)/share/bash-completion/completions
ZSHDIR = $(DESTDIR)$(PREFIX)/share/zsh/site-functions
.PHONY: manual
manual: ## write build/man/convex-networks-format.5
	@mkdir -p build/man
	awk -v name=convex-networks-format -v date='$(shell sed -n 's/^package let versionDay = "\(.*\)"/\1/p' \
	  Sources/Shared/Command/Tool.swift)' -v source=convex-networks -f docs/manual.awk docs/format.md \
	  > build/man/convex-networks-format.5

DOCDIR = $(DESTDIR)$(PREFIX)/share/doc/convex-networks
SHAREDIR = $(DESTDIR)$(PREFIX)/share/convex-networks

.PHONY: install
install: $(BUILT) manual ## install tools, manual pages, completion, docs and network.py (PREFIX=, PROGRAM_PREFIX=, DESTDIR=)
	install -d '$(BINDIR)' '$(MANDIR)' '$(FORMATDIR)' '$(BASHDIR)' '$(ZSHDIR)' '$(DOCDIR)' '$(SHAREDIR)'
	@prefix='$(PROGRAM_PREFIX)'; \
	for tool in $(TOOLS); do name='$(PROGRAM_PREFIX)'$$tool; \
	  install .build/release/$$tool "$(BINDIR)/$$name"; \
	  .build/release/$$tool --manual | \
	    sed -e '1s/^\.TH /&'"$${prefix^^}"'/' -e '3s/^/$(PROGRAM_PREFIX)/' \
	      -e '5s/^\.B /&$(PROGRAM_PREFIX)/' > "$(MANDIR)/$$name.1"; \
	  .build/release/$$tool --completion bash | sed "\$$s/$$tool\$$/$$name/" > "$(BASHDIR)/$$name"; \
	  .build/release/$$tool --completion zsh | sed "1s/$$tool/$$name/" > "$(ZSHDIR)/_$$name"; \
	done
	install -m 644 build/man/convex-networks-format.5 '$(FORMATDIR)'
	install -m 644 LICENSE README.md docs/*.md '$(DOCDIR)'
	install -m 644 python/network.py '$(SHAREDIR)'

.PHONY: uninstall
uninstall: ## remove what install put there
	rm -f $(TOOLS:%='$(BINDIR)/$(PROGRAM_PREFIX)%') $(TOOLS:%='$(MANDIR)/$(PROGRAM_PREFIX)%.1') \
	  $(TOOLS:%='$(BASHDIR)/$(PROGRAM_PREFIX)%') $(TOOLS:%='$(ZSHDIR)/_$(PROGRAM_PREFIX)%') \
	  '$(FORMATDIR)/convex-networks-format.5'
	rm -rf '$(DOCDIR)' '$(SHAREDIR)'

.PHONY: clean
clean: ## remove all products (not the data that `make data` fetched)
	rm -rf .build
	if [ -d build ]; then find build -mindepth 1 -maxdepth 1 ! -name cifar-10-batches-bin \
	  -exec rm -rf {} +; fi

## ---------------------------------------------------------------- CIFAR-10

DATA_URL := https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz
DATA_MD5 := c32a1d4ab5d03f1284b67883e8d87530

# Lists of make are words: a directory with blanks in its name is read through a link.
CIFAR10_DIRECTORY := $(CIFAR10)
ifneq ($(word 2,$(CIFAR10)),)
quote := '
CIFAR10_DIRECTORY := $(shell mkdir -p build && \
  ln -sfn "$$(realpath -- '$(subst $(quote),'\'',$(CIFAR10))')" build/linked-data && echo build/linked-data)
endif

# Where the batches are, or nothing.
CIFAR := $(patsubst %/data_batch_1.bin,%,$(firstword $(wildcard \
  $(foreach d,$(or $(CIFAR10_DIRECTORY),build),$(d)/cifar-10-batches-bin/data_batch_1.bin $(d)/data_batch_1.bin))))
ifneq ($(CIFAR10),)
ifeq ($(CIFAR),)
$(error CIFAR10=$(CIFAR10) holds no data_batch_1.bin and no cifar-10-batches-bin with it)
endif
endif
BATCHES := $(if $(CIFAR),$(patsubst %,$(CIFAR)/data_batch_%.bin,1 2 3 4 5) $(CIFAR)/test_batch.bin,no-cifar-10)

.PHONY: data
data: ## fetch CIFAR-10 (163 MB) into build/, unless CIFAR10= names a directory that has it
ifneq ($(CIFAR),)
	@echo "CIFAR-10 is in $(CIFAR)"
else
	@mkdir -p build/download
	@cd build/download; if command -v curl >/dev/null; then curl -fL -o archive '$(DATA_URL)'; \
	elif command -v wget >/dev/null; then wget -O archive '$(DATA_URL)'; \
	else echo "make: curl or wget is needed to fetch CIFAR-10" >&2; exit 1; fi
	@cd build/download; echo '$(DATA_MD5)  archive' | md5sum --quiet -c - || \
	  { echo "make: what came from $(DATA_URL) is not CIFAR-10" >&2; rm -f archive; exit 1; }
	tar -xzf build/download/archive -C build/download
	mv build/download/cifar-10-batches-bin build/
	@rm -rf build/download
endif

.PHONY: no-cifar-10
no-cifar-10:
	@echo "make: CIFAR-10 is not here: 'make data' fetches it, or CIFAR10=DIR names where it is" >&2
	@exit 1

## ---------------------------------------------------------------- demo and experiments

include experiments/rules.mk
include experiments/layerwise.mk
include experiments/figures.mk
include experiments/signals.mk
include experiments/initialisation.mk
include experiments/three-layers.mk

## ---------------------------------------------------------------- other software

include benchmarks/rules.mk
