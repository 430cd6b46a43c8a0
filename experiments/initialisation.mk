# What gradient descent without regularisation tends to, and what the scale of its first weights does: `make margin`, `make
# spline`. Each writes its table into docs/results.md, between its marks, and a picture beside it.

# Classes that are orthogonally separable, logistic loss: the norm of the network over its margin tends to the least there is,
# which solve --margin certifies.
$(call makes,build/margin/train.csv,experiments/orthogonal 20 4 --seed 3,experiments/orthogonal)
$(call makes,build/margin/train.dataset,tensor from-csv --targets y build/margin/train.csv)
$(call makes,build/margin/arrangements,arrangements --quiet --exact build/margin/train.dataset)
$(call makes,build/margin/optimum/solution,solve --quiet --activation relu --margin --gap 1e-6 build/margin/arrangements)
$(call makes,build/margin/optimum/network,recover --quiet build/margin/optimum/solution)
$(call makes,build/margin/optimum/train.report,evaluate --data build/margin/arrangements --certify build/margin/optimum/solution \
  build/margin/optimum/network)
MARGIN_SCALES := 0.1 0.3 1
MARGIN_STEPS := 30 100 300 1000 3000 10000 30000 100000 300000 1000000 3000000
# $(call margin-runs,SCALE): the networks after so many steps, each from the beginning, and their table.
define margin-runs
$(foreach steps,$(MARGIN_STEPS),$(call makes,build/margin/$(1)/$(steps)/network,baseline --quiet --neurons 50 --loss logistic --beta 0 \
  --penalty decay --init-scale $(1) --learning-rate 1 --momentum 0 --batch 20 --epochs $(steps) build/margin/train.dataset))
$(call makes,build/margin/$(1)/margins,experiments/margins build/margin/train.dataset \
  $(MARGIN_STEPS:%=build/margin/$(1)/%/network),experiments/margins)
endef
$(foreach scale,$(MARGIN_SCALES),$(call margin-runs,$(scale)))

# Points on a line: the interpolating network of the smallest norm is a linear spline, and so are those that descent finds
# from small weights; from large ones they are others.
$(call makes,build/spline/train.dataset,tensor from-csv --targets y --bias experiments/points/spline.csv)
$(call makes,build/spline/line.csv,experiments/line experiments/points/spline.csv,experiments/line)
$(call makes,build/spline/line.dataset,tensor from-csv --targets y --bias build/spline/line.csv)
$(call makes,build/spline/arrangements,arrangements --quiet --exact build/spline/train.dataset)
$(call makes,build/spline/optimum/solution,solve --quiet --activation relu --interpolate --gap 1e-6 build/spline/arrangements)
$(call makes,build/spline/optimum/network,recover --quiet build/spline/optimum/solution)
$(call makes,build/spline/optimum/train.report,evaluate --data build/spline/arrangements --certify build/spline/optimum/solution \
  build/spline/optimum/network)
# A step of descent may be as large as the square of the weights is small.
SPLINE_SCALES := 0.01=0.02 0.03=0.02 0.1=0.02 0.3=0.02 1=0.02 3=0.002 10=0.0002
scale-of = $(firstword $(subst =, ,$(1)))
$(foreach run,$(SPLINE_SCALES),$(call makes,build/spline/$(call scale-of,$(run))/network,baseline --quiet --neurons 500 --beta 0 \
  --penalty decay --init-scale $(call scale-of,$(run)) --learning-rate $(lastword $(subst =, ,$(run))) --batch 5 --epochs 100000 \
  build/spline/train.dataset))
$(call makes,build/spline/deviations,experiments/deviations build/spline/line.dataset build/spline/train.dataset \
  build/spline/optimum/network $(foreach run,$(SPLINE_SCALES),build/spline/$(call scale-of,$(run))/network),experiments/deviations)

margin-figure = $(call makes,$(1),experiments/figure margin optimum=build/margin/optimum/train.report \
  $(call given,runs,$(MARGIN_SCALES:%=build/margin/%/margins)) $(2),build/margin/optimum/train.report \
  $(MARGIN_SCALES:%=build/margin/%/margins) experiments/figures/margin.gp experiments/figures/style.gp)$(eval $(1): | gnuplot)
spline-figure = $(call makes,$(1),experiments/figure spline deviations=build/spline/deviations \
  points=experiments/points/spline.csv $(2),build/spline/deviations experiments/figures/spline.gp \
  experiments/figures/style.gp)$(eval $(1): | gnuplot)
$(foreach name,margin spline,$(call $(name)-figure,build/figures/$(name).png)$(call \
  $(name)-figure,build/figures/$(name).svg)$(call $(name)-figure,build/figures/small/$(name).png,unit=1))

.PHONY: margin spline
margin: $(BUILT) build/margin/optimum/train.report build/figures/small/margin.png build/figures/margin.svg build/figures/margin.png ## gradient descent without regularisation tends to the certified margin
	experiments/margin-table build/margin/table build/margin/optimum/train.report $(MARGIN_SCALES:%=build/margin/%/margins)
	mkdir -p docs/figures
	cp build/figures/small/margin.png docs/figures/
	experiments/insert docs/results.md margin build/margin/table
	@cat build/margin/table
spline: $(BUILT) build/spline/optimum/train.report build/figures/small/spline.png build/figures/spline.svg build/figures/spline.png ## how far descent ends from the certified spline, by the scale of its first weights
	experiments/spline-table build/spline/table build/spline/optimum/train.report build/spline/deviations
	mkdir -p docs/figures
	cp build/figures/small/spline.png docs/figures/
	experiments/insert docs/results.md spline build/spline/table
	@cat build/spline/table
