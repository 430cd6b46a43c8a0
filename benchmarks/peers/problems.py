"""The problems: data, gates, loss and β, the same for every solver."""

import dataclasses

import numpy as np

from bundles import read, run, write


@dataclasses.dataclass
class Problem:
    """min over W of ℓ(Σ_i D_i X W_i) + β Σ_ic ‖W_ic‖, W_i d × C, D_i the gates' patterns; with cones for ReLU networks."""

    name: str
    data: object
    gates: int
    fraction: float
    loss: str = "squared"
    activation: str = "gated-relu"
    quick: bool = False

    @property
    def slug(self):
        return "".join(c if c.isalnum() else "-" for c in self.name).strip("-")


def standardized(x):
    deviation = x.std(0)
    return np.c_[(x - x.mean(0)) / np.where(deviation > 0, deviation, 1), np.ones(len(x))]


def bundled(name):
    """A table that scikit-learn has: X standardised with a bias, signs, targets of deviation 1, or one-hot targets."""
    from sklearn import datasets

    def make():
        table = getattr(datasets, f"load_{name}")()
        x, y = standardized(table.data.astype(float)), table.target
        if name == "diabetes":
            return x, (y - y.mean()) / y.std()
        if name == "digits":
            return x, np.eye(10)[y]
        return x, np.where(y == 0, 1.0, -1.0)

    return make


def planted(n, d):
    """Normal features with a bias, and the outputs of a random network of five neurons with noise."""
    def make():
        random = np.random.default_rng(n + d)
        x = np.c_[random.standard_normal((n, d)), np.ones(n)]
        y = np.maximum(x @ random.standard_normal((d + 1, 5)), 0) @ random.standard_normal(5) / d**0.5
        return x, y + 0.1 * random.standard_normal(n)

    return make


def pictures(folder, cifar, count=2000):
    """Airplanes against automobiles, 8 x 8 pixels, with a bias; synthetic images without CIFAR-10."""
    def make():
        images, data = folder / "cifar-2.images", folder / "cifar-2"
        choice = ["--classes", "airplane,automobile", "--range", f"0:{count}", cifar] if cifar else [
            "--classes", "0,1", "--synthetic", str(5 * count)]
        run("cifar-extract", "--resize", "8x8", *choice, "-o", images)
        run("patchify", "--flatten", "--bias", images, "-o", data)
        tensors, _ = read(data)
        return tensors["x"].astype(float).reshape(len(tensors["x"]), -1), np.where(tensors["labels"] == 0, 1.0, -1.0)

    return make


def problems(folder, cifar):
    images = pictures(folder, cifar)
    for loss in ("squared", "logistic"):
        for fraction in (0.5, 0.05, 0.005):
            yield Problem(f"CIFAR-2 8x8, {loss}, {fraction}", images, 100, fraction, loss, quick=fraction > 0.01)
    for name, loss in (("diabetes", "squared"), ("breast_cancer", "squared"), ("breast_cancer", "logistic"),
                       ("wine", "logistic")):
        for fraction in (0.5, 0.05, 0.005):
            yield Problem(f"{name.replace('_', ' ')}, {loss}, {fraction}", bundled(name), 100, fraction, loss,
                          quick=fraction == 0.05 and name != "wine")
    for fraction in (0.5, 0.05):
        yield Problem(f"digits, ten classes, {fraction}", bundled("digits"), 50, fraction, quick=fraction == 0.05)
    for n, d, gates in ((500, 20, 50), (500, 400, 50), (500, 20, 1000), (2000, 20, 50), (2000, 100, 200), (2000, 20, 1000),
                        (8000, 20, 50), (8000, 100, 50), (8000, 100, 200)):
        for fraction in (0.5, 0.05, 0.005):
            yield Problem(f"n = {n}, d = {d}, P = {gates}, {fraction}", planted(n, d), gates, fraction,
                          quick=fraction == 0.05 and gates == 50 and d == 20 and n > 500)
    for n, d, gates in ((100, 10, 50), (250, 20, 100)):
        for fraction in (0.5, 0.05):
            yield Problem(f"ReLU, n = {n}, d = {d}, P = {gates}, {fraction}", planted(n, d), gates, fraction, activation="relu",
                          quick=n == 100 and fraction == 0.05)


def prepare(problem, folder):
    """Makes the bundle of the data with their patterns, and finds β and the certified bound. Returns its folder."""
    own = folder / problem.slug
    own.mkdir(parents=True, exist_ok=True)
    done = own / "problem.npz"
    if done.exists():
        return own
    x, y = problem.data()
    ten = y.ndim == 2
    targets = {"labels": y.argmax(1).astype("<i4")} if ten else {"targets": y.reshape(-1, 1)}
    write(own / "data", {"x": x, **targets}, {"kind": "dataset", **({"classes": str([str(c) for c in range(10)]).replace("'", '"')} if ten else {})})
    run("arrangements", "--sample", problem.gates, own / "data", "-o", own / "train")
    options = ["--activation", problem.activation, "--loss", problem.loss]
    run("solve", *options, "--beta", 1e30, own / "train", "-o", own / "zero")
    beta = problem.fraction * float(read(own / "zero")[1]["beta_max"])
    run("solve", *options, "--beta", beta, "--gap", 1e-9, "--max-seconds", 120, own / "train", "-o", own / "best")
    run("recover", own / "best", "-o", own / "best.network")
    tensors, metadata = read(own / "best")
    arrangements, _ = read(own / "train")
    gates = arrangements["gates"].astype(float)
    bits = np.unpackbits(arrangements["patterns"], axis=1, bitorder="little")[:, : len(x)].astype(bool)
    np.savez(own / "new.npz", x=x, y=y.reshape(len(x), -1), gates=gates, masks=bits, beta=beta, loss=problem.loss,
             activation=problem.activation, fraction=problem.fraction, bound=float(metadata["dual_objective"]), gap=float(metadata["relative_gap"]))
    (own / "new.npz").rename(done)
    return own
