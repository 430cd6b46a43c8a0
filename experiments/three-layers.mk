# Networks of three layers: ReLU networks of few samples to the global optimum, beside descents on the same objective, and gated
# networks on CIFAR-10 over as many product gates as half-spaces.
#   build/three-layers/points.csv, points, points.solution, points.network, points.report, descents
#   build/three-layers/{train,validation,test}, KIND/{arrangements,solution,network,train.report,test.report}
THREE := build/three-layers
# Images to train on; as many as a fifth of them choose beta, and 5,000 are for the test. 45000 is all there are.
THREE_SAMPLES ?= 2000
THREE_GATES ?= 400
three-options/half-spaces :=
three-options/products := --depth 2

$(THREE)/points.csv: experiments/three-layers
	@mkdir -p $(@D)
	experiments/three-layers points 5 2 >$@
$(call makes,$(THREE)/points,tensor from-csv $(THREE)/points.csv --targets 3,$(THREE)/points.csv)
$(call makes,$(THREE)/points.arrangements,arrangements --quiet --exact --depth 2 --width 3 $(THREE)/points)
$(call makes,$(THREE)/points.solution,solve --quiet --activation relu --beta 0.002 --gap 1e-5 $(THREE)/points.arrangements)
$(call makes,$(THREE)/points.network,recover $(THREE)/points.solution)
$(call makes,$(THREE)/points.report,evaluate --data $(THREE)/points.arrangements --certify $(THREE)/points.solution \
  $(THREE)/points.network)
$(THREE)/descents: $(THREE)/points.csv experiments/three-layers
	experiments/three-layers descents $(THREE)/points.csv 3 0.002 5 >$@.new && mv $@.new $@

three-images = $(call makes,$(THREE)/$(1).images,cifar-extract $(2) $(or $(CIFAR),CIFAR10),$(BATCHES))
$(call three-images,train,--range 0:$(THREE_SAMPLES))
$(call three-images,validation,--range 45000:$(shell expr 45000 + $(THREE_SAMPLES) / 5 '|' 45001))
$(call three-images,test,--split test --range 0:5000)
$(call makes,$(THREE)/train,patchify --size 6 --stride 1 --pool 2 --contrast 6e-4 --whiten 0.1 --components 24 --bias --defer \
  $(THREE)/train.images)
$(foreach part,validation test,$(call makes,$(THREE)/$(part),patchify --like $(THREE)/train $(THREE)/$(part).images))
define three-gates
$(call makes,$(THREE)/$(1)/arrangements,arrangements --quiet --sample $(THREE_GATES) --sampler k-means --threshold 1 \
  $(three-options/$(1)) $(THREE)/train)
$(call makes,$(THREE)/$(1)/solution,solve --activation gated-relu --group pattern --path 4 --beta 1 --gap 1e-2 \
  --validation $(THREE)/validation $(THREE)/$(1)/arrangements)
$(call makes,$(THREE)/$(1)/network,recover $(THREE)/$(1)/solution)
$(call makes,$(THREE)/$(1)/train.report,evaluate --data $(THREE)/$(1)/arrangements --certify $(THREE)/$(1)/solution \
  $(THREE)/$(1)/network)
$(call makes,$(THREE)/$(1)/test.report,evaluate --data $(THREE)/test $(THREE)/$(1)/network)
endef
THREE_KINDS := half-spaces products
$(foreach kind,$(THREE_KINDS),$(call three-gates,$(kind)))

.PHONY: three-layers
three-layers: $(BUILT) $(THREE)/points.report $(THREE)/descents $(if $(CIFAR),$(foreach kind,$(THREE_KINDS),$(foreach \
  report,train test,$(THREE)/$(kind)/$(report).report))) ## networks of three layers: certified optima, and gates of two and three on CIFAR-10 (THREE_SAMPLES=2000)
	experiments/three-layers table $(THREE) $(if $(CIFAR),$(THREE_KINDS)) >$(THREE)/table
	experiments/insert docs/results.md three-layers $(THREE)/table
	@cat $(THREE)/table
