"""Fitting a form to rows: Huber loss of ln loss, many starts at once, polished by L-BFGS-B."""

import math
from dataclasses import dataclass, replace

import numpy as np

from omnimouse_cli.report.forms import Form, compute_log_loss, get_bounds, to_natural_parameters
from omnimouse_cli.report.table import Array

HUBER_DELTA = 1e-3
NUM_STARTS = 256
MAX_STEPS = 200
# Residuals below a millionth are rounding errors.
MIN_SCALE = 1e-6
# A term that is nowhere more than this share of the loss cannot be distinguished from none.
MIN_SHARE = 1e-3
# Near its upper bound an exponent hardly changes the fit, so it can stop a little before it.
NEAR_BOUND = 0.9


@dataclass(frozen=True, slots=True, kw_only=True)
class FitProblem:
    """A form and the rows that it is fitted to.

    Args:
        form: Form of the law.
        x: Centered ln N and ln D, `(rows, 2)`.
        y: ln loss, `(rows,)`.
        center: Subtracted means of ln N and ln D, `(2,)`.
        low: Lowest values of the parameters.
        high: Highest values of the parameters.
        delta: Residual at which the Huber loss changes from quadratic to linear.
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
    """The best parameters.

    Args:
        problem: Form and rows.
        theta: Parameters for the centered data, `(parameters,)`.
        objective: Mean Huber loss of the residuals of ln loss.
        agreeing: Fraction of starts that reached the same objective.
    """

    problem: FitProblem
    theta: Array
    objective: float
    agreeing: float

    @property
    def values(self) -> dict[str, float]:
        """Parameters of the formula, by name."""
        problem = self.problem
        values = to_natural_parameters(problem.form, self.theta[None], problem.center)
        return {name: float(value[0]) for name, value in values.items()}

    def predict(self, log_sizes: Array) -> Array:
        """Return ln loss `(rows,)` at ln N and ln D `(rows, 2)`."""
        centered = log_sizes - self.problem.center
        predicted: Array = compute_log_loss(self.problem.form, self.theta[None], centered)[0][0]
        return predicted

    @property
    def residuals(self) -> Array:
        """Ln loss minus the fitted one, `(rows,)`."""
        problem = self.problem
        return problem.y - self.predict(problem.x + problem.center)


def make_problem(
    form: Form, log_sizes: Array, y: Array, *, delta: float = HUBER_DELTA
) -> FitProblem:
    """Center the data, so that factors and exponents are little correlated.

    Args:
        form: Form of the law.
        log_sizes: ln N and ln D, `(rows, 2)`.
        y: ln loss, `(rows,)`.
        delta: Residual at which the Huber loss changes from quadratic to linear.
    """
    center = log_sizes.mean(axis=0)
    x = log_sizes - center
    low, high = get_bounds(form, x, y)
    return FitProblem(form=form, x=x, y=y, center=center, low=low, high=high, delta=delta)


def huber_loss(residuals: Array, delta: float) -> Array:
    """Return r^2 / 2 where |r| is at most delta, and its linear continuation beyond."""
    size = np.abs(residuals)
    return np.where(size <= delta, 0.5 * size**2, delta * (size - 0.5 * delta))


def compute_objective(problem: FitProblem, theta: Array) -> tuple[float, Array]:
    """Return the mean Huber loss of parameters `(parameters,)`, and its gradient."""
    predicted, jacobian = compute_log_loss(problem.form, theta[None], problem.x)
    residuals = problem.y - predicted[0]
    pull = np.clip(residuals, -problem.delta, problem.delta)
    loss = float(huber_loss(residuals, problem.delta).mean())
    return loss, -(pull @ jacobian[0]) / len(problem.y)


def fit(problem: FitProblem, *, seed: int = 0, num_starts: int = NUM_STARTS) -> Fit:
    """Fit from many random starts, and polish the best end point with L-BFGS-B.

    Args:
        problem: Form and rows.
        seed: Seed of the starts.
        num_starts: Number of starts.
    """
    starts = draw_starts(problem, num_starts, np.random.default_rng(seed))
    weights = np.ones((len(starts), len(problem.y)))
    ends, values = minimize_batch(problem, starts, weights)
    theta, value = polish(problem, ends[int(values.argmin())])
    # Near a noiseless fit only the square of the rounding is left to compare.
    same = values <= value * 1.001 + 1e-11
    return Fit(problem=problem, theta=theta, objective=value, agreeing=float(same.mean()))


def draw_starts(problem: FitProblem, number: int, generator: np.random.Generator) -> Array:
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


def minimize_batch(
    problem: FitProblem,
    starts: Array,
    weights: Array,
    *,
    y: Array | None = None,
    max_steps: int = MAX_STEPS,
) -> tuple[Array, Array]:
    """Minimize from many starts at once, by damped and reweighted least squares.

    Args:
        problem: Form and rows.
        starts: Parameter vectors `(starts, parameters)`.
        weights: Weight of each row for each start, `(starts, rows)`.
        y: ln loss for each start, `(starts, rows)`; by default that of the problem.
        max_steps: Largest number of steps.

    Returns:
        End points `(starts, parameters)` and weighted means of the Huber loss `(starts,)`.
    """
    theta = starts.copy()
    y = np.broadcast_to(problem.y, weights.shape) if y is None else y
    totals = weights.sum(axis=1)
    damping = np.full(len(theta), 1e-2)
    stalled = np.zeros(len(theta), dtype=int)
    predicted, jacobian = compute_log_loss(problem.form, theta, problem.x)
    losses = huber_loss(y - predicted, problem.delta) * weights
    values = losses.sum(axis=1) / totals
    active = np.arange(len(theta))
    for _ in range(max_steps):
        residuals = y - predicted
        influence = weights * (problem.delta / np.maximum(np.abs(residuals), problem.delta))
        # Rows are last in memory.
        by_parameter = jacobian.transpose(0, 2, 1)
        gradient = np.matmul(by_parameter, (influence * residuals)[:, :, None])[:, :, 0]
        curvature = np.matmul(by_parameter * influence[:, None, :], jacobian)
        gradient, curvature = _freeze_at_bounds(problem, theta[active], gradient, curvature)
        step = _solve_damped(gradient, curvature, damping[active])
        tried = np.clip(theta[active] + step, problem.low, problem.high)
        new_predicted, new_jacobian = compute_log_loss(problem.form, tried, problem.x)
        losses = huber_loss(y - new_predicted, problem.delta) * weights
        new_values = losses.sum(axis=1) / totals
        gain = values[active] - new_values
        better = gain > 0
        improved = active[better]
        theta[improved], values[improved] = tried[better], new_values[better]
        predicted = np.where(better[:, None], new_predicted, predicted)
        by_parameter = np.where(
            better[:, None, None], new_jacobian.transpose(0, 2, 1), by_parameter
        )
        damping[active] = np.clip(damping[active] * np.where(better, 0.3, 4.0), 1e-9, 1e9)
        small = gain < 1e-7 * values[active] + 1e-16
        stalled[active] = np.where(small, stalled[active] + 1, 0)
        going = stalled[active] < 6
        if not going.any():
            break
        if not going.all():
            active, predicted, by_parameter = active[going], predicted[going], by_parameter[going]
            y, weights, totals = y[going], weights[going], totals[going]
        jacobian = by_parameter.transpose(0, 2, 1)
    return theta, values


def _freeze_at_bounds(
    problem: FitProblem, theta: Array, gradient: Array, curvature: Array
) -> tuple[Array, Array]:
    """Set gradient and curvature to zero for parameters on a bound that are pulled outwards."""
    outwards = (theta <= problem.low) & (gradient < 0)
    outwards |= (theta >= problem.high) & (gradient > 0)
    free = np.where(outwards, 0.0, 1.0)
    return gradient * free, curvature * free[:, :, None] * free[:, None, :]


def _solve_damped(gradient: Array, curvature: Array, damping: Array) -> Array:
    """Return the step from every start, `(starts, parameters)`, zero for frozen parameters."""
    diagonal = np.einsum("mpp->mp", curvature)
    scale = diagonal.max(axis=1, keepdims=True)
    damped = curvature.copy()
    index = np.arange(damped.shape[1])
    raised = diagonal * (1 + damping[:, None]) + 1e-10 * scale + 1e-300
    damped[:, index, index] = np.where(diagonal == 0, 1.0, raised)
    step = np.linalg.solve(damped, gradient[:, :, None])[:, :, 0]
    return step.astype(np.float64, copy=False)


def polish(problem: FitProblem, theta: Array) -> tuple[Array, float]:
    """Refine parameters with SciPy's L-BFGS-B on the rescaled objective.

    The raw objective is about 1e-3, where the default tolerances stop too early.
    """
    from scipy.optimize import minimize

    # The published scale is a million over the number of rows, for a sum; this objective is a mean.
    rescale = 1e6

    def rescaled(point: Array) -> tuple[float, Array]:
        value, gradient = compute_objective(problem, point)
        return value * rescale, gradient * rescale

    found = minimize(
        rescaled,
        theta,
        jac=True,
        method="L-BFGS-B",
        bounds=list(zip(problem.low, problem.high, strict=True)),
        options={"maxiter": 3000, "maxfun": 6000, "ftol": 1e-13, "gtol": 1e-9, "maxcor": 20},
    )
    before = compute_objective(problem, theta)[0]
    after = float(found.fun) / rescale
    return (found.x, after) if after < before else (theta, before)


def find_exponents_at_bounds(result: Fit) -> tuple[str, ...]:
    """Return in words which exponents ended at a bound."""
    problem = result.problem
    sentences = []
    for name, value, high in zip(problem.form.names, result.theta, problem.high, strict=True):
        if name in ("e", "a", "b", "break"):
            continue
        if value < 1e-3:
            sentences.append(f"{name} runs to 0")
        if value > NEAR_BOUND * high:
            sentences.append(f"{name} runs to {high:g}")
    return tuple(sentences)


def describe_bounds(result: Fit) -> tuple[str, ...]:
    """Return in words which parameters ended at a bound; a term that vanishes counts as one."""
    problem, form = result.problem, result.problem.form
    sentences = list(find_exponents_at_bounds(result))
    predicted = compute_log_loss(form, result.theta[None], problem.x)[0][0]
    for term in form.terms:
        index = form.names.index(term.coefficient)
        alone = replace(form, terms=(term,))
        theta = np.array([[result.theta[form.names.index(name)] for name in alone.names]])
        share = np.exp(compute_log_loss(alone, theta, problem.x)[0][0] - predicted).max()
        if share < MIN_SHARE or result.theta[index] <= problem.low[index]:
            sentences.append(f"{term.coefficient.upper()} runs to 0")
    return tuple(sentences)


def compute_criteria(result: Fit) -> tuple[float, float]:
    """Return AICc and BIC of a fit, from the likelihood that the Huber loss maximizes."""
    problem = result.problem
    rows, k = len(problem.y), problem.form.num_fitted
    deviance = 2 * compute_negative_log_likelihood(result.objective * rows, rows, problem.delta)
    return deviance + 2 * k + 2 * k * (k + 1) / (rows - k - 1), deviance + k * math.log(rows)


def compute_negative_log_likelihood(objective_sum: float, num_rows: int, delta: float) -> float:
    """Return the negative log likelihood, minimized over the scale of the residuals.

    The density is the one whose likelihood the Huber fit maximizes, proportional to
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
