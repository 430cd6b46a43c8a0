"""worker.py METHOD PROBLEM TOLERANCES SECONDS OUT: runs of a peer, one for each tolerance (with commas), until one takes longer
than SECONDS. Writes the weights of each with the seconds that they took: the last ones, or of a method that yields as it goes
the first below each threshold. Each run is in OUT as soon as it ends."""

import os
import sys
import warnings

import numpy as np

from methods import METHODS, THRESHOLDS

warnings.filterwarnings("ignore")
name, path, tolerances, limit, out = sys.argv[1], sys.argv[2], sys.argv[3].split(","), float(sys.argv[4]), sys.argv[5]
p = dict(np.load(path))
for key in ("beta", "bound", "fraction"):
    p[key] = float(p[key])
for key in ("loss", "activation"):
    p[key] = str(p[key])
method, *_, flows = METHODS[name]
saved, done = {}, []
for tolerance in tolerances:
    times, weights, seconds = [], [], 0
    for seconds, w, *value in method(p, float(tolerance)):
        # A little further than asked, because the judge's number decides.
        if not flows or value[0] <= p["bound"] * (1 + 0.999 * THRESHOLDS[len(times)]):
            times.append(seconds)
            weights.append(np.asarray(w))
        if not flows or len(times) == len(THRESHOLDS) or seconds > limit:
            break
    done.append(tolerance)
    for k, (time, w) in enumerate(zip(times, weights)):
        saved[f"{tolerance} {k} seconds"], saved[f"{tolerance} {k} weights"] = time, w
    np.savez(out + ".new.npz", tolerances=done, **saved)
    os.replace(out + ".new.npz", out)
    if seconds > limit:
        break
