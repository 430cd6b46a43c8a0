# Training on shards, each of which is a file and a target, with make alone or with whatever starts a command:
#   make -f experiments/shards.mk -j64 DIR=build/run SHARDS=64                      on this machine
#   make -f experiments/shards.mk -j64 DIR=/shared/run SHARDS=64 RUN="srun -n1 -c8"   on a cluster, files on a shared disk
# RUN is put before each command that reads samples. `make -k` again makes what is missing. This is a makefile of its own,
# because the main one makes one target at a time. docs/scale.md tells the rest.
#
# In DIR:
#   like                 sums over a few samples: the features that all shards have in common
#   shard-I              sums over shard I = 0 … SHARDS-1
#   sum-J, all           shards added in two levels, in a fixed order: the same bytes whoever made them
#   solution, network, report            trained from all, and its certificate from the sums
#   tally-I, tally, certified            over the samples once more: accuracy, and the certificate over them
#   test-I, test-tally, test             the same over the test samples

SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
MAKEFLAGS += --no-builtin-rules
.SUFFIXES:
.DELETE_ON_ERROR:
.SECONDARY:
export LC_ALL := C

DIR ?= build/shards
SHARDS ?= 8
TESTS ?= 2
RUN ?=
# The shard whose first attempt is killed, for make distributed-demo.
KILL ?=

# The samples: $(call images,PART,A,B) writes those from A to B of PART, train or test.
CIFAR ?=
EXTRACT ?=
SAMPLES ?= 50000
TEST_SAMPLES ?= 10000
images = cifar-extract --quiet --split $(1) --range $(2):$(3) $(EXTRACT) $(CIFAR)
# How patches are cut, and which features they have: gram's options, and before them, of gates, those of arrangements.
PATCHES ?= --moments
PATTERNS ?=
GRAM ?= --activation 0.09,0.5,0.47
SOLVE ?= --beta 1e-2 --gap 1e-6
# Samples of like.
SAMPLE ?= 2048

numbers := $(shell seq 0 $$(($(SHARDS) - 1)))
tests := $(shell seq 0 $$(($(TESTS) - 1)))
# Groups of about the square root.
width := $(shell w=1; while [ $$((w * w)) -lt $(SHARDS) ]; do w=$$((w + 1)); done; echo $$w)
groups := $(shell seq 0 $$((($(SHARDS) + $(width) - 1) / $(width) - 1)))
group = $(shell seq $$(($(1) * $(width))) $$(m=$$((($(1) + 1) * $(width))); echo $$(((m < $(SHARDS) ? m : $(SHARDS)) - 1))))
part = $(call images,$(1),$$(($(4) * $(2) / $(3))),$$(($(4) * ($(2) + 1) / $(3))))
# A pipe is one command for RUN.
run = $(RUN) $(1) bash -eu -o pipefail -c '$(2)'
killed = $(if $(filter $*,$(KILL)),$(if $(wildcard $@.killed),,touch $@.killed;))
killing = $(if $(filter $*,$(KILL)),$(if $(wildcard $@.killed),,timeout -s KILL 0.05))

.PHONY: all
all: $(DIR)/report $(DIR)/certified $(DIR)/test

$(DIR)/like:
	@mkdir -p $(DIR)
	$(call run,,$(call images,train,0,$(SAMPLE)) | patchify --quiet $(PATCHES) $(if $(PATTERNS),| arrangements --quiet $(PATTERNS)) | gram --quiet $(GRAM) -o $@)

$(DIR)/shard-%: $(DIR)/like
	$(killed) $(call run,$(killing),$(call part,train,$*,$(SHARDS),$(SAMPLES)) | patchify --quiet --like $< | gram --quiet --like $< -o $@)

define sum
$(DIR)/sum-$(1): $(patsubst %,$(DIR)/shard-%,$(call group,$(1)))
	tensor sum --quiet $$^ -o $$@
endef
$(foreach j,$(groups),$(eval $(call sum,$(j))))

$(DIR)/all: $(groups:%=$(DIR)/sum-%)
	tensor sum --quiet --samples $(SAMPLES) $^ -o $@

$(DIR)/solution: $(DIR)/all
	solve --quiet $(SOLVE) $< -o $@

$(DIR)/network: $(DIR)/solution
	recover --quiet $< -o $@

$(DIR)/report: $(DIR)/all $(DIR)/solution $(DIR)/network
	evaluate --quiet --data $< --certify $(DIR)/solution $(DIR)/network -o $@

$(DIR)/tally-%: $(DIR)/like $(DIR)/solution $(DIR)/network
	$(call run,,$(call part,train,$*,$(SHARDS),$(SAMPLES)) | patchify --quiet --like $< | evaluate --quiet --data - --certify $(DIR)/solution --tally $@ $(DIR)/network > /dev/null)

$(DIR)/tally: $(numbers:%=$(DIR)/tally-%)
	tensor sum --quiet --samples $(SAMPLES) $^ -o $@

$(DIR)/certified: $(DIR)/tally $(DIR)/solution $(DIR)/network
	evaluate --quiet --data $< --certify $(DIR)/solution $(DIR)/network -o $@

$(DIR)/test-%: $(DIR)/like $(DIR)/network
	$(call run,,$(call part,test,$*,$(TESTS),$(TEST_SAMPLES)) | patchify --quiet --like $< | evaluate --quiet --data - --tally $@ $(DIR)/network > /dev/null)

$(DIR)/test-tally: $(tests:%=$(DIR)/test-%)
	tensor sum --quiet --samples $(TEST_SAMPLES) $^ -o $@

$(DIR)/test: $(DIR)/test-tally $(DIR)/network
	evaluate --quiet --data $< $(DIR)/network -o $@
