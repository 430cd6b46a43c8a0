# What other software makes of the same problems. Each program lives in an environment of its own in
# build/venv, which pip fills; what cannot be had is skipped aloud.

comma := ,

# A ReLU network on whole images, for PyTorch to load.
PYTORCH := torch==2.13.0+cpu safetensors numpy
EXAMPLE := build/pytorch
$(eval $(call step,$(EXAMPLE)/train.images,cifar-extract --resize 8x8 --classes $(if $(CIFAR),\
  airplane$(comma)automobile --range 0:500 $(CIFAR),0$(comma)1 --synthetic 1000),$(if $(CIFAR),$(BATCHES))))
$(eval $(call step,$(EXAMPLE)/train,patchify --flatten --bias $(EXAMPLE)/train.images))
$(eval $(call step,$(EXAMPLE)/arrangements,arrangements --sample 100 $(EXAMPLE)/train))
$(eval $(call step,$(EXAMPLE)/solution,solve --activation relu --beta 5 --gap 1e-4 \
  $(EXAMPLE)/arrangements))
$(eval $(call step,$(EXAMPLE)/network,recover $(EXAMPLE)/solution))
$(eval $(call step,$(EXAMPLE)/report,evaluate --data $(EXAMPLE)/arrangements \
  --certify $(EXAMPLE)/solution --beta 5 --predictions=$(EXAMPLE)/predictions $(EXAMPLE)/network))

.PHONY: pytorch-check
pytorch-check: $(EXAMPLE)/report ## whether PyTorch says what evaluate says of a ReLU network
	@if benchmarks/venv pytorch $(PYTORCH); then \
	  build/venv/pytorch/bin/python benchmarks/pytorch-network \
	    $(EXAMPLE)/train $(EXAMPLE)/network $(EXAMPLE)/predictions; \
	else echo "make: pytorch-check is skipped: pip could not install $(PYTORCH)" >&2; fi

# Networks of every kind, for python/network.py, PyTorch and ONNX.
ONNX := onnx onnxruntime onnxscript

.PHONY: network-check
network-check: $(BUILT) ## whether network.py, PyTorch and ONNX say what evaluate says of every kind of network
	@if benchmarks/venv network $(PYTORCH) $(ONNX); then build/venv/network/bin/python benchmarks/network-check build/network; \
	else echo "make: without PyTorch, NumPy alone is compared" >&2; python3 benchmarks/network-check build/network; fi

# The same networks by stochastic gradients, here and in PyTorch, one after the other: seconds of the fastest
# epoch, without those of checks.
COMPARISON := build/baseline
$(eval $(call step,$(COMPARISON)/images,cifar-extract $(if $(CIFAR),--classes airplane$(comma)automobile \
  --split train $(CIFAR),--classes 0$(comma)1 --synthetic 50000),$(if $(CIFAR),$(BATCHES))))
$(eval $(call step,$(COMPARISON)/connected,patchify --flatten $(COMPARISON)/images))
$(eval $(call step,$(COMPARISON)/convolutional,patchify --size 4 --stride 4 $(COMPARISON)/images))

.PHONY: bench-baseline
bench-baseline: $(COMPARISON)/connected $(COMPARISON)/convolutional $(BIN)/baseline ## baseline against PyTorch, time an epoch
	@if benchmarks/venv pytorch $(PYTORCH); then \
	  benchmarks/compare-baseline $(COMPARISON); \
	else echo "make: bench-baseline is skipped: pip could not install $(PYTORCH)" >&2; fi

# Of solve on fixed problems, CPU seconds against those of benchmarks/solvers.tsv, which this target writes with
# RECORD=1. They are of one machine: record them on yours before you change something.
.PHONY: bench-solvers
bench-solvers: $(BIN)/solve $(BIN)/arrangements $(BIN)/patchify $(BIN)/cifar-extract $(BIN)/tensor ## seconds of solve on fixed problems; fails if one got 1.3 times slower
	benchmarks/solvers $(if $(RECORD),--record) build/solvers benchmarks/solvers.tsv $(CIFAR)

# ReLU networks over all patterns against Adam and L-BFGS of PyTorch on the same objective, by time. With ten trials of
# each it takes five hours; TRIALS=2 gives a first look, and a run that was stopped goes on where it was.
TRIALS ?= 10
.PHONY: bench-networks
bench-networks: $(BUILT) ## objective by time of solve over all patterns, Adam and L-BFGS (hours; TRIALS=, BUDGETS=, ONLY=)
	@if benchmarks/venv networks $(PYTORCH) scikit-learn; then BIN=$(BIN) build/venv/networks/bin/python \
	  benchmarks/networks --trials $(TRIALS) $(if $(BUDGETS),--budgets $(BUDGETS)) $(if $(ONLY),--only "$(ONLY)") \
	  build/networks $(CIFAR); \
	else echo "make: bench-networks is skipped: pip could not install $(PYTORCH)" >&2; fi

# Tables that scikit-learn has, beside its own networks, linear models and forests. docs/results.md takes the table.
.PHONY: bench-tables
bench-tables: $(BUILT) ## test accuracy on small tables beside scikit-learn, into docs/results.md
	@if benchmarks/venv tables scikit-learn numpy; then \
	  BIN=$(BIN) build/venv/tables/bin/python benchmarks/tables --results docs/results.md build/tables; \
	else echo "make: bench-tables is skipped: pip could not install scikit-learn" >&2; fi

# ReLU networks proved globally optimal, on data that the program makes or scikit-learn has, beside trials of baseline.
# The table goes into docs/global.md, between its marks; a run that was stopped goes on where it was.
GLOBAL := build/global
.PHONY: bench-global
bench-global: $(BUILT) ## ReLU networks proved globally optimal: times, and Adam and SGD beside them (TRIALS=, ONLY=)
	@if benchmarks/venv global numpy scikit-learn; then BIN=$(BIN) build/venv/global/bin/python benchmarks/global \
	  --trials $(TRIALS) $(if $(ONLY),--only "$(ONLY)") $(GLOBAL) && \
	  $(if $(ONLY),true,experiments/insert docs/global.md global $(GLOBAL)/global.md); \
	else echo "make: bench-global is skipped: pip could not install scikit-learn" >&2; fi

# Other solvers and what anybody would write in PyTorch, on the same problems: seconds to a true suboptimality. The whole grid
# takes hours, and a run that was stopped goes on where it was. The table goes into docs/benchmarks.md.
PEERS := $(PYTORCH) scikit-learn adelie==1.1.52 celer==0.7.4 skglm==0.5 pyscnn==0.0.10 cvxpy==1.7.5 clarabel==0.11.1 scs==3.3.1

# $(call bench-peers,FOLDER,OPTIONS)
define bench-peers
@if benchmarks/venv peers $(PEERS); then status=0; \
  BIN=$(BIN) build/venv/peers/bin/python benchmarks/peers/peers $(2) $(1) $(CIFAR) || status=$$?; \
  $(if $(ONLY),true,[ ! -e $(1)/peers.md ] || experiments/insert docs/benchmarks.md peers $(1)/peers.md); exit $$status; \
else echo "make: the peers are skipped: pip could not install $(PEERS)" >&2; fi
endef

.PHONY: bench
bench: $(BUILT) ## solve beside other solvers, time to a true suboptimality (hours; ONLY= for problems of that name)
	$(call bench-peers,build/peers,$(if $(ONLY),--only "$(ONLY)"))

.PHONY: bench-quick
bench-quick: $(BUILT) ## ten problems of bench, in minutes
	$(call bench-peers,build/peers-quick,--quick --limit 5 --repeats 1)
