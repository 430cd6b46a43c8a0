# The papers' figures, drawn by gnuplot from what their experiments (papers.mk) left: build/figures/NAME.png and
# NAME.svg.

# $(call figure,NAME,KIND VALUES,INPUTS): experiments/figures/KIND.gp draws NAME. VALUES are NAME=VALUE, and lists
# have commas; what they name is made first, and INPUTS too.
figure = $(eval FIGURES += $(1))$(call drawing,build/figures/$(1).png,$(strip $(2)),$(3))$(call \
  drawing,build/figures/$(1).svg,$(strip $(2)),$(3))$(if $(filter $(1),$(SHOWN)),$(call \
  drawing,build/figures/small/$(1).png,$(strip $(2)) unit=1,$(3)))
drawing = $(eval $(call step,$(1),experiments/figure $(2),$(filter build/% experiments/%,$(subst $(comma), ,$(subst =, \
  ,$(2)))) $(3) experiments/figures/$(firstword $(2)).gp experiments/figures/style.gp))$(eval $(1): | gnuplot)
# Those that docs/results.md shows (of a file size that suits it).
SHOWN := toy-1d-50-objective toy-2d-50-regions ece-1d-20-function multiclass-cnn-accuracy multiclass-cnn-path \
  cifar-full-accuracy
results: $(SHOWN:%=build/figures/small/%.png)

# Beside a product, and before it, are written: the trace of solve, the picture of evaluate.
build/%/trace: build/%/solution
	@touch -c $@
build/%/filters.png: build/%/test.report
	@touch -c $@
space := $() $()
# $(call given,NAME,FILES): NAME=FILE,... where there are any.
given = $(if $(strip $(2)),$(1)=$(subst $(space),$(comma),$(strip $(2))))
runs-of = $(filter $(1)/%,$(foreach name,$(PAPERS),$(runs/$(name))))

# Objectives of the runs on each set.
objective = $(call figure,$(1)-objective,objective \
  $(call given,exact,$(patsubst %,build/%/trace,$(filter $(1)/exact/%,$(call runs-of,$(1))))) \
  $(call given,sampled,$(patsubst %,build/%/trace,$(filter $(1)/gates-%,$(call runs-of,$(1))))) \
  $(call given,trained,$(patsubst %,build/%/trace,$(filter $(1)/network/%,$(call runs-of,$(1))))),$(patsubst \
  %,build/%/train.report,$(filter $(1)/exact/% $(1)/gates-%,$(call runs-of,$(1)))))
$(foreach set,toy-1d-5 toy-1d-50 toy-1d-100 toy-2d-50 ece-1d-20 ece-1d-500 cifar-120 cifar-200,$(call objective,$(set)))

# The same of polynomials.
$(call figure,binary-cnn-objective,objective exact=build/cifar-2/f4s4/a-0.09/trace \
  trained=build/cifar-2/f4s4/adam-100/trace,build/cifar-2/f4s4/a-0.09/train.report)
$(call figure,multiclass-cnn-50000-objective,objective exact=build/cifar-10/f4s4/beta-1e-2/trace \
  trained=build/cifar-10/f4s4/adam-100/trace,build/cifar-10/f4s4/beta-1e-2/train.report)

# Networks of one number, of the points in $(2): all patterns, $(3) sampled, $(4) trained.
function = $(call figure,$(1)-function,function points=$(2) \
  $(call given,exact,build/$(1)/exact/relu/function) \
  $(call given,sampled,$(3:%=build/$(1)/%/function)) \
  $(call given,trained,$(4:%=build/$(1)/network/%/function)))$(eval $(call function-steps,$(1),$(2)))
define function-steps
$(call step,build/$(1)/line.csv,experiments/line $(2))
$(call step,build/$(1)/line.dataset,tensor from-csv --targets y --bias build/$(1)/line.csv)
build/$(1)/%/function: build/$(1)/%/network build/$(1)/line.dataset
	evaluate --data build/$(1)/line.dataset --predictions $$@.table $$< > /dev/null
	paste <(cut -d , -f 1 build/$(1)/line.csv) <(cut -f 3 $$@.table) > $$@.new
	mv $$@.new $$@
	rm $$@.table
endef
$(call function,toy-1d-5,experiments/points/toy-1d-5.csv,,sgd-8 sgd-50)
$(call function,toy-1d-50,experiments/points/toy-1d-50.csv,gates-10000/relu,sgd-150 adam-150)
$(call function,ece-1d-20,build/ece-1d-20/train.csv,gates-100/relu,adam-5 adam-100)
$(call function,ece-1d-500,build/ece-1d-500/train.csv,gates-100/relu,adam-5 adam-100)

# Networks of two.
$(call figure,toy-2d-50-regions,regions points=experiments/points/toy-2d-50.csv $(call given,runs,$(patsubst \
  %,build/toy-2d-50/%/regions,exact/relu gates-10000/relu network/sgd-50 network/adam-50)))

# Accuracies by time: of convex runs, of trained ones.
accuracy = $(call figure,$(1)-accuracy,accuracy $(call given,convex,$(2:%=build/%/test.report)) \
  $(call given,trained,$(3:%=build/%/trace)),$(2:%=build/%/train.report))
POLYNOMIALS := a-0.08 a-0.09 a-0.10
$(call accuracy,binary-cnn,$(POLYNOMIALS:%=cifar-2/f4s4/%),cifar-2/f4s4/adam-100)
$(call accuracy,binary-cnn-stride-1,$(POLYNOMIALS:%=cifar-2/f4s1/%),cifar-2/f4s1/adam-100)
$(call accuracy,multiclass-cnn,first-2000/f4s4/path,$(addprefix first-2000/f4s4/,$(RATES:%=symmetric-%) adam-100))
$(call accuracy,multiclass-cnn-50000,cifar-10/f4s4/beta-1e-2,cifar-10/f4s4/adam-100)
$(call accuracy,cifar-120,cifar-120/gates-40/relu,$(filter cifar-120/network/%,$(call runs-of,cifar-120)))
$(call accuracy,cifar-200,cifar-200/gates-10/relu,$(filter cifar-200/network/%,$(call runs-of,cifar-200)))
$(call accuracy,cifar-full,pixels-50000/gates-100/gated,pixels-50000/network/adam-100)

$(call figure,multiclass-cnn-path,path trace=build/first-2000/f4s4/path/trace)

# Confusions and filters.
confusion = $(call figure,$(1)-confusion,confusion predictions=build/$(2)/predictions classes=build/$(2)/classes)
$(call confusion,multiclass-cnn,first-2000/f4s4/path)
$(call confusion,multiclass-cnn-50000,cifar-10/f4s4/beta-1e-2)
build/%/predictions: build/%/network build/%/test.report
	evaluate --data build/$(*D)/test.moments --predictions $@ $< > /dev/null
build/%/classes: build/%/network
	tensor show $< | sed -n 's/^classes  *//p' > $@.new
	mv $@.new $@
filters = $(call figure,$(1)-filters,filters picture=build/$(2)/filters.png,build/$(2)/test.report)
$(call filters,binary-cnn,cifar-2/f4s4/a-0.09)
$(call filters,multiclass-cnn-50000,cifar-10/f4s4/beta-1e-2)

.PHONY: figures
TOY_FIGURES := $(filter $(TOYS:%=%%),$(FIGURES))
figures: $(foreach name,$(if $(CIFAR),$(FIGURES),$(TOY_FIGURES)),build/figures/$(name).png build/figures/$(name).svg)
figures: ## the papers' figures, in build/figures (without CIFAR-10, those of points)
	@$(if $(CIFAR),,echo "CIFAR-10 is not here, so these were left out: $(filter-out $(TOY_FIGURES),$(FIGURES))." >&2; \
	  echo "'make data' fetches it, or CIFAR10=DIR names where it is." >&2)

# Of a search of one's own.
TRACE ?=
TABLE ?=
PLOT ?= build/plot.png
.PHONY: plot
plot: gnuplot ## draw how a search went: TRACE=FILE of solve --trace, TABLE=FILE of --path-table, into PLOT=FILE.png or .svg
	@[ -n '$(TRACE)' ] || { echo "make: TRACE=FILE is missing, which solve --trace writes" >&2; exit 2; }; \
	folder=$$(mktemp -d); trap 'rm -r "$$folder"' EXIT; \
	take() { [ -r "$$2" ] || { echo "make: cannot read $$2, which $$1 names" >&2; exit 1; }; \
	  head -n 1 -- "$$2" | grep -q "^$$3" || { echo "make: $$2 is no table that solve $$4 writes" >&2; exit 1; }; \
	  awk '!/^#/ && NR > 1 { found = 1 } END { exit !found }' "$$2" || { echo "make: $$2 has no rows to draw" >&2; exit 1; }; \
	  ln -s -- "$$(realpath -- "$$2")" "$$folder/$$1"; }; \
	take TRACE '$(TRACE)' $$'iteration\tseconds\tprimal' --trace; table=; \
	if [ -n '$(TABLE)' ]; then take TABLE '$(TABLE)' $$'beta\tprimal' --path-table; table=path=$$folder/TABLE; fi; \
	mkdir -p "$$(dirname -- '$(PLOT)')"; \
	experiments/figure progress "trace=$$folder/TRACE" $$table -o '$(PLOT)'; echo 'drew $(PLOT)'
