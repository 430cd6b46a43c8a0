# The papers' experiments: what `make reproduce` makes. How the options work stands in rules.mk.
#
# A: Hegde, Karthik, Shubhangi and Bartan, "A convex approach to two-layer convolutional neural networks for
#    binary and multi-class classification"; B: Bian, "Convexifying neural networks"; C: Azim, "ECE 273 project:
#    convexifying neural network"; D: Pilanci, "The hidden convex optimization landscape of deep neural networks".
PAPERS := binary-cnn multiclass-cnn toy-1d toy-2d ece-1d cifar-120 cifar-200 cifar-full
# Those that need no data set.
TOYS := toy-1d toy-2d ece-1d

binary-cnn: ## the papers: airplanes against automobiles, three polynomials; the network by Adam
multiclass-cnn: ## the papers: ten classes, 2,000 images and all; the network by Adam, matrices by AMSGrad
toy-1d: ## the papers: 5, 50 and 100 points on a line, all patterns, sampled ones, ten trials of SGD
toy-2d: ## the papers: 50 points in the plane, and the regions that each network decides for
ece-1d: ## the papers: 20 and 500 points on a line, networks of 5 to 100 neurons
cifar-120: ## the papers: 120 images averaged to 100 features, 40 gates, ten trials of SGD
cifar-200: ## the papers: 200 images, all pixels, 10 gates
cifar-full: ## the papers: all 50,000 images and pixels, sampled gates beside the network by Adam

# Airplanes and automobiles: stride 4, targets -1 and 1, the beta that A names; and stride 1, targets 0 and 1,
# the beta that its costs fit. It trained its network with the learning rate 1e-3, Adam's usual one.
extract/cifar-2/train := --classes airplane,automobile
extract/cifar-2/test := --split test --classes airplane,automobile
patchify/cifar-2/f4s4 := --size 4 --stride 4
patchify/cifar-2/f4s1 := --size 4 --stride 1
define polynomial
solve/cifar-2/f4s4/a-$(1) := --activation $(1),$(2) --beta 1e-6 --gap 1e-6
solve/cifar-2/f4s1/a-$(1) := --activation $(1),$(2) --targets 0,1 --beta 1e-2 --gap 1e-6
endef
$(eval $(call polynomial,0.08,0.4$(comma)0.4))
$(eval $(call polynomial,0.09,0.5$(comma)0.47))
$(eval $(call polynomial,0.10,0.6$(comma)0.5))
baseline/cifar-2/f4s4/adam-100 := $(NEAR_RELU) --beta 1e-6 --neurons 100 --optimizer adam --epochs 30
baseline/cifar-2/f4s1/adam-100 := $(NEAR_RELU) --targets 0,1 --beta 1e-2 --neurons 100 --optimizer adam \
  --epochs 10
runs/binary-cnn := $(foreach patches,f4s4 f4s1,$(addprefix cifar-2/$(patches)/,a-0.08 a-0.09 a-0.10 adam-100))

# Ten classes by A's protocol: few images, and the test set serves to validate too. Its network has 36.5 %; its
# "convex" one is made of symmetric matrices that AMSGrad trained an image at a time.
extract/first-2000/train := --range 0:2000
extract/first-2000/validation := --split test --range 0:200
extract/first-2000/test := --split test --range 200:400
patchify/first-2000/f4s4 := --size 4 --stride 4
solve/first-2000/f4s4/path := $(NEAR_RELU) --beta 1e-2 --path 8 --gap 1e-4
FEW := $(NEAR_RELU) --beta 1e-7 --epochs 10
RATES := 1e-2 1e-3 1e-4
baseline/first-2000/f4s4/adam-100 := $(FEW) --neurons 100 --optimizer adam --batch 1
$(foreach rate,$(RATES),$(eval baseline/first-2000/f4s4/symmetric-$(rate) := $(FEW) --program symmetric \
  --optimizer amsgrad --learning-rate $(rate) --batch 1))
# And by all images.
extract/cifar-10/train := --split train
extract/cifar-10/test := --split test
patchify/cifar-10/f4s4 := --size 4 --stride 4
solve/cifar-10/f4s4/beta-1e-2 := $(NEAR_RELU) --beta 1e-2 --gap 1e-4
baseline/cifar-10/f4s4/adam-100 := $(NEAR_RELU) --beta 1e-2 --neurons 100 --optimizer adam --epochs 10
runs/multiclass-cnn := $(addprefix first-2000/f4s4/,path adam-100 $(RATES:%=symmetric-%)) \
  $(addprefix cifar-10/f4s4/,beta-1e-2 adam-100)

# Points of B, as its published code draws them (numpy, seed 123): integers with random labels. Its rate of SGD
# is 1e-6 for the sum of squares: 2e-6 n here, where half of it is divided by n; for 100 points a quarter of that,
# beyond which trials diverge from where ours begin. It names no width for 5 points.
RELU := --activation relu --beta 1e-4 --gap 1e-6
# All points a step, a row of the trace every 50 steps.
PAPER_TRIALS := --beta 1e-4 --batch 1000 --trials 10 --epochs 10000 --trace-every 50
FAST_ADAM := --optimizer adam --learning-rate 1e-2
define points
points/$(1)/train := experiments/points/$(1).csv
patterns/$(1)/exact := --exact
patterns/$(1)/gates-10000 := --sample 10000
train/$(1)/exact/relu := $(RELU)
train/$(1)/gates-10000/relu := $(RELU)
endef
$(foreach set,toy-1d-5 toy-1d-50 toy-1d-100 toy-2d-50,$(eval $(call points,$(set))))
$(foreach m,8 15 50,$(eval baseline/toy-1d-5/network/sgd-$(m) := $(PAPER_TRIALS) --neurons $(m)))
baseline/toy-1d-50/network/sgd-150 := $(PAPER_TRIALS) --neurons 150 --learning-rate 1e-4
baseline/toy-1d-50/network/adam-150 := $(PAPER_TRIALS) --neurons 150 $(FAST_ADAM)
baseline/toy-1d-100/network/sgd-200 := $(PAPER_TRIALS) --neurons 200 --learning-rate 5e-5
baseline/toy-1d-100/network/adam-200 := $(PAPER_TRIALS) --neurons 200 $(FAST_ADAM)
runs/toy-1d := toy-1d-5/exact/relu $(addprefix toy-1d-5/network/sgd-,8 15 50) \
  $(addprefix toy-1d-50/,exact/relu gates-10000/relu network/sgd-150 network/adam-150) \
  $(addprefix toy-1d-100/,exact/relu gates-10000/relu network/sgd-200 network/adam-200)

# The same of two coordinates, labelled by the distance from 0. The test part is a grid.
draw/toy-2d-50/test := --grid 121 --from -15 --to 15
baseline/toy-2d-50/network/sgd-50 := $(PAPER_TRIALS) --neurons 50 --learning-rate 1e-4
$(foreach m,8 15 50,$(eval baseline/toy-2d-50/network/adam-$(m) := $(PAPER_TRIALS) --neurons $(m) $(FAST_ADAM)))
runs/toy-2d := $(addprefix toy-2d-50/,exact/relu gates-10000/relu network/sgd-50 $(addprefix \
  network/adam-,8 15 50))

# Points of C: normal, labelled by whether they are farther than 1 from 0; 10,000 draws were its "exact".
define normal-points
draw/ece-1d-$(1)/train := --normal $(1) --seed 1
draw/ece-1d-$(1)/test := --normal $(1) --seed 2
patterns/ece-1d-$(1)/exact := --exact
patterns/ece-1d-$(1)/gates-100 := --sample 100
train/ece-1d-$(1)/exact/relu := $(RELU)
train/ece-1d-$(1)/gates-100/relu := $(RELU)
endef
$(foreach n,20 500,$(eval $(call normal-points,$(n)))$(foreach m,5 15 50 100,$(eval \
  baseline/ece-1d-$(n)/network/adam-$(m) := $(PAPER_TRIALS) --neurons $(m) --optimizer adam)))
runs/ece-1d := $(foreach n,20 500,$(addprefix ece-1d-$(n)/,exact/relu gates-100/relu $(addprefix \
  network/adam-,5 15 50 100)))

# Images of B: the training ones told by their bytes, the first 100 of the test set.
pick/cifar-120/train := experiments/cifar-120.txt
extract/cifar-120/train := --classes airplane,automobile --resize 10x10 --grayscale build/cifar-120/train.bin
extract/cifar-120/test := --split test --classes airplane,automobile --range 0:100 --resize 10x10 --grayscale
patterns/cifar-120/gates-40 := --sample 40
train/cifar-120/gates-40/relu := --activation relu --beta 1e-4 --gap 1e-4
baseline/cifar-120/network/sgd-40 := $(PAPER_TRIALS) --neurons 40
baseline/cifar-120/network/adam-40 := $(PAPER_TRIALS) --neurons 40 --optimizer adam
runs/cifar-120 := $(addprefix cifar-120/,gates-40/relu network/sgd-40 network/adam-40)

# Images of C, as torchvision reads them: pixels from 0 to 1.
extract/cifar-200/train := --classes airplane,automobile --per-class 100
extract/cifar-200/test := --split test --classes airplane,automobile --per-class 50
dataset/cifar-200 := --flatten --bias --scale 0,1
patterns/cifar-200/gates-10 := --sample 10
train/cifar-200/gates-10/relu := --activation relu --beta 1e-4 --gap 1e-4
baseline/cifar-200/network/adam-100 := --beta 1e-4 --batch 200 --trials 5 --epochs 1000 --trace-every 10 \
  --neurons 100 --optimizer adam
runs/cifar-200 := $(addprefix cifar-200/,gates-10/relu network/adam-100)

# Everything, as D: no more is known of its setting.
extract/pixels-50000/train := --split train
extract/pixels-50000/test := --split test
dataset/pixels-50000 := --flatten --bias
patterns/pixels-50000/gates-100 := --sample 100
train/pixels-50000/gates-100/gated := --activation gated-relu --group pattern --beta 4000 --gap 1e-2
baseline/pixels-50000/network/adam-100 := --activation relu --neurons 100 --beta 1e-4 --optimizer adam \
  --epochs 20 --trace-every 98
runs/cifar-full := $(addprefix pixels-50000/,gates-100/gated network/adam-100)
