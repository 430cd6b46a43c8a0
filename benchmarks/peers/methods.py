"""How each peer trains the same program, as its documentation recommends. A method takes the problem and a tolerance of
its own and yields (seconds, weights) as often as it has something to show: P x d x C for gated networks, and pairs of such
for ReLU. What it needs apart from solving (imports, compilation on a small problem, the features D_i X) is not in its time."""

import time

import numpy as np


class Clock:
    """Seconds that were spent solving; it stands still while weights are looked at."""

    def __init__(self):
        self.spent, self.start = 0.0, time.perf_counter()

    def stop(self):
        self.spent += time.perf_counter() - self.start
        return self.spent

    def go(self):
        self.start = time.perf_counter()


def features(p):
    """[D_1 X, …, D_P X], n × P d, columns one after another."""
    n, d = p["x"].shape
    masks = p["masks"]
    result = np.empty((n, len(masks) * d), order="F")
    for i, mask in enumerate(masks):
        result[:, i * d : (i + 1) * d] = mask[:, None] * p["x"]
    return result


def stacked(p, columns):
    """Weights of each output as P × d × C."""
    return np.stack([np.asarray(w).reshape(len(p["masks"]), -1) for w in columns], axis=2)


def adelie(p, tolerance, path=1):
    import adelie as ad

    x, (n, d), groups = features(p), p["x"].shape, len(p["masks"])
    matrix = ad.matrix.dense(x, method="naive", n_threads=1)
    def fit(y):
        family = (ad.glm.gaussian(y=y, dtype=np.float64) if p["loss"] == "squared" else
                  ad.glm.binomial(y=(y > 0).astype(float), dtype=np.float64))
        target = p["beta"] / n
        lambdas = [target] if path == 1 else np.geomspace(target / p["fraction"], target, path)
        state = ad.grpnet(
            X=matrix, glm=family, groups=np.arange(groups) * d, penalty=np.ones(groups), lmda_path=lambdas, intercept=False,
            tol=tolerance, irls_tol=tolerance, early_exit=False, adev_tol=1, progress_bar=False, n_threads=1)
        return state.betas[-1].toarray().ravel()
    clock = Clock()
    weights = [fit(y) for y in p["y"].T]
    yield clock.stop(), stacked(p, weights)


def adelie_path(p, tolerance):
    yield from adelie(p, tolerance, path=20)


def celer(p, tolerance):
    import celer as package

    x, (n, d) = features(p), p["x"].shape
    def fit(x, y, alpha, group):
        model = package.GroupLasso(groups=group, alpha=alpha, tol=tolerance, fit_intercept=False)
        model.fit(x, y)
        return model.coef_
    fit(np.asfortranarray(x[:20, : 2 * d]), p["y"][:20, 0], 1.0, d)
    clock = Clock()
    weights = [fit(x, y, p["beta"] / n, d) for y in p["y"].T]
    yield clock.stop(), stacked(p, weights)


def skglm(p, tolerance):
    from skglm.datafits import LogisticGroup, QuadraticGroup
    from skglm.penalties import WeightedGroupL2
    from skglm.solvers import GroupBCD, GroupProxNewton
    from skglm.utils.data import grp_converter

    x, (n, d) = features(p), p["x"].shape
    def fit(x, y, alpha):
        indices, pointers = grp_converter(d, x.shape[1])
        penalty = WeightedGroupL2(alpha, np.ones(len(pointers) - 1), pointers, indices)
        if p["loss"] == "squared":
            return GroupBCD(tol=tolerance).solve(x, y, QuadraticGroup(pointers, indices), penalty)[0]
        return GroupProxNewton(tol=tolerance, max_iter=100).solve(x, y, LogisticGroup(pointers, indices), penalty)[0]
    # Some of what it compiles is met on larger problems only.
    fit(np.asfortranarray(x[:500]), p["y"][:500, 0].copy(), p["beta"] / n)
    clock = Clock()
    weights = [fit(x, y.copy(), p["beta"] / n) for y in p["y"].T]
    yield clock.stop(), stacked(p, weights)


def pyscnn(p, tolerance):
    import torch
    from scnn.metrics import Metrics
    from scnn.models import ConvexGatedReLU, ConvexReLU
    from scnn.optimize import optimize_model
    from scnn.regularizers import NeuronGL1
    from scnn.solvers import AL, RFISTA

    torch.set_num_threads(1)
    n, outputs = len(p["x"]), p["y"].shape[1]
    relu = p["activation"] == "relu"
    def fit(x, y, tolerance):
        model = (ConvexReLU if relu else ConvexGatedReLU)(p["gates"].T.copy(), c=y.shape[1])
        solver = AL(model, tol=tolerance, constraint_tol=tolerance) if relu else RFISTA(model, tol=tolerance, max_iters=100000)
        # Its loss is the mean of the squares, a half of it.
        return optimize_model(
            model, solver, Metrics(), x, y, regularizer=NeuronGL1(p["beta"] / n / outputs), return_convex=True,
            unitize_data=False, dtype="float64")[0]
    clock = Clock()
    model = fit(p["x"], p["y"], tolerance)
    seconds = clock.stop()
    # It drops gates whose patterns are there already, and orders the rest anew.
    places = {gate.tobytes(): i for i, gate in enumerate(p["gates"])}
    order = [places[np.ascontiguousarray(gate).tobytes()] for gate in model.G.T]
    parts = []
    for part in model.parameters:
        parts.append(np.zeros((len(places), part.shape[2], outputs)))
        parts[-1][order] = np.asarray(part).transpose(1, 2, 0)
    yield seconds, parts if relu else parts[0]


def cvxpy(p, tolerance, solver="CLARABEL"):
    import cvxpy as cp

    x, (n, d) = features(p), p["x"].shape
    groups, y = len(p["masks"]), p["y"][:, 0]
    relu = p["activation"] == "relu"
    parts = [cp.Variable((groups, d)) for _ in range(2 if relu else 1)]
    v = parts[0] - parts[1] if relu else parts[0]
    outputs = x @ cp.vec(v, order="C")
    loss = 0.5 * cp.sum_squares(outputs - y) if p["loss"] == "squared" else cp.sum(cp.logistic(cp.multiply(-y, outputs)))
    cones = [cp.multiply(np.where(mask, 1.0, -1.0), p["x"] @ part[i]) >= 0
             for part in parts for i, mask in enumerate(p["masks"])] if relu else []
    program = cp.Problem(cp.Minimize(loss + p["beta"] * sum(cp.sum(cp.norm(part, axis=1)) for part in parts)), cones)
    options = (dict(tol_gap_abs=tolerance, tol_gap_rel=tolerance, tol_feas=tolerance) if solver == "CLARABEL" else
               dict(eps_abs=tolerance, eps_rel=tolerance, max_iters=100000))
    clock = Clock()
    program.solve(solver=solver, **options)
    seconds = clock.stop()
    values = [part.value[:, :, None] for part in parts]
    yield seconds, values if relu else values[0]


def scs(p, tolerance):
    yield from cvxpy(p, tolerance, "SCS")


def weight_decay(p, optimizer):
    """min ℓ(Σ_i D_i X u_i a_i) + β/2 Σ (‖u_i‖² + a_i²), as anybody would write it in PyTorch; its own objective tells when
    it has come below a threshold."""
    import torch

    torch.set_num_threads(1)
    torch.manual_seed(0)
    x, y = torch.tensor(p["x"]), torch.tensor(p["y"])
    masks = torch.tensor(p["masks"].T.astype(float))
    n, d, groups, outputs = *x.shape, len(p["masks"]), y.shape[1]
    u = (0.1 * torch.randn(outputs, groups, d, dtype=torch.float64) / d**0.5).requires_grad_()
    a = (0.1 * torch.randn(outputs, groups, dtype=torch.float64)).requires_grad_()
    def objective():
        fitted = torch.stack([((x @ u[c].T) * masks) @ a[c] for c in range(outputs)], 1)
        loss = (0.5 * (fitted - y).square().sum() if p["loss"] == "squared" else
                torch.nn.functional.softplus(-y * fitted).sum())
        return loss + 0.5 * p["beta"] * (u.square().sum() + a.square().sum())
    def weights():
        return (u * a[:, :, None]).detach().numpy().transpose(1, 2, 0).copy()
    # What PyTorch loads at the first step of an optimizer is no part of solving.
    first = torch.ones(2, dtype=torch.float64, requires_grad=True)
    next(optimizer([first], lambda: first.square().sum()))
    clock = Clock()
    for value in optimizer([u, a], objective):
        clock.stop()
        yield clock.spent, weights(), value
        clock.go()


def lbfgs(p, tolerance):
    import torch

    def steps(parameters, objective):
        solver = torch.optim.LBFGS(parameters, max_iter=20, history_size=20, line_search_fn="strong_wolfe",
                                   tolerance_grad=0, tolerance_change=0)
        def closure():
            solver.zero_grad()
            value = objective()
            value.backward()
            return value
        while True:
            solver.step(closure)
            with torch.no_grad():
                yield float(objective())

    yield from weight_decay(p, steps)


def adam(p, rate):
    import torch

    def steps(parameters, objective):
        solver = torch.optim.Adam(parameters, lr=rate)
        while True:
            for _ in range(20):
                solver.zero_grad()
                value = objective()
                value.backward()
                solver.step()
            with torch.no_grad():
                yield float(objective())

    yield from weight_decay(p, steps)


SQUARED, ANY = ("squared",), ("squared", "logistic")
# name: method, tolerances from loose to tight (one of them its default), losses, activations, the most entries of D_i X
# that it is given, whether it takes several outputs, whether it yields as it goes.
METHODS = {
    "adelie": (adelie, (1e-4, 1e-7, 1e-10, 1e-13), ANY, ("gated-relu",), 4e8, True, False),
    "adelie, path of 20": (adelie_path, (1e-4, 1e-7, 1e-10, 1e-13), ANY, ("gated-relu",), 4e8, True, False),
    "celer": (celer, (1e-2, 1e-4, 1e-6, 1e-8), SQUARED, ("gated-relu",), 4e8, True, False),
    "skglm": (skglm, (1e-2, 1e-4, 1e-6, 1e-8), ANY, ("gated-relu",), 4e8, True, False),
    "pyscnn": (pyscnn, (1e-2, 1e-4, 1e-6, 1e-9), SQUARED, ("gated-relu", "relu"), 4e8, True, False),
    "cvxpy, Clarabel": (cvxpy, (1e-4, 1e-8), ANY, ("gated-relu", "relu"), 5e6, False, False),
    "cvxpy, SCS": (scs, (1e-3, 1e-5), ANY, ("gated-relu", "relu"), 5e6, False, False),
    "PyTorch L-BFGS": (lbfgs, (0.0,), ANY, ("gated-relu",), 4e8, True, True),
    "PyTorch Adam": (adam, (1e-1, 1e-2, 1e-3), ANY, ("gated-relu",), 4e8, True, True),
}
THRESHOLDS = (1e-2, 1e-4, 1e-6)


def applies(name, p):
    _, _, losses, activations, entries, several, _ = METHODS[name]
    return (str(p["loss"]) in losses and str(p["activation"]) in activations and (several or p["y"].shape[1] == 1)
            and p["masks"].size * p["x"].shape[1] <= entries)
