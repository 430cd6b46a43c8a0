# Layer after layer, and joint programs: gated networks on CIFAR-10, on the patches of images and on what the gates of an
# earlier stage respond with. Each kind of patches is a part; a program has the gates of one part, or of several.
#   build/layerwise/PART.{dataset,validation,test}, PART.arrangements    cut/PART, gates/PART
#   build/layerwise/PROGRAM/{solution,network,train.report,validation.report,test.report}
# PROGRAM is its parts with + between them. beta is chosen by the validation images, and so is the program.
LAYERWISE := build/layerwise
# Of the first 45,000 training images; the last 5,000 are for validation.
LAYERWISE_SAMPLES := 45000
LAYERWISE_GATES := 100
# By part, where it is another number.
gates/big := 250
gates/next := 150
# beta, by the validation images if there is a path of it.
LAYERWISE_BETA := --path 3 --beta 4
LAYERWISE_PROGRAMS := one wide two one+wide one+wide+two
cut/one := --size 6 --contrast 6e-4
cut/wide := --size 10 --contrast 6e-4
cut/big = $(cut/one)
cut/two := --after $(LAYERWISE)/one/network --responses --average 2 --size 3 --contrast 0.1
cut/next = $(cut/two)
LAYERWISE_CUT := --stride 1 --pool 2 --whiten 0.1 --components 24 --bias --mirror --defer

layerwise-words = $(subst +, ,$(1))
layerwise-rest = $(foreach part,$(wordlist 2,9,$(call layerwise-words,$(1))),$(2) $(LAYERWISE)/$(part).$(3))
layerwise-first = $(LAYERWISE)/$(firstword $(call layerwise-words,$(1))).$(2)
layerwise-images = $(call step,$(LAYERWISE)/$(1).images,cifar-extract $(2) $(or $(CIFAR),CIFAR10),$(BATCHES))
layerwise-cut = $(call step,$(LAYERWISE)/$(1).dataset,patchify $(cut/$(1)) $(LAYERWISE_CUT) $(LAYERWISE)/train.images)
layerwise-like = $(call step,$(LAYERWISE)/$(1).$(2),patchify --like $(LAYERWISE)/$(1).dataset $(LAYERWISE)/$(2).images)
layerwise-gates = $(call step,$(LAYERWISE)/$(1).arrangements,arrangements --quiet --sample $(or $(gates/$(1)),$(LAYERWISE_GATES)) \
  --sampler k-means --threshold 1.5 $(LAYERWISE)/$(1).dataset)
layerwise-solve = $(call step,$(LAYERWISE)/$(1)/solution,solve --activation gated-relu --group pattern $(LAYERWISE_BETA) \
  --gap 1e-2 $(if $(findstring --path,$(LAYERWISE_BETA)),--validation $(call layerwise-first,$(1),validation) \
  $(call layerwise-rest,$(1),--validation-with,validation)) \
  $(call layerwise-rest,$(1),--with,arrangements) $(call layerwise-first,$(1),arrangements))
layerwise-recover = $(call step,$(LAYERWISE)/$(1)/network,recover --unit $(LAYERWISE)/$(1)/solution)
layerwise-certify = $(call step,$(LAYERWISE)/$(1)/train.report,evaluate --data $(call layerwise-first,$(1),arrangements) \
  $(call layerwise-rest,$(1),--with,arrangements) --certify $(LAYERWISE)/$(1)/solution $(LAYERWISE)/$(1)/network)
layerwise-judge = $(call step,$(LAYERWISE)/$(1)/$(2).report,evaluate --data $(call layerwise-first,$(1),$(2)) \
  $(call layerwise-rest,$(1),--with,$(2)) $(LAYERWISE)/$(1)/network)

$(eval $(call layerwise-images,train,--range 0:$(LAYERWISE_SAMPLES)))
$(eval $(call layerwise-images,validation,--range 45000:50000))
$(eval $(call layerwise-images,test,--split test))
$(foreach part,$(sort $(foreach program,$(LAYERWISE_PROGRAMS),$(call layerwise-words,$(program)))),\
  $(eval $(call layerwise-cut,$(part)))$(eval $(call layerwise-gates,$(part)))\
  $(foreach other,validation test,$(eval $(call layerwise-like,$(part),$(other)))))
$(foreach program,$(LAYERWISE_PROGRAMS),$(foreach kind,solve recover certify,\
  $(eval $(call layerwise-$(kind),$(program))))\
  $(foreach other,validation test,$(eval $(call layerwise-judge,$(program),$(other)))))

.PHONY: layerwise
layerwise: $(foreach program,$(LAYERWISE_PROGRAMS),$(foreach report,train validation test,\
  $(LAYERWISE)/$(program)/$(report).report)) ## stages one after another, alone and in joint programs: LAYERWISE_SAMPLES=45000, LAYERWISE_GATES=100 a part
	@experiments/layerwise $(LAYERWISE) $(LAYERWISE_PROGRAMS)

# A large stack: 250 gates over 6 x 6 patches, 100 over 10 x 10, and 150 over what 100 gates over 6 x 6 patches respond with, in
# one program of all 50,000 images. At beta 8 it fits 97.4 % of the training and 76.7 % of the test images: beta is too small.
STACK := build/stack
STACK_PROGRAM := big+wide+next
STACK_BETA := 8
STACK_OPTIONS = LAYERWISE=$(STACK) LAYERWISE_SAMPLES=50000 LAYERWISE_BETA="--beta $(STACK_BETA)" \
  LAYERWISE_PROGRAMS="one $(STACK_PROGRAM)"

.PHONY: layerwise-stack layerwise-reports
layerwise-stack: ## 500 gates of three kinds in one program of all 50,000 images: STACK_BETA=8 (47 minutes, 11 GB)
	@start=$$(date +%s); $(MAKE) --no-print-directory $(STACK_OPTIONS) layerwise-reports; \
	  cat $(STACK)/$(STACK_PROGRAM)/*.report; echo "files to report: $$(( $$(date +%s) - start )) s"
layerwise-reports: $(foreach program,$(LAYERWISE_PROGRAMS),$(foreach report,train test,$(LAYERWISE)/$(program)/$(report).report))
