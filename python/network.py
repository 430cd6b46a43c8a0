#!/usr/bin/env python3
"""Networks of convex-networks in NumPy, PyTorch and ONNX.

    import network
    net = network.load("network.safetensors")       # any bundle of kind network, with NumPy alone
    net(x)                                          # outputs, n x C, of a table n x d or of images n x channels x h x w
    net.classes, net.decide(x), net.probabilities(x)
    module = net.torch()                            # the same as torch.nn.Module, in double precision

    python3 -m network export NETWORK OUT.onnx      # through torch
    python3 -m network import STATE.pt NETWORK      # two Linear layers, ReLU between them, with or without biases

Tables come as `tensor from-csv` reads them: the features in the order of `net.features`, not standardised, without the
constant of --bias. Images come as pixels from 0 to 255. What was done to the training data (patches, contrast, whitening,
mirror images, standardisation) is part of the network, and is done here; outputs have the units that the targets came in.
Patches that were cut elsewhere, n x K x d, go to `net.outputs(x, pool)`, whose outputs are those before targets are scaled
back.
"""

import json
import re
import struct
import sys

import numpy as np

_TYPES = {
    "BOOL": "?", "U8": "u1", "I8": "i1", "U16": "<u2", "I16": "<i2", "U32": "<u4", "I32": "<i4", "U64": "<u8",
    "I64": "<i8", "F16": "<f2", "F32": "<f4", "F64": "<f8",
}


def read_bundle(path):
    """The tensors and the metadata of a safetensors file."""
    with open(path, "rb") as file:
        start = file.read(8)
        if len(start) < 8:
            raise ValueError(f"{path} is no bundle: it ends after {len(start)} bytes")
        (length,) = struct.unpack("<Q", start)
        if length > 100_000_000:
            raise ValueError(f"{path} is no bundle: it claims a header of {length} bytes")
        header = json.loads(file.read(length))
        data = file.read()
    metadata = header.pop("__metadata__", {})
    tensors = {}
    for name, entry in header.items():
        begin, end = entry["data_offsets"]
        if entry["dtype"] not in _TYPES:
            raise ValueError(f"tensor {name} of {path} has the type {entry['dtype']}")
        tensors[name] = np.frombuffer(data[begin:end], _TYPES[entry["dtype"]]).reshape(entry["shape"])
    return tensors, metadata


def write_bundle(path, tensors, metadata):
    """Writes F64 and I32 tensors in the form that the tools write."""
    header, blocks, position = {}, [], 0
    if metadata:
        header["__metadata__"] = {key: metadata[key] for key in sorted(metadata)}
    for name in sorted(tensors):
        array = np.ascontiguousarray(tensors[name])
        kind = "I32" if array.dtype.kind == "i" else "F64"
        block = array.astype("<i4" if kind == "I32" else "<f8").tobytes()
        header[name] = {
            "dtype": kind, "shape": list(array.shape), "data_offsets": [position, position + len(block)]}
        blocks.append(block)
        position += len(block)
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + b"".join(blocks))


def _names(text):
    if not text:
        return None
    return json.loads(text) if text == "[]" or text.startswith('["') else text.split(",")


class Patches:
    """How patches are cut from images: scale or earlier layers, border, windows, contrast, mean, whitening, constant."""

    def __init__(self, tensors, metadata, layers=()):
        get = metadata.get
        self.image = tuple(int(metadata[key]) for key in ("channels", "height", "width"))
        self.layers = layers
        self.channels, self.height, self.width = layers[-1].map if layers else self.image
        self.low, self.high = (float(number) for number in metadata["scale"].split(","))
        flat = metadata["flatten"] == "true"
        self.size = (self.height, self.width) if flat else (int(metadata["size"]),) * 2
        self.stride = 1 if flat else int(metadata["stride"])
        self.padding = 0 if flat else int(metadata["padding"])
        self.mirror = get("mirror") == "true"
        self.contrast = None if get("contrast") is None else float(get("contrast"))
        self.magnitude = layers[-1].magnitude if layers else max(abs(self.low), abs(self.high))
        self.floor = 1e-24 * self.magnitude ** 2
        self.bias = get("bias") == "true"
        fitted = get("center") == "true" or get("whiten") is not None
        self.mean = tensors["mean"].astype(float) if fitted else None
        self.whiten = tensors["whiten"].astype(float) if get("whiten") is not None else None
        self.rows = (self.height + 2 * self.padding - self.size[0]) // self.stride + 1
        self.columns = (self.width + 2 * self.padding - self.size[1]) // self.stride + 1
        self.pool = self._regions(metadata["pool"])

    def largest(self):
        """No feature is larger."""
        size = self.channels * self.size[0] * self.size[1]
        cut = self.magnitude if self.contrast is None else np.sqrt(size)
        if self.mean is None:
            return max(1, cut)
        centred = abs(self.mean) + cut
        return max(1, np.max(centred if self.whiten is None else centred @ abs(self.whiten)))

    def _regions(self, pooling):
        """The region of each patch: row by row, then those of the mirror image."""
        if pooling == "none":
            region = np.arange(self.rows * self.columns)
        else:
            grid = int(pooling)

            def parts(total):
                ends = [total * g // grid for g in range(grid + 1)]
                return np.repeat(np.arange(grid), np.diff(ends))

            region = (parts(self.rows)[:, None] * grid + parts(self.columns)[None, :]).ravel()
        return np.concatenate([region, region]) if self.mirror else region

    def __call__(self, images):
        """n x K x d of images n x channels x height x width with pixels from 0 to 255."""
        images = np.asarray(images, float)
        if images.shape[1:] != self.image:
            raise ValueError("images are {}, expected n x {} x {} x {}".format(images.shape, *self.image))
        sides = [images, images[..., ::-1]] if self.mirror else [images]
        x = np.concatenate([self._windows(self._source(side)) for side in sides], 1)
        if self.contrast is not None:
            x = x - x.mean(2, keepdims=True)
            variance = (x * x).mean(2, keepdims=True) + self.contrast
            x = x * np.where(variance > self.floor, 1 / np.sqrt(np.maximum(variance, self.floor)), 0)
        if self.mean is not None:
            x = x - self.mean
        if self.whiten is not None:
            x = x @ self.whiten
        if self.bias:
            x = np.concatenate([x, np.ones(x.shape[:2] + (1,))], 2)
        return x

    def _source(self, images):
        """What patches are cut from: scaled pixels, or what the last of the earlier layers makes of them."""
        return self.layers[-1].maps(images) if self.layers else self.low + (self.high - self.low) * images / 255

    def _windows(self, images):
        p, s = self.padding, self.stride
        images = np.pad(images, ((0, 0), (0, 0), (p, p), (p, p)))
        windows = np.lib.stride_tricks.sliding_window_view(images, self.size, (2, 3))[:, :, ::s, ::s]
        return windows.transpose(0, 2, 3, 1, 4, 5).reshape(len(images), self.rows * self.columns, -1)


class Network:
    """A network as its bundle describes it; `net(x)` are its outputs."""

    def __init__(self, tensors, metadata, name="the network"):
        if metadata.get("kind") != "network":
            raise ValueError(f"{name} is a bundle of kind {metadata.get('kind')}, expected network (from recover)")
        # The parts of a joint network, whose outputs are added: all else is that of the first.
        self.parts = _parts(tensors, metadata, name)
        if self.parts:
            self.__dict__.update({**self.parts[0].__dict__, "parts": self.parts, "metadata": metadata})
            return
        self.metadata = metadata
        layers = _layers(tensors, metadata)
        self.activation = metadata["activation"]
        if self.activation == "quantized":
            tensors = _squares(tensors)
            self.activation = "1,0,0"
        # Layers of features come before the features, those of images before the patches.
        self.layers = [layer for layer in layers if layer.patches is None]
        self.hidden = tensors["hidden.weight"].astype(float)
        self.output = tensors["output.weight"].astype(float)
        m = len(self.hidden)
        # ReLU networks of three layers: m x K, what leads to each neuron of the second.
        self.second = None
        if "middle.weight" in tensors:
            middle = tensors["middle.weight"].astype(float)
            if metadata["activation"] == "relu":
                group = tensors["hidden.group"].astype(int)
                self.second = np.zeros((m, group.max(initial=-1) + 1))
                self.second[np.arange(m), group] = middle[0]
                self.output = self.output[:, np.unique(group, return_index=True)[1]]
            else:
                # Linear or gated networks of more than two layers: the numbers between the first and the last.
                self.output = self.output * middle.prod(0)
        self.hidden_bias = tensors.get("hidden.bias", np.zeros(m)).astype(float)
        self.output_bias = tensors.get("output.bias", np.zeros(len(self.output))).astype(float)
        self.region = tensors.get("hidden.region", np.zeros(m)).astype(int)
        self.gate = tensors["hidden.gate"].astype(float) if "hidden.gate" in tensors else None
        self.threshold = tensors.get("hidden.threshold", np.zeros(m)).astype(float)
        # Product gates: the second-layer unit of each neuron's gate, with the weights w (S x M x d) and a (S x M) of units.
        self.unit = tensors["hidden.gate.unit"].astype(int) if "hidden.gate.unit" in tensors else None
        if self.unit is not None:
            self.unit_hidden = tensors["hidden.gate.hidden"].astype(float)
            self.unit_output = tensors["hidden.gate.output"].astype(float)
        # Batch normalisation before or after the activation: weight * (t - mean) / deviation + bias.
        self.norm_place = metadata.get("batch_norm")
        self.norm = None
        if self.norm_place:
            self.norm = [tensors[f"norm.{key}"].astype(float) for key in ("weight", "bias", "mean", "deviation")]
        known = ("relu", "gated-relu", "linear", "circular")
        self.polynomial = None if self.activation in known else [float(t) for t in self.activation.split(",")]
        self.shift = tensors["shift"].astype(float) if "shift" in tensors else None
        self.divisor = tensors["divisor"].astype(float) if "divisor" in tensors else None
        self.target_shift = tensors["target_shift"].astype(float) if "target_shift" in tensors else None
        self.target_divisor = tensors["target_divisor"].astype(float) if "target_divisor" in tensors else None
        self.patches = Patches(tensors, metadata, layers) if "flatten" in metadata else None
        self.bias = metadata.get("bias") == "true"
        self.classes = _names(metadata.get("classes"))
        self.features = json.loads(metadata["features"]) if "features" in metadata else None
        self.loss = metadata.get("loss", "squared")
        two = metadata.get("targets", "-1,1" if len(self.output) == 1 else "0,1")
        self.targets = [float(t) for t in two.split(",")]

    def prepare(self, x):
        """The features n x K x d of a table or of images, as the training data had them, and the regions of patches."""
        self._expect_one_part()
        x = np.asarray(x, float)
        for layer in self.layers:
            x = layer.neurons(x)
        return self._features(x), np.zeros(1, int) if self.patches is None else self.patches.pool

    def _expect_one_part(self):
        if self.parts:
            raise ValueError("the network has several parts: ask each of net.parts, and add their outputs")

    def _features(self, x):
        if self.patches is not None:
            x = self.patches(x)
        else:
            d = self.hidden.shape[1] - self.bias
            if x.ndim != 2 or x.shape[1] != d:
                names = f": {', '.join(self.features)}" if self.features else ""
                raise ValueError(f"the table is {x.shape}, expected n x {d}{names}")
            if self.bias:
                x = np.concatenate([x, np.ones((len(x), 1))], 1)
            x = x[:, None]
        return x if self.shift is None else (x - self.shift) / self.divisor

    def outputs(self, x, pool=None):
        """Outputs n x C of features n x K x d; `pool` are the regions of the K patches, all 0 without it."""
        self._expect_one_part()
        pool = np.zeros(x.shape[1], int) if pool is None else np.asarray(pool)
        result = np.tile(self.output_bias, (len(x), 1))
        for region in np.unique(self.region):
            own = np.flatnonzero(self.region == region)
            patches = x[:, pool == region]
            pooled = self._neurons(patches, own).mean(1)
            if self.second is None:
                result += pooled @ self.output[:, own].T
            else:
                result += np.maximum(pooled @ self.second, 0) @ self.output.T
        return result

    def _neurons(self, x, own):
        t = x @ self.hidden[own].T + self.hidden_bias[own]
        if self.norm_place == "before":
            t = self._normalized(t, own)
        if self.activation == "relu":
            t = np.maximum(t, 0)
        elif self.activation == "gated-relu":
            t = np.where(x @ self.gate[own].T >= self.threshold[own], t, 0)
            if self.unit is not None:
                t = np.where(self._unit_outputs(x)[..., self.unit[own]] >= 0, t, 0)
        if self.norm_place == "after":
            t = self._normalized(t, own)
        if self.polynomial:
            a, b, c = self.polynomial
            return a * t * t + b * t + c
        return t

    def _unit_outputs(self, x):
        """The outputs n x K x S of the second-layer units of product gates."""
        s, m, d = self.unit_hidden.shape
        t = np.maximum(x @ self.unit_hidden.reshape(s * m, d).T, 0)
        return (t.reshape(t.shape[:2] + (s, m)) * self.unit_output).sum(-1)

    def _normalized(self, t, own):
        weight, bias, mean, deviation = (values[own] for values in self.norm)
        return weight * (t - mean) / deviation + bias

    def __call__(self, x, block=256):
        x = np.asarray(x)
        if not np.isfinite(np.asarray(x, float)).all():
            raise ValueError("the features hold numbers that are not finite")
        blocks = [
            sum(part.outputs(*part.prepare(x[i:i + block])) for part in self.parts or [self])
            for i in range(0, len(x), block)]
        result = np.concatenate(blocks) if blocks else np.zeros((0, len(self.output)))
        return result if self.target_shift is None else result * self.target_divisor + self.target_shift

    def decide(self, x):
        """The name of the class of each sample; its number if classes have no names."""
        outputs = self(x)
        first, second = self.targets
        if outputs.shape[1] == 1:
            number = (abs(outputs[:, 0] - second) < abs(outputs[:, 0] - first)).astype(int)
        else:
            number = np.argmax(outputs if second > first else -outputs, 1)
        return [self.classes[c] for c in number] if self.classes else list(number)

    def probabilities(self, x):
        """n x classes for the logistic and the cross-entropy loss; None for others."""
        outputs = self(x)
        sign = 1 if self.targets[1] > self.targets[0] else -1
        if self.loss == "logistic":
            own = 0.5 * (1 + np.tanh(0.5 * sign * outputs))
            return np.concatenate([1 - own, own], 1) if own.shape[1] == 1 else own / own.sum(1, keepdims=True)
        if self.loss == "cross-entropy":
            own = np.exp(outputs - outputs.max(1, keepdims=True))
            return own / own.sum(1, keepdims=True)
        return None

    def torch(self):
        """A torch.nn.Module of the same function, in double precision; `.float()` makes it single."""
        return _torch_module(self)


def _numbered(tensors, metadata, word):
    """The tensors and metadata whose names begin with `word.1.`, `word.2.`, ..., without these beginnings."""
    found = []
    while True:
        start = f"{word}.{len(found) + 1}."
        own = tuple(
            {key[len(start):]: value for key, value in all.items() if key.startswith(start)}
            for all in (tensors, metadata))
        if not any(own):
            return found
        found.append(own)


def _squares(tensors):
    """Quantised neurons (x·u)(x·v) as two that are squared, ((u + v)/2·x)² − ((u − v)/2·x)²."""
    u, v, weight = (tensors[key].astype(float) for key in ("hidden.left", "hidden.right", "output.weight"))
    return {**tensors, "hidden.weight": np.concatenate([u + v, u - v]) / 2,
            "output.weight": np.concatenate([weight, -weight], 1)}


def _parts(tensors, metadata, name):
    def common(all):
        return {key: value for key, value in all.items() if not key.startswith("part.")}

    return [
        Network({**common(tensors), **own}, {**common(metadata), **notes}, name)
        for own, notes in _numbered(tensors, metadata, "part")]


class Layer(Network):
    """The hidden layer of an earlier network, whose outputs the features of a further one are made of."""

    def __init__(self, tensors, metadata, earlier):
        outputs = {"output.weight": np.zeros((1, len(tensors["hidden.weight"])))}
        super().__init__({**tensors, **outputs}, {**metadata, "kind": "network"})
        self.average = int(metadata.get("average", 1))
        self.map = None
        if "flatten" in metadata:
            self.patches = Patches(tensors, metadata, earlier)
            p = self.patches
            self.map = (len(self.hidden), p.rows // self.average, p.columns // self.average)
            t = np.max(abs(self.hidden).sum(1) * p.largest() + abs(self.hidden_bias))
            a, b, c = self.polynomial or (0, 1, 0)
            # No output is larger: what is smaller beside it by twelve digits is rounding.
            self.magnitude = abs(a) * t * t + abs(b) * t + abs(c)

    def neurons(self, x):
        """The outputs n x m of all neurons for a table."""
        return self._neurons(self._features(x), np.arange(len(self.hidden)))[:, 0]

    def maps(self, images):
        """The outputs for the patches of images as an image n x m x height x width, averaged over squares."""
        m, height, width = self.map
        rows, columns, a = self.patches.rows, self.patches.columns, self.average
        t = self._neurons(self._features(images), np.arange(m))[:, :rows * columns]
        t = t.reshape(len(t), rows, columns, m)[:, :height * a, :width * a]
        return t.reshape(len(t), height, a, width, a, m).mean((2, 4)).transpose(0, 3, 1, 2)


def _layers(tensors, metadata):
    """The earlier layers that a bundle tells of, `after.1.` first."""
    layers = []
    for own, notes in _numbered(tensors, metadata, "after"):
        layers.append(Layer(own, notes, list(layers)))
    return layers


def load(path):
    """The network in the bundle `path`."""
    return Network(*read_bundle(path), path)


def _torch_module(net):
    import torch

    if net.parts:
        return _torch_sum(net)

    class Module(torch.nn.Module):
        """Patches by convolution with kernels of one 1 each, then matrix products: x is a table, or images of 0 to 255."""

        def __init__(self):
            super().__init__()
            p = net.patches
            earlier = net.layers if p is None else p.layers[-1:]
            self.earlier = torch.nn.ModuleList([_torch_module(layer) for layer in earlier])
            pool = np.zeros(1, int) if p is None else p.pool
            regions = (pool[:, None] == net.region[None, :]).astype(float)
            self.put("hidden", net.hidden.T)
            self.put("hidden_bias", net.hidden_bias)
            self.put("output_bias", net.output_bias)
            self.put("gate", None if net.gate is None else net.gate.T)
            self.put("threshold", net.threshold)
            if net.unit is not None:
                s, m, d = net.unit_hidden.shape
                self.put("unit_hidden", net.unit_hidden.reshape(s * m, d).T)
                # S·M x S: the output weights of each unit, at its own neurons.
                spread = np.zeros((s * m, s))
                spread[np.arange(s * m), np.repeat(np.arange(s), m)] = net.unit_output.ravel()
                self.put("unit_output", spread)
                self.register_buffer("unit", torch.tensor(net.unit))
            # K x m: the share of each patch in the average that a neuron takes.
            self.put("average", regions / np.maximum(regions.sum(0), 1))
            self.put("output", net.output.T)
            self.put("second", net.second)
            # In single precision the digits that a large mean would lose are subtracted after it.
            near = None if net.shift is None else net.shift.astype(np.float32).astype(float)
            self.put("shift", near)
            self.put("shift_rest", None if near is None else net.shift - near)
            self.norm = None
            if net.norm:
                # The order of the contract: Linear, BatchNorm1d, ReLU, Linear, or Linear, ReLU, BatchNorm1d, Linear.
                weight, bias, mean, deviation = net.norm
                self.norm = torch.nn.BatchNorm1d(len(weight), eps=0).double().eval()
                for target, value in (
                        (self.norm.weight, weight), (self.norm.bias, bias), (self.norm.running_mean, mean),
                        (self.norm.running_var, deviation ** 2)):
                    target.data.copy_(torch.tensor(value))
            self.put("divisor", net.divisor)
            self.put("target_shift", net.target_shift)
            self.put("target_divisor", net.target_divisor)
            if p is not None:
                cut = p.channels * p.size[0] * p.size[1]
                self.put("kernel", np.eye(cut).reshape(cut, p.channels, *p.size))
                self.put("mean", p.mean)
                self.put("whiten", p.whiten)

        def put(self, name, value):
            tensor = None if value is None else torch.tensor(np.ascontiguousarray(value), dtype=torch.float64)
            self.register_buffer(name, tensor)

        def cut(self, images):
            p = net.patches
            x = torch.nn.functional.pad(images, (p.padding,) * 4) if p.padding else images
            x = torch.nn.functional.conv2d(x, self.kernel, stride=p.stride)
            return x.flatten(2).transpose(1, 2)

        def source(self, x):
            for layer in self.earlier:
                x = layer.maps(x)
            p = net.patches
            return p.low + (p.high - p.low) * x / 255 if p is not None and not p.layers else x

        def prepare(self, x):
            p = net.patches
            x = x.to(self.hidden.dtype)
            if p is not None:
                sides = [x, torch.flip(x, [3])] if p.mirror else [x]
                x = torch.cat([self.cut(self.source(side)) for side in sides], 1)
                if p.contrast is not None:
                    x = x - x.mean(2, keepdim=True)
                    variance = (x * x).mean(2, keepdim=True) + p.contrast
                    # In single precision the smallest variance that is no rounding is larger.
                    floor = max(p.floor, 0 if self.hidden.dtype == torch.float64 else 1e-12)
                    x = x * torch.where(variance > floor, variance.clamp(min=floor or 1e-300).rsqrt(), 0 * variance)
                if self.mean is not None:
                    x = x - self.mean
                if self.whiten is not None:
                    x = x @ self.whiten
            else:
                x = self.source(x).unsqueeze(1)
            if net.bias:
                x = torch.cat([x, torch.ones_like(x[:, :, :1])], 2)
            return x if self.shift is None else (x - self.shift - self.shift_rest) / self.divisor

        def normalized(self, t):
            return torch.nn.functional.batch_norm(
                t.transpose(1, 2), self.norm.running_mean, self.norm.running_var, self.norm.weight, self.norm.bias,
                eps=0.0).transpose(1, 2)

        def neurons(self, x):
            """The outputs n x K x m of all neurons."""
            x = self.prepare(x)
            t = x @ self.hidden + self.hidden_bias
            if net.norm_place == "before":
                t = self.normalized(t)
            if net.activation == "relu":
                t = torch.relu(t)
            elif net.activation == "gated-relu":
                t = t * (x @ self.gate >= self.threshold)
                if net.unit is not None:
                    outputs = torch.relu(x @ self.unit_hidden) @ self.unit_output
                    t = t * (outputs >= 0)[:, :, self.unit]
            elif net.polynomial:
                a, b, c = net.polynomial
                t = a * t * t + b * t + c
            return self.normalized(t) if net.norm_place == "after" else t

        def maps(self, x):
            """Of an earlier layer: what the features, or the patches, of the next are made of."""
            t = self.neurons(x)
            p = net.patches
            if p is None:
                return t[:, 0]
            t = t[:, :p.rows * p.columns].transpose(1, 2).unflatten(2, (p.rows, p.columns))
            return torch.nn.functional.avg_pool2d(t, net.average) if net.average > 1 else t

        def forward(self, x):
            t = self.neurons(x)
            t = (t * self.average).sum(1)
            if self.second is not None:
                t = torch.relu(t @ self.second)
            return self.scaled(t @ self.output + self.output_bias)

        def scaled(self, result):
            return result if self.target_shift is None else result * self.target_divisor + self.target_shift

    return Module()


def _torch_sum(net):
    import torch

    class Sum(torch.nn.Module):
        """The parts of a joint network, whose outputs are added before targets get their units back."""

        def __init__(self):
            super().__init__()
            self.parts = torch.nn.ModuleList([_torch_module(part) for part in net.parts])

        def forward(self, x):
            first = self.parts[0]
            outputs = sum(
                (part.neurons(x) * part.average).sum(1) @ part.output + part.output_bias for part in self.parts)
            return first.scaled(outputs)

    return Sum()


def export(path, target):
    """Writes the network in the bundle `path` as ONNX: one input `x`, any number of samples, and `outputs`."""
    import logging
    import warnings

    import torch

    net = load(path)
    module = net.torch().float().eval()
    p = net.patches
    first = (net.layers or [net])[0]
    shape = (2, first.hidden.shape[1] - first.bias) if p is None else (2, *p.image)
    batch = {0: torch.export.Dim("samples")}
    # What the exporter tells of packages that are not there, and of itself, is no use here.
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module, (torch.zeros(shape),), target, input_names=["x"], output_names=["outputs"], dynamo=True,
            dynamic_shapes=(batch,), external_data=False, verbose=False)


def _natural(name):
    """The name with its numbers as numbers, for sorting."""
    return [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in re.split(r"(\d+)", name) if part]


def import_state(state, target, metadata=None, ordered=True):
    """Writes two Linear layers as a network bundle; `state` is a state dictionary: weight, bias, weight, bias. One that is
    not `ordered` is taken by the shapes of its weights, and by their names if both orders fit."""
    arrays = [(name, np.asarray(value, dtype=float)) for name, value in state.items()]
    weights = [(name, value) for name, value in arrays if value.ndim == 2]
    others = [name for name, value in arrays if value.ndim not in (1, 2)]
    if len(weights) != 2 or others:
        found = ", ".join(f"{name} {list(value.shape)}" for name, value in arrays)
        raise ValueError(f"expected the weights of two Linear layers, but there are {found}")
    pairs = [weights if ordered else sorted(weights, key=lambda pair: _natural(pair[0]))]
    pairs.append(pairs[0][::-1])
    fitting = [pair for pair in pairs if pair[1][1].shape[1] == len(pair[0][1])]
    (first, hidden), (second, output) = (fitting or pairs)[0]

    def bias(name, size):
        own = name[:-len("weight")] + "bias" if name.endswith("weight") else None
        value = dict(arrays).get(own)
        if value is not None and value.shape != (size,):
            raise ValueError(f"{own} has {value.size} numbers, expected {size}")
        return value

    b, c = bias(first, len(hidden)), bias(second, len(output))
    unused = len(arrays) - 2 - (b is not None) - (c is not None)
    if unused or output.shape[1] != len(hidden):
        found = ", ".join(f"{name} {list(value.shape)}" for name, value in arrays)
        raise ValueError(f"these are not two Linear layers one after the other: {found}")
    facts = {"kind": "network", "activation": "relu", "norm": "nuclear", "loss": "squared"}
    activation = (metadata or {}).get("activation", "relu")
    if (b is not None or c is not None) and activation not in ("relu", "gated-relu"):
        raise ValueError(f"networks of activation {activation} have no biases: append a constant feature instead")
    tensors = {"hidden.weight": hidden, "output.weight": output}
    if b is not None:
        tensors["hidden.bias"] = b
    if c is not None:
        tensors["output.bias"] = c
    facts.update(metadata or {})
    facts.setdefault("producer", "network.py")
    facts.setdefault("command", "network.py import FILE")
    write_bundle(target, tensors, facts)


def _import(arguments):
    import argparse

    parser = argparse.ArgumentParser(prog="network import", description=import_state.__doc__.split("\n")[0])
    parser.add_argument("state", help="a state dictionary that torch.save wrote, or a safetensors file of it")
    parser.add_argument("network", help="the bundle to write")
    parser.add_argument("--classes", help="the names of the classes, apart by commas")
    parser.add_argument("--targets", help="the two numbers that stand for classes, such as 0,1 (default: -1,1 for one output)")
    parser.add_argument("--loss", default="squared", help="the loss that evaluate reports (default squared)")
    options = parser.parse_args(arguments)
    ordered = False
    try:
        # The layers of a safetensors file stand in any order.
        state, _ = read_bundle(options.state)
    except (ValueError, UnicodeDecodeError, KeyError):
        import torch

        state = torch.load(options.state, map_location="cpu", weights_only=True)
        state = {name: value.detach().double().numpy() for name, value in state.items()}
        ordered = True
    facts = {"loss": options.loss}
    if options.classes:
        facts["classes"] = json.dumps(options.classes.split(","), ensure_ascii=False, separators=(",", ":"))
    if options.targets:
        facts["targets"] = options.targets
    import_state(state, options.network, facts, ordered)


def main():
    command, arguments = (sys.argv[1:2] or [""])[0], sys.argv[2:]
    try:
        if command == "export" and len(arguments) == 2:
            export(*arguments)
        elif command == "import":
            _import(arguments)
        else:
            print(__doc__)
            sys.exit(0 if command in ("-h", "--help") else 2)
    except (ValueError, OSError, KeyError, ImportError) as error:
        sys.exit(f"network: {error}")


if __name__ == "__main__":
    main()
