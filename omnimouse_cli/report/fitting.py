"""Fits a form to rows: many starts at once, robust residuals of ln loss, polished by L-BFGS-B."""

from dataclasses import dataclass

import numpy as np

from omnimouse_cli.report.forms import Form, bounds, log_loss, natural
from omnimouse_cli.report.table import Array

HUBER_DELTA = 1e-3
NUM_STARTS = 256
MAX_STEPS = 200
# Residuals below a millionth are the arithmetic's, not the data's.
MIN_SCALE = 1e-6
# A term that is nowhere more than this share of the loss cannot be told from none.
MIN_SHARE = 1e-3
# Towards its upper bound an exponent hardly changes the fit, so it can stop a little before it.
NEAR_BOUND = 0.9


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """A form and the rows that it is fitted to.

    Args:
        form: The law.
        x: ln N and ln D, centred, (rows, 2).
        y: ln loss, (rows,).
        center: What was taken off ln N and ln D, (2,).
        low: Lowest values of the parameters.
        high: Highest values of the parameters.
        delta: Where the Huber loss turns from square to straight.
    """

    form: Form
    x: Array
    y: Array
    center: Array
    low: Array
    high: Array
    delta: float = HUBER_DELTA


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """The best parameters that were found.

    Args:
        problem: What was fitted.
        theta: Parameters for the centred data, (parameters,).
        objective: Mean Huber loss of the residuals of ln loss.
        agreeing: Share of starts that reached the same objective.
    """

    problem: Problem
    theta: Array
    objective: float
    agreeing: float

    @property
    def values(self) -> dict[str, float]:
        """Give the parameters as people write them."""
        found = natural(self.problem.form, self.theta[None], self.problem.center)
        return {name: float(value[0]) for name, value in found.items()}

    def predict(self, logarithms: Array) -> Array:
        """Give ln loss at ln N and ln D, (rows, 2) -> (rows,)."""
        centred = logarithms - self.problem.center
        predicted: Array = log_loss(self.problem.form, self.theta[None], centred)[0][0]
        return predicted

    @property
    def residuals(self) -> Array:
        """Give ln loss minus the fitted one, (rows,)."""
        problem = self.problem
        return problem.y - self.predict(problem.x + problem.center)


def make_problem(form: Form, logarithms: Array, y: Array, *, delta: float = HUBER_DELTA) -> Problem:
    """Centre the data, so that factors and exponents are little correlated.

    Args:
        form: The law.
        logarithms: ln N and ln D, (rows, 2).
        y: ln loss, (rows,).
        delta: Where the Huber loss turns from square to straight.
    """
    center = logarithms.mean(axis=0)
    x = logarithms - center
    low, high = bounds(form, x, y)
    return Problem(form=form, x=x, y=y, center=center, low=low, high=high, delta=delta)


def huber(residuals: Array, delta: float) -> Array:
    """Give r^2 / 2 up to delta, straight on beyond."""
    size = np.abs(residuals)
    return np.where(size <= delta, 0.5 * size**2, delta * (size - 0.5 * delta))


def objective(problem: Problem, theta: Array) -> tuple[float, Array]:
    """Give the mean Huber loss of one parameter vector, and its gradient.

    Args:
        problem: Form and rows.
        theta: Parameters, (parameters,).
    """
    predicted, jacobian = log_loss(problem.form, theta[None], problem.x)
    residuals = problem.y - predicted[0]
    pull = np.clip(residuals, -problem.delta, problem.delta)
    return float(huber(residuals, problem.delta).mean()), -(pull @ jacobian[0]) / len(problem.y)


def fit(problem: Problem, *, seed: int = 0, num_starts: int = NUM_STARTS) -> Fit:
    """Fit from many random starts, and polish the best end point with L-BFGS-B.

    Args:
        problem: Form and rows.
        seed: Of the starts.
        num_starts: How many.
    """
    starts = random_starts(problem, num_starts, np.random.default_rng(seed))
    weights = np.ones((len(starts), len(problem.y)))
    ends, values = descend(problem, starts, weights)
    theta, value = polish(problem, ends[int(values.argmin())])
    # Near a noiseless fit only the square of the rounding is left to compare.
    same = values <= value * 1.001 + 1e-11
    return Fit(
        problem=problem,
        theta=theta,
        objective=value,
        agreeing=float(same.mean()),
    )


def random_starts(problem: Problem, number: int, generator: np.random.Generator) -> Array:
    """Draw starts: every term between a thousandth and all of the loss, exponents 0.03 to 2."""
    names = problem.form.names
    starts = np.empty((number, len(names)))
    for column, name in enumerate(names):
        if name in ("e", "a", "b"):
            starts[:, column] = problem.y.min() - generator.uniform(0, 7, number)
        elif name == "break":
            low, high = problem.low[column], problem.high[column]
            starts[:, column] = generator.uniform(low, high, number)
        else:
            starts[:, column] = np.exp(generator.uniform(np.log(0.03), np.log(2.0), number))
    return np.clip(starts, problem.low, problem.high)


def descend(
    problem: Problem, starts: Array, weights: Array, *, max_steps: int = MAX_STEPS
) -> tuple[Array, Array]:
    """Run damped, reweighted least squares from many starts at once.

    Args:
        problem: Form and rows.
        starts: Parameter vectors, (members, parameters).
        weights: How often each row counts in each member, (members, rows).
        max_steps: Steps at most.

    Returns:
        End points, (members, parameters), and weighted means of the Huber loss, (members,).
    """
    theta = starts.copy()
    totals = weights.sum(axis=1)
    damping = np.full(len(theta), 1e-2)
    stalled = np.zeros(len(theta), dtype=int)
    predicted, jacobian = log_loss(problem.form, theta, problem.x)
    values = (huber(problem.y - predicted, problem.delta) * weights).sum(axis=1) / totals
    active = np.arange(len(theta))
    for _ in range(max_steps):
        residuals = problem.y - predicted
        influence = weights[active] * (problem.delta / np.maximum(np.abs(residuals), problem.delta))
        gradient = np.matmul((influence * residuals)[:, None, :], jacobian)[:, 0]
        curvature = np.matmul((jacobian * influence[:, :, None]).transpose(0, 2, 1), jacobian)
        gradient, curvature = _held(problem, theta[active], gradient, curvature)
        step = _damped_step(gradient, curvature, damping[active])
        tried = np.clip(theta[active] + step, problem.low, problem.high)
        new_predicted, new_jacobian = log_loss(problem.form, tried, problem.x)
        losses = huber(problem.y - new_predicted, problem.delta) * weights[active]
        new_values = losses.sum(axis=1) / totals[active]
        gain = values[active] - new_values
        better = gain > 0
        took = active[better]
        theta[took], values[took] = tried[better], new_values[better]
        predicted[better], jacobian[better] = new_predicted[better], new_jacobian[better]
        damping[active] = np.clip(damping[active] * np.where(better, 0.3, 4.0), 1e-9, 1e9)
        small = gain < 1e-7 * values[active] + 1e-16
        stalled[active] = np.where(small, stalled[active] + 1, 0)
        going = stalled[active] < 6
        if not going.any():
            break
        active, predicted, jacobian = active[going], predicted[going], jacobian[going]
    return theta, values


def _held(problem: Problem, theta: Array, gradient: Array, curvature: Array) -> tuple[Array, Array]:
    """Hold parameters that lie on a bound and are pulled outwards; the others go on."""
    outwards = (theta <= problem.low) & (gradient < 0)
    outwards |= (theta >= problem.high) & (gradient > 0)
    free = np.where(outwards, 0.0, 1.0)
    return gradient * free, curvature * free[:, :, None] * free[:, None, :]


def _damped_step(gradient: Array, curvature: Array, damping: Array) -> Array:
    """Solve for the step of every member, (members, parameters); a held parameter's is zero."""
    diagonal = np.einsum("mpp->mp", curvature)
    scale = diagonal.max(axis=1, keepdims=True)
    damped = curvature.copy()
    place = np.arange(damped.shape[1])
    raised = diagonal * (1 + damping[:, None]) + 1e-10 * scale + 1e-300
    damped[:, place, place] = np.where(diagonal == 0, 1.0, raised)
    step = np.linalg.solve(damped, gradient[:, :, None])[:, :, 0]
    return step.astype(np.float64, copy=False)


def polish(problem: Problem, theta: Array) -> tuple[Array, float]:
    """Finish one fit with SciPy's L-BFGS-B on the rescaled objective.

    The raw objective is about 1e-3, where the default tolerances stop too early.
    """
    from scipy.optimize import minimize

    # The objective here is a mean already, so a million is the million over n of the sum.
    rescale = 1e6

    def rescaled(point: Array) -> tuple[float, Array]:
        value, gradient = objective(problem, point)
        return value * rescale, gradient * rescale

    found = minimize(
        rescaled,
        theta,
        jac=True,
        method="L-BFGS-B",
        bounds=list(zip(problem.low, problem.high, strict=True)),
        options={"maxiter": 3000, "maxfun": 6000, "ftol": 1e-13, "gtol": 1e-9, "maxcor": 20},
    )
    before = objective(problem, theta)[0]
    after = float(found.fun) / rescale
    return (found.x, after) if after < before else (theta, before)


def at_bound(found: Fit) -> tuple[str, ...]:
    """Say in words which parameters ended at a bound; a term that vanishes counts as one."""
    problem, form = found.problem, found.problem.form
    said = []
    for name, value, high in zip(form.names, found.theta, problem.high, strict=True):
        if name in ("e", "a", "b", "break"):
            continue
        if value < 1e-3:
            said.append(f"{name} runs to 0")
        if value > NEAR_BOUND * high:
            said.append(f"{name} runs to {high:g}")
    predicted = log_loss(form, found.theta[None], problem.x)[0][0]
    for term in form.terms:
        place = form.names.index(term.coefficient)
        alone = Form(name="", formula="", terms=(term,))
        picked = np.array([[found.theta[form.names.index(name)] for name in alone.names]])
        share = np.exp(log_loss(alone, picked, problem.x)[0][0] - predicted).max()
        if share < MIN_SHARE or found.theta[place] <= problem.low[place]:
            said.append(f"{term.coefficient.upper()} runs to 0")
    return tuple(said)


def negative_log_likelihood(objective_sum: float, num_rows: int, delta: float) -> float:
    """Give the least negative log likelihood over the scale of the residuals.

    The density is the one whose likelihood the Huber fit maximises, proportional to
    exp(-huber(r) / s): normal for residuals well below delta, two-sided exponential well above.
    """
    from scipy.optimize import minimize_scalar
    from scipy.special import erf

    def value(log_scale: float) -> float:
        scale = np.exp(log_scale)
        inner = np.sqrt(2 * np.pi * scale) * erf(delta / np.sqrt(2 * scale))
        outer = 2 * scale / delta * np.exp(-(delta**2) / (2 * scale))
        return float(num_rows * np.log(inner + outer) + objective_sum / scale)

    smallest = np.log(0.5 * MIN_SCALE**2)
    found = minimize_scalar(value, bounds=(smallest, 2.0), method="bounded")
    return min(float(found.fun), value(float(smallest)))
