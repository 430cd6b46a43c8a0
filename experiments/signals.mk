# Signals, a simulated system and generated pictures: `make ecg`, `make system`, `make pictures`. Each writes its table into
# docs/results.md, between its marks.

# $(call makes,PRODUCT,COMMAND,INPUTS): a step by itself.
makes = $(eval $(call step,$(1),$(2),$(3)))
# $(call judged,FOLDER,DATA,TEST): the network of FOLDER/solution, certified on DATA and judged on TEST.
judged = $(call makes,$(1)/network,recover --quiet $(1)/solution)$(call \
  makes,$(1)/train.report,evaluate --data $(2) --certify $(1)/solution $(1)/network)$(call \
  makes,$(1)/test.report,evaluate --data $(3) $(1)/network)
# $(call chosen,SET,RUN,OPTIONS,PATH,KIND): beta by the path, then all of the training part with it.
chosen = $(call makes,build/$(1)/$(2)-choice/solution,solve --quiet $(3) $(4) --validation build/$(1)/choice.dataset \
  build/$(1)/fit.$(5))$(call makes,build/$(1)/$(2)/solution,solve --quiet $(3) --beta \
  `cat build/$(1)/$(2)-choice/beta` build/$(1)/train.$(5))$(call \
  judged,build/$(1)/$(2),build/$(1)/train.$(5),build/$(1)/test.dataset)
# $(call parts,FOLDER,KIND,WINDOWS,PART=A:B ...): parts of the windows, FOLDER/PARTKIND.
part = $(firstword $(subst =, ,$(1)))
parts = $(foreach range,$(4),$(call makes,$(1)/$(call part,$(range))$(2),tensor slice --rows \
  $(lastword $(subst =, ,$(range))) $(3)))

# The talk's electrocardiogram: windows of 15 values predict the next one, the first 2,000 to train, the next 2,000 to test,
# beta by the last 400 of the first after training on the others. ecg has the values as they are, ecg-steps the changes from one
# value to the next, and as target the change from the last one: the level of the signal wanders, in the test part to where it
# was never in training.
ECG_SIGNAL := build/ecg/signal.csv
$(ECG_SIGNAL): experiments/ecg-signal
	@mkdir -p $(@D)
	experiments/ecg-signal $@
ECG_PARTS := train=0:2000 test=2000:4000 fit=0:1600 choice=1600:2000
define ecg-runs
$(call makes,build/$(1)/windows,tensor windows --length 15 $(2) --bias $(ECG_SIGNAL))
$(call parts,build/$(1),.dataset,build/$(1)/windows,$(ECG_PARTS))
$(call makes,build/$(1)/line/solution,solve --quiet --activation linear --beta 1e-6 build/$(1)/train.dataset)
$(call judged,build/$(1)/line,build/$(1)/train.dataset,build/$(1)/test.dataset)
$(foreach part,fit train,$(call makes,build/$(1)/$(part).gates,arrangements --quiet --sample 300 --open \
  build/$(1)/$(part).dataset))
$(call chosen,$(1),gated,--activation gated-relu --gap 1e-3,--path 10 --beta 0.01,gates)
$(call chosen,$(1),relu,--activation relu --gap 1e-2,--path 8 --beta 0.03,dataset)
endef
$(call ecg-runs,ecg,)
$(call ecg-runs,ecg-steps,--differences)
ECG_RUNS := $(foreach set,ecg ecg-steps,$(addprefix $(set)/,line gated relu))

$(call makes,build/ecg-steps/neurons,experiments/neurons build/ecg-steps/relu/network build/ecg-steps/test.dataset 0 720 12,\
  experiments/neurons)
neurons-figure = $(call makes,$(1),experiments/figure neurons neurons=build/ecg-steps/neurons $(2),build/ecg-steps/neurons \
  experiments/figures/neurons.gp experiments/figures/style.gp)$(eval $(1): | gnuplot)
$(call neurons-figure,build/figures/ecg-neurons.png)
$(call neurons-figure,build/figures/ecg-neurons.svg)
$(call neurons-figure,build/figures/small/ecg-neurons.png,unit=1)

.PHONY: ecg ecg-table
ecg: $(BUILT) ## an electrocardiogram: linear, gated and ReLU networks that predict it, and what their neurons look at
	@if $(MAKE) --no-print-directory $(ECG_SIGNAL); then $(MAKE) --no-print-directory ecg-table; \
	else echo "make: ecg is skipped: pip could not get the wheel scipy 1.9.3, which has the signal" >&2; fi
ecg-table: $(foreach run,$(ECG_RUNS),build/$(run)/train.report build/$(run)/test.report) \
  build/figures/small/ecg-neurons.png build/figures/ecg-neurons.svg build/figures/ecg-neurons.png
	experiments/regressions build/ecg/table \
	  'ecg/line=linear, least squares' 'ecg/gated=gated ReLU, 300 gates and the open one' 'ecg/relu=ReLU over all patterns' \
	  'ecg-steps/line=linear, least squares, of changes' 'ecg-steps/gated=gated ReLU, of changes' \
	  'ecg-steps/relu=ReLU over all patterns, of changes'
	mkdir -p docs/figures
	cp build/figures/small/ecg-neurons.png docs/figures/
	experiments/insert docs/results.md ecg build/ecg/table
	@cat build/ecg/table

# A simulated vehicle of six states and two controls in the place of a helicopter's records: windows of 7 steps of all eight,
# 56 features, predict the six states that follow; 1,620 windows to train, the next 1,620 to test, standardised.
$(call makes,build/system/signal.csv,experiments/system 3300 1,experiments/system)
$(call makes,build/system/windows,tensor windows --length 7 --targets p$(comma)q$(comma)r$(comma)u$(comma)v$(comma)w \
  build/system/signal.csv)
SYSTEM_PARTS := train=0:1620 test=1620:3240 fit=0:1300 choice=1300:1620
$(call parts,build/system,.windows,build/system/windows,$(SYSTEM_PARTS))
$(call makes,build/system/train.dataset,tensor standardize build/system/train.windows)
$(foreach part,test fit choice,$(call makes,build/system/$(part).dataset,tensor standardize --like build/system/train.dataset \
  build/system/$(part).windows))
$(foreach part,fit train,$(call makes,build/system/$(part).gates,arrangements --quiet --sample 500 --open \
  build/system/$(part).dataset))
$(call chosen,system,line,--activation linear --gap 1e-4,--path 12 --beta 1e-2,dataset)
$(call chosen,system,gated,--activation gated-relu --group pattern --gap 1e-3,--path 8 --beta 1,gates)
$(call makes,build/system/adam/network,baseline --quiet --neurons 500 --optimizer adam --epochs 300 \
  --penalty decay --beta `cat build/system/gated/beta` build/system/train.dataset)
$(call makes,build/system/adam/train.report,evaluate --data build/system/train.dataset --beta `cat build/system/gated/beta` \
  build/system/adam/network)
$(call makes,build/system/adam/test.report,evaluate --data build/system/test.dataset build/system/adam/network)
.PHONY: system
system: $(foreach run,line gated adam,build/system/$(run)/train.report build/system/$(run)/test.report) ## a simulated vehicle: 1,620 windows of 56 features, six outputs, 500 gates
	experiments/regressions build/system/table 'system/line=linear' 'system/gated=gated ReLU, 500 gates and the open one' \
	  'system/adam=ReLU, 500 neurons by Adam, 300 epochs'
	experiments/insert docs/results.md system build/system/table
	@cat build/system/table

# Pictures of a class: a Wasserstein GAN with quadratic discriminators, in stages and at once, 256 new images of each.
PICTURED := horse
PICTURES := build/pictures/$(PICTURED)
$(call makes,$(PICTURES)/train.images,cifar-extract --classes $(PICTURED) $(or $(CIFAR),CIFAR10),$(BATCHES))
# beta is about the 48th largest eigenvalue, of all that images of 4 x 4 pixels can have.
PICTURE_BETA := --beta 28500 --samples 256
generated-run = $(call makes,$(PICTURES)/$(1).images,generate --quiet $(2) $(PICTURE_BETA) --report=$(PICTURES)/$(1).parts \
  --contact-sheet=$(PICTURES)/$(1).png $(PICTURES)/train.images)$(call \
  makes,$(PICTURES)/$(1).report,evaluate $(PICTURES)/$(1).images $(PICTURES)/train.images)
$(call generated-run,staged,--stages 4$(comma)8$(comma)16$(comma)32)
$(call generated-run,linear,--generator linear --latent 64)
$(call generated-run,relu,--generator relu --latent 16)
$(call generated-run,free,--generator free)
.PHONY: pictures
ifeq ($(CIFAR),)
pictures:
	@echo "make: pictures is skipped: CIFAR-10 is not here; 'make data' fetches it, or CIFAR10=DIR names where it is" >&2
else
pictures: $(foreach run,staged linear relu free,$(PICTURES)/$(run).report) ## images like those of a class of CIFAR-10, generated in closed form, in stages
	experiments/generated build/pictures/table $(foreach run,staged linear relu free,$(PICTURES)/$(run))
	mkdir -p docs/figures
	cp $(PICTURES)/staged.png docs/figures/pictures.png
	experiments/insert docs/results.md pictures build/pictures/table
	@cat build/pictures/table
endif
