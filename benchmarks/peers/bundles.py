"""Bundles (safetensors files with metadata) in NumPy, and the tools that read and write them."""

import json
import os
import pathlib
import resource
import subprocess
import time

import numpy as np

TOOLS = pathlib.Path(os.environ.get("BIN", ".build/release"))
TYPES = {"F64": "<f8", "F32": "<f4", "I32": "<i4", "U8": "u1", "I8": "i1"}
NAMES = {np.dtype(value): key for key, value in TYPES.items()}


def read(path):
    """The tensors and the metadata of a bundle."""
    raw = pathlib.Path(path).read_bytes()
    length = int.from_bytes(raw[:8], "little")
    header = json.loads(raw[8 : 8 + length])
    metadata = header.pop("__metadata__", {})
    start = 8 + length
    return {
        name: np.frombuffer(raw[start + entry["data_offsets"][0] : start + entry["data_offsets"][1]],
                            TYPES[entry["dtype"]]).reshape(entry["shape"])
        for name, entry in header.items()}, metadata


def write(path, tensors, metadata):
    header, offset = {"__metadata__": metadata}, 0
    arrays = {name: np.ascontiguousarray(array) for name, array in tensors.items()}
    for name, array in arrays.items():
        header[name] = {"dtype": NAMES[array.dtype], "shape": array.shape,
                        "data_offsets": [offset, offset + array.nbytes]}
        offset += array.nbytes
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    pathlib.Path(path).write_bytes(len(text).to_bytes(8, "little") + text + b"".join(a.tobytes() for a in arrays.values()))


def run(tool, *arguments):
    """What a tool wrote to standard output."""
    done = subprocess.run([TOOLS / tool, "--quiet", *map(str, arguments)], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{tool} {' '.join(map(str, arguments))}: {done.stderr.strip()}")
    return done.stdout


def timed(tool, *arguments):
    """The wall and the CPU seconds of a whole process."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    run(tool, *arguments)
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def report(text):
    """The rows of evaluate's report."""
    return dict(line.split("\t", 1) for line in text.splitlines() if "\t" in line)
