# The Makefile, and an experiment that `survive` kills: a path of beta on synthetic images.
extract/survival/train := --classes 0,1 --synthetic 600
extract/survival/validation := --classes 0,1 --synthetic 200 --seed 1
extract/survival/test := --classes 0,1 --synthetic 200 --split test
patchify/survival/f4s4 := --size 4 --stride 4
solve/survival/f4s4/path := --activation 0.09,0.5,0.47 --beta 0.1 --path 4 --gap 1e-3

include Makefile

.PHONY: survival
survival: build/survival/f4s4/path/train.report build/survival/f4s4/path/test.report
