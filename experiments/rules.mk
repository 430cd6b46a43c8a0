# An experiment is a path SET/PATCHES/RUN: the images, how they are cut, how the network is trained. Its
# products are
#   build/SET/{train,validation,test}.images         extract/SET/PART    options of cifar-extract, of
#                                                    CIFAR-10 or of the records that pick/SET/PART numbers,
#                                                    build/SET/PART.bin
#   build/SET/PATCHES/{train,…}.moments              patchify/SET/PATCHES  of patchify, for train; the
#                                                    rest goes the way that train went
#   build/SET/PATCHES/RUN/solution, trace, network,  solve/SET/PATCHES/RUN  of solve; --path chooses
#     train.report (certified), test.report          beta by the validation part
# and beside each PRODUCT stand PRODUCT.command, which redoes it when the options change, and
# PRODUCT.seconds. Options may name further products, which are made first.
#
# Networks over the patterns of gates are SET/PATTERNS/RUN, of options of arrangements
# (patterns/SET/PATTERNS) and of solve (train/SET/PATTERNS/RUN). A sample is a whole image and a constant,
# unless dataset/SET has other options of patchify; or a row of the table that points/SET/PART names or
# draw/SET/PART has options of experiments/draw for, and a constant:
#   build/SET/{train,test}.dataset, build/SET/PATTERNS/arrangements, and RUN's products as above
#
# What stochastic gradients train are SET/PATCHES/RUN and, on SET's samples, SET/network/RUN:
#   build/…/RUN/network (of --program a solution), trace    baseline/…/RUN  of baseline
# whose trace tells the accuracy on the test part too.

# The activation that is near to ReLU.
NEAR_RELU := --activation 0.09,0.5,0.47
# Of contrast normalisation, where pixels reach from -1 to 1; of whitening.
CONTRAST := 0.01
WHITEN := 0.001
comma := ,

include experiments/papers.mk

# Airplanes and automobiles at other values of beta.
solve/cifar-2/f4s4/beta-1 := $(NEAR_RELU) --beta 1 --gap 1e-6
solve/cifar-2/f4s4/beta-1e-2 := $(NEAR_RELU) --beta 1e-2 --gap 1e-6

# Regions: beta is chosen on the last 5,000, then all 50,000 are used with it, from the solution there.
extract/held-out/train := --range 0:45000
extract/held-out/validation := --range 45000:50000
extract/held-out/test := --split test
patchify/held-out/regions := --size 4 --stride 2 --pool 2
patchify/held-out/whitened := --size 6 --stride 2 --pool 2 --contrast $(CONTRAST) \
  --whiten $(WHITEN) --components 48
solve/held-out/regions/path := $(NEAR_RELU) --beta 0.01 --path 4 --gap 1e-3
solve/held-out/whitened/path := $(NEAR_RELU) --beta 0.3 --path 6 --gap 1e-3
define refitted
patchify/cifar-10/$(1) := --like build/held-out/$(1)/train.moments
solve/cifar-10/$(1)/refit := $(NEAR_RELU) --beta `cat build/held-out/$(1)/path/beta` --gap 1e-3 \
  --warm-start build/held-out/$(1)/path/solution
endef
$(foreach patches,regions whitened,$(eval $(call refitted,$(patches))))

# The best in ten minutes: mirror images too, stride 1, 4 x 4 regions.
patchify/held-out/mirrored := --size 6 --stride 1 --pool 4 --mirror --contrast $(CONTRAST) \
  --whiten $(WHITEN) --components 32
solve/held-out/mirrored/path := $(NEAR_RELU) --beta 0.35 --path 3 --gap 1e-3

# Networks over the patterns of sampled gates.
extract/8x8/train := --classes airplane,automobile --range 0:2000 --resize 8x8
extract/8x8/test := --split test --classes airplane,automobile --resize 8x8
patterns/8x8/gates-100 := --sample 100
train/8x8/gates-100/gated-20 := --activation gated-relu --beta 20 --gap 1e-6
train/8x8/gates-100/gated-2 := --activation gated-relu --beta 2 --gap 1e-6
train/8x8/gates-100/relu-20 := --activation relu --beta 20 --gap 1e-4
train/8x8/gates-100/relu-2 := --activation relu --beta 2 --gap 1e-4
extract/16x16/train := --range 0:5000 --resize 16x16
extract/16x16/test := --split test --resize 16x16
patterns/16x16/gates-200 := --sample 200
train/16x16/gates-200/group-20 := --activation gated-relu --beta 20 --gap 1e-3
train/16x16/gates-200/nuclear-20 := --activation gated-relu --norm nuclear --beta 20 --gap 1e-3

# Convolutional gated networks: 6 x 6 patches at every position, 2 x 2 regions, gates from centroids.
CONVOLUTION := --size 6 --stride 1 --pool 2 --contrast 6e-4 --whiten 0.1 --components 24 --bias \
  --defer
extract/airplane-automobile/train := --classes airplane,automobile
extract/airplane-automobile/test := --split test --classes airplane,automobile
dataset/airplane-automobile := $(CONVOLUTION)
patterns/airplane-automobile/centroids-200 := --sample 200 --sampler k-means --threshold 1.5
train/airplane-automobile/centroids-200/gated-4 := --activation gated-relu --group pattern --beta 4 \
  --gap 1e-3
extract/mirrored-two/train := --classes airplane,automobile
extract/mirrored-two/test := --split test --classes airplane,automobile
dataset/mirrored-two := $(CONVOLUTION) --mirror
patterns/mirrored-two/centroids-200 := --sample 200 --sampler k-means --threshold 1.5
train/mirrored-two/centroids-200/gated-2 := --activation gated-relu --group pattern --beta 2 \
  --gap 1e-3
extract/ten-classes/train := --split train
extract/ten-classes/test := --split test
dataset/ten-classes := $(CONVOLUTION)
patterns/ten-classes/centroids-200 := --sample 200 --sampler k-means --threshold 1.5
train/ten-classes/centroids-200/gated-20 := --activation gated-relu --group pattern --beta 20 --gap 1e-3

# The best of this family: mirror images too, and twice the gates. On the last 5,000 training images, after
# training on the others, this beta did better than 33.
extract/mirrored-ten/train := --split train
extract/mirrored-ten/test := --split test
dataset/mirrored-ten := $(CONVOLUTION) --mirror
patterns/mirrored-ten/centroids-400 := --sample 400 --sampler k-means --threshold 1.5
train/mirrored-ten/centroids-400/gated-8 := --activation gated-relu --group pattern --beta 8 --gap 1e-2

# A convolutional ReLU network with its cones.
extract/first-1000/train := --classes airplane,automobile --range 0:1000
extract/first-1000/test := --split test --classes airplane,automobile
dataset/first-1000 := --size 4 --stride 4 --bias
patterns/first-1000/gates-50 := --sample 50
train/first-1000/gates-50/relu-20 := --activation relu --beta 20 --gap 1e-3
train/first-1000/gates-50/relu-2 := --activation relu --beta 2 --gap 1e-3

# Fully connected on all pixels, ten classes, a group a gate.
extract/pixels-10000/train := --range 0:10000
extract/pixels-10000/test := --split test
dataset/pixels-10000 := --flatten --bias
patterns/pixels-10000/gates-100 := --sample 100
train/pixels-10000/gates-100/gated := --activation gated-relu --group pattern --beta 800 --gap 1e-2

# Other losses, on the small images and on all.
$(foreach loss,logistic hinge huber,$(foreach beta,40 4,$(eval \
  train/8x8/gates-100/$(loss)-$(beta) := --activation gated-relu --loss $(loss) --beta $(beta) --gap 1e-6)))
extract/8x8-10/train := --range 0:5000 --resize 8x8
extract/8x8-10/test := --split test --resize 8x8
patterns/8x8-10/gates-50 := --sample 50
train/8x8-10/gates-50/entropy-class := --activation gated-relu --loss cross-entropy --beta 50 --gap 1e-3
train/8x8-10/gates-50/entropy-pattern := --activation gated-relu --loss cross-entropy \
  --group pattern --beta 50 --gap 1e-3
solve/cifar-10/f4s4/entropy := $(NEAR_RELU) --loss cross-entropy --beta 0.1 --gap 1e-3

# What runs where no data set is.
extract/synthetic/train := --synthetic 3000
extract/synthetic/test := --synthetic 1000 --split test
patchify/synthetic/f4s4 := --size 4 --stride 4
solve/synthetic/f4s4/beta-1e-1 := $(NEAR_RELU) --beta 1e-1 --gap 1e-4

EXPERIMENTS := cifar-2 cifar-10 cifar-10-regions cifar-10-whitened cifar-10-best relu relu-ten-classes \
  convolutional convolutional-ten-classes convolutional-best convolutional-relu pixels losses \
  cross-entropy
runs/cifar-2 := $(addprefix cifar-2/f4s4/,beta-1 beta-1e-2 a-0.09)
runs/cifar-10 := cifar-10/f4s4/beta-1e-2
runs/cifar-10-regions := held-out/regions/path cifar-10/regions/refit
runs/cifar-10-whitened := held-out/whitened/path cifar-10/whitened/refit
runs/cifar-10-best := held-out/mirrored/path
runs/relu := $(addprefix 8x8/gates-100/,gated-20 gated-2 relu-20 relu-2)
runs/relu-ten-classes := $(addprefix 16x16/gates-200/,group-20 nuclear-20)
runs/convolutional := airplane-automobile/centroids-200/gated-4 mirrored-two/centroids-200/gated-2
runs/convolutional-ten-classes := ten-classes/centroids-200/gated-20
runs/convolutional-best := mirrored-ten/centroids-400/gated-8
runs/convolutional-relu := $(addprefix first-1000/gates-50/,relu-20 relu-2)
runs/pixels := pixels-10000/gates-100/gated pixels-50000/gates-100/gated
runs/losses := $(foreach loss,logistic hinge huber,$(addprefix 8x8/gates-100/$(loss)-,40 4))
runs/cross-entropy := $(addprefix 8x8-10/gates-50/,entropy-class entropy-pattern) \
  cifar-10/f4s4/entropy
runs/demo := $(if $(CIFAR),cifar-2/f4s4/beta-1e-2 cifar-10/f4s4/beta-1e-2,synthetic/f4s4/beta-1e-1)

demo: ## the main job, on CIFAR-10 where it is found, else on synthetic images
cifar-2: ## polynomial networks, airplanes against automobiles, three values of beta
cifar-10: ## ten classes, all 50,000 images
cifar-10-regions: ## the same with 2 x 2 pooling regions, beta by validation
cifar-10-whitened: ## the same with larger, normalised and whitened patches
cifar-10-best: ## the best of this family in ten minutes: mirror images too, stride 1, 4 x 4 regions
relu: ## gated-ReLU and ReLU networks over 100 sampled patterns, 2,000 images of 8 x 8 pixels
relu-ten-classes: ## gated-ReLU networks of ten classes, group norm and nuclear norm
convolutional: ## convolutional gated-ReLU networks, airplanes against automobiles
convolutional-ten-classes: ## the same for ten classes and all 50,000 images
convolutional-best: ## the same with mirror images too and 400 gates: a quarter of an hour, 7 GB of memory
convolutional-relu: ## convolutional ReLU networks with their cones
pixels: ## fully connected on all pixels, ten classes, 10,000 and 50,000 images
losses: ## logistic, hinge and huber losses
cross-entropy: ## cross-entropy, gated and polynomial networks
# Shards as targets are made by a makefile of their own, many at a time.
SHARDS ?= 8
RUN ?=
.PHONY: distributed-demo
distributed-demo: $(BUILT) ## the same networks from shards, a stream and one process (SHARDS=8, RUN="srun -n1"), one job killed
	@experiments/distributed '$(SHARDS)' '$(RUN)' '$(CIFAR)'

.PHONY: sums
sums: build/sums/table ## what certificates from sums over samples prove, for docs/scale.md
	experiments/insert docs/scale.md sums build/sums/table
	@cat build/sums/table

define experiment
.PHONY: $(1)
$(1): $(runs/$(1):%=build/%/train.report) $(runs/$(1):%=build/%/test.report)
	@experiments/table $(runs/$(1):%=build/%)
endef
$(foreach name,demo $(EXPERIMENTS),$(eval $(call experiment,$(name))))

define paper-experiment
.PHONY: $(1)
$(1): $(foreach run,$(runs/$(1)),$(call left-by,$(run)))
	@experiments/papers $(1)
endef
# The reports of a run, or the trace of one by stochastic gradients.
left-by = $(if $(baseline/$(1)),build/$(1)/trace,build/$(1)/train.report $(if $(call \
  has-part,$(firstword $(subst /, ,$(1)))/test),build/$(1)/test.report))
has-part = $(extract/$(1))$(points/$(1))$(draw/$(1))
$(foreach name,$(PAPERS),$(eval $(call paper-experiment,$(name))))
toy-2d: $(foreach run,$(runs/toy-2d),build/$(run)/regions)

.PHONY: reproduce
reproduce: $(if $(CIFAR),$(PAPERS),$(TOYS) left-out) ## the papers' experiments (without CIFAR-10, those of points)

.PHONY: left-out
left-out: $(TOYS)
	@echo
	@echo "CIFAR-10 is not here, so these were left out: $(filter-out $(TOYS),$(PAPERS))." >&2
	@echo "'make data' fetches it, or CIFAR10=DIR names where it is." >&2

.PHONY: experiments
experiments: $(EXPERIMENTS) ## our own experiments: minutes, and some 10 GB in build/

.PHONY: results
results: reproduce experiments ## both, and docs/results.md from their reports
	experiments/results $(CIFAR) > build/results.md
	echo >> build/results.md
	sed -n '/^# Tables, beside/,$$p' docs/results.md >> build/results.md
	mkdir -p docs/figures
	cp $(SHOWN:%=build/figures/small/%.png) docs/figures/
	mv build/results.md docs/results.md

# $(call step,PRODUCT,COMMAND,INPUTS): COMMAND -o PRODUCT makes PRODUCT, and makes it again when COMMAND
# itself changes, its tool, one of INPUTS, or any product that a word of COMMAND names.
step = $(call rule,$(1),$(strip $(2)),$(3))
define rule
$(1): private command := $(2)
$(1): $(filter build/% experiments/%,$(subst `, ,$(2))) $(3) $(if $(filter \
  $(TOOLS),$(firstword $(2))),$(BIN)/$(firstword $(2))) $(1).command
	$$(timed)
$(1).command: private command := $(2)
$(1).command: $(if $(call same,$(strip $(file <$(1).command)),$(2)),,FORCE)
	@mkdir -p $$(@D); echo '$$(command)' > $$@
endef
# Make 4.3 leaves some files their last newline: strip.
same = $(and $(findstring <$(1)>,<$(2)>),$(findstring <$(2)>,<$(1)>))
# A tool that is killed between naming its output and renaming it leaves a file .cn-*.
define timed
@rm -f $(@D)/.cn-*
@echo '$(command) -o $@'
@TIMEFORMAT=%3R; { time $(command) -o $@ 2>&3; } 3>&2 2>$@.seconds
$(if $(filter solve,$(firstword $(command))),@$(refuse-interrupted))
endef
# A signal that reached solve alone leaves the best point so far: no result, so make removes it.
refuse-interrupted = [ "$$(tensor show $@ | sed -n 's/^status  *//p')" != interrupted ] || \
  { echo '$@: interrupted' >&2; exit 1; }
.PHONY: FORCE

# From SET/PART, SET/PATCHES and SET/PATCHES/RUN to the steps of each.
extract-step = $(call step,build/$(1).images,cifar-extract $(extract/$(1)) $(if \
  $(call reads-cifar,$(1)),$(or $(CIFAR),CIFAR10)),$(if $(call reads-cifar,$(1)),$(BATCHES)))
reads-cifar = $(if $(filter --synthetic %.bin,$(extract/$(1))),,yes)
fit-step = $(call step,build/$(1)/train.moments,patchify --moments $(patchify/$(1)) \
  build/$(dir $(1))train.images)
like-step = $(call step,build/$(1)/$(2).moments,patchify --like build/$(1)/train.moments \
  build/$(dir $(1))$(2).images)
solve-step = $(call step,$(2)/solution,solve --trace=$(2)/trace $(solve/$(1)) $(if \
  $(findstring --path,$(solve/$(1))),--validation $(3)/validation.moments) $(3)/train.moments)
recover-step = $(call step,$(2)/network,recover $(2)/solution)
certify-step = $(call step,$(2)/train.report,evaluate --data $(3)/train.moments \
  --certify $(2)/solution --beta `cat $(2)/beta` $(2)/network)
test-step = $(call step,$(2)/test.report,evaluate --data $(3)/test.moments \
  --filters=$(2)/filters.png --confusion=$(2)/confusion.png $(2)/network)

pick-step = $(call step,build/$(1).bin,experiments/pick $(pick/$(1)) $(or $(CIFAR),CIFAR10),$(BATCHES))
draw-step = $(call step,build/$(1).csv,experiments/draw $(draw/$(1)))
points-step = $(call step,build/$(1).dataset,tensor from-csv --labels y --bias $(or \
  $(points/$(1)),build/$(1).csv))
flat-step = $(call step,build/$(1)/$(2).dataset,patchify $(if $(filter train,$(2)),$(or \
  $(dataset/$(1)),--flatten --bias),--like build/$(1)/train.dataset) build/$(1)/$(2).images)
patterns-step = $(call step,build/$(1)/arrangements,arrangements --quiet $(patterns/$(1)) \
  build/$(dir $(1))train.dataset)
train-step = $(call step,$(2)/solution,solve --trace=$(2)/trace $(train/$(1)) $(3)/arrangements)
certify-patterns-step = $(call step,$(2)/train.report,evaluate --data $(3)/arrangements \
  --certify $(2)/solution --beta `cat $(2)/beta` $(2)/network)
test-patterns-step = $(call step,$(2)/test.report,evaluate --data $(dir $(3))test.dataset $(2)/network)

cut-step = $(call step,build/$(1)/$(2).dataset,patchify $(if $(filter train,$(2)),--defer \
  $(patchify/$(1)),--like build/$(1)/train.dataset) build/$(dir $(1))$(2).images)
# $(3) holds the samples, of the kind $(4).
baseline-step = $(call step,$(2)/$(if $(filter moments,$(4)),solution,network),baseline --quiet \
  --trace=$(2)/trace $(baseline/$(1)) $(if $(call has-part,$(firstword $(subst /, ,$(1)))/test),--validation \
  $(3)/test.$(4)) $(3)/train.$(4))
samples-of = $(if $(patchify/$(patsubst %/,%,$(dir $(1)))),build/$(patsubst %/,%,$(dir $(1))),build/$(firstword \
  $(subst /, ,$(1))))
kind-for = $(if $(findstring --program,$(baseline/$(1))),moments,dataset)

names = $(patsubst $(1)/%,%,$(filter $(1)/%,$(.VARIABLES)))
$(foreach part,$(call names,extract),$(eval $(call extract-step,$(part))))
$(foreach part,$(call names,pick),$(eval $(call pick-step,$(part))))
$(foreach part,$(call names,draw),$(eval $(call draw-step,$(part))))
$(foreach part,$(sort $(call names,draw) $(call names,points)),$(eval $(call points-step,$(part))))
$(foreach patches,$(call names,patchify),\
  $(eval $(call fit-step,$(patches)))\
  $(foreach part,validation test,$(if $(extract/$(dir $(patches))$(part)),\
    $(eval $(call like-step,$(patches),$(part)))))\
  $(foreach part,train test,$(eval $(call cut-step,$(patches),$(part)))))
$(foreach run,$(call names,solve),$(foreach kind,solve recover certify test,\
  $(eval $(call $(kind)-step,$(run),build/$(run),$(patsubst %/,%,build/$(dir $(run)))))))

$(foreach set,$(sort $(patsubst %/,%,$(dir $(call names,patterns)))),\
  $(foreach part,train test,$(if $(extract/$(set)/$(part)),$(eval $(call flat-step,$(set),$(part))))))
$(foreach patterns,$(call names,patterns),$(eval $(call patterns-step,$(patterns))))
$(foreach run,$(call names,train),$(foreach kind,train recover certify-patterns test-patterns,\
  $(eval $(call $(kind)-step,$(run),build/$(run),$(patsubst %/,%,build/$(dir $(run)))))))
$(foreach run,$(call names,baseline),$(eval $(call baseline-step,$(run),build/$(run),$(call \
  samples-of,$(run)),$(call kind-for,$(run))))\
  $(eval build/$(run)/trace: build/$(run)/$(if $(filter moments,$(call kind-for,$(run))),solution,network) ; @touch -c $$@))

$(eval $(call step,build/sums/table,experiments/sums $(or $(CIFAR),CIFAR10),$(BATCHES) $(addprefix $(BIN)/,gram solve recover evaluate)))

# What a shell redirects is there before it is whole: it goes to another name, and is moved when it is.
build/%/beta: build/%/solution
	tensor show $< | sed -n 's/^beta  *//p' > $@.new
	test -s $@.new
	mv $@.new $@

# The decisions on a grid of points: x1, x2, label, decision, output.
build/%/regions: build/%/network build/toy-2d-50/test.dataset
	evaluate --data build/toy-2d-50/test.dataset --predictions $@.table $< > /dev/null
	paste <(tr , '\t' < build/toy-2d-50/test.csv | cut -f 1,2) <(cut -f 2- $@.table) > $@.new
	mv $@.new $@
	rm $@.table
