"""How often intervals of exponents hold the truth, and how often a break is false or missed.

Simulated tables with known laws: 4 sizes x 4 amounts of data x 3 subsets x 3 seeds. Runs of one
subset share an effect on the loss. Breaks are looked for in these smooth tables, in tables with one
subset of each amount, and in learning curves with a break of the size of a published one
(four-digit addition by amount of data, ethancaballero/broken_neural_scaling_laws).
"""

import itertools
import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from machine import benchmark_parser, chosen_device, write_result

from omnimouse_cli.report.alternatives import compare_forms, find_supported_breaks
from omnimouse_cli.report.law import fit_joint_law
from omnimouse_cli.report.table import RunRow
from omnimouse_cli.reporter import Silent

TRUTH = {"E": 1.0, "A": 20.2, "alpha": 0.35, "B": 267.0, "beta": 0.3}
SIZES = tuple(np.geomspace(1e6, 1e8, 4))
SUBSET_EFFECT = 0.005
NUM_SEEDS = 3
# A share of .95 of so many tables has a standard error of .017; of 40 tables it has .034, and one
# study in eight would find 40 of 40.
NUM_DRAWS, NUM_RESAMPLES = 160, 400
# What was fitted to the published curve, and its scatter about the fit.
ADDITION = {"E": 0.416, "B": 2.205, "beta": 0.0494, "beta2": 5.9, "break": 617.0, "width": 0.0645}
ADDITION_AMOUNTS = (
    *(160, 192, 256, 320, 384, 448, 480, 512, 544),
    *(576, 608, 640, 672, 736, 800, 864, 928),
)
ADDITION_SCATTER = 0.005


@dataclass(frozen=True, slots=True, kw_only=True)
class Design:
    """One kind of smooth table.

    Args:
        noise: Standard deviation of ln loss between runs of one subset.
        num_amounts: Number of amounts of data.
        subsets: Number of subsets of each amount.
        are_named: Whether the table says which subset a run belongs to.
    """

    noise: float
    num_amounts: int = 4
    subsets: int = 3
    are_named: bool = True


COVERAGE = (Design(noise=0.002), Design(noise=0.01))
SMOOTH = (
    Design(noise=0.002),
    Design(noise=0.002, subsets=1, are_named=False),
    Design(noise=0.002, num_amounts=8, subsets=1, are_named=False),
)


def simulate(design: Design, generator: np.random.Generator) -> tuple[RunRow, ...]:
    """Return the runs of a smooth table."""
    amounts = np.geomspace(1e9, 3.2e10, design.num_amounts)
    effects = generator.normal(0, SUBSET_EFFECT, (design.num_amounts, design.subsets))
    rows = []
    for size, (number, amount), subset, seed in itertools.product(
        SIZES, enumerate(amounts), range(design.subsets), range(NUM_SEEDS)
    ):
        law = (
            TRUTH["E"]
            + TRUTH["A"] * size ** -TRUTH["alpha"]
            + TRUTH["B"] * amount ** -TRUTH["beta"]
        )
        noise = effects[number, subset] + generator.normal(0, design.noise)
        rows.append(
            RunRow(
                run=f"{size:.3g}-{amount:.3g}-{subset}-{seed}",
                source="simulated",
                parameters=float(size),
                tokens=float(amount),
                loss=float(law * math.exp(noise)),
                seed=seed,
                subset=str(subset) if design.are_named else None,
                compute=float(6 * size * amount),
            )
        )
    return tuple(rows)


def simulate_addition(generator: np.random.Generator) -> tuple[RunRow, ...]:
    """Return a learning curve with a break."""
    truth, rows = ADDITION, []
    for amount in ADDITION_AMOUNTS:
        distance = math.log(amount / truth["break"]) / truth["width"]
        beyond = truth["width"] * float(np.logaddexp(0, distance))
        falling = amount ** -truth["beta"] * math.exp(-(truth["beta2"] - truth["beta"]) * beyond)
        noise = generator.normal(0, ADDITION_SCATTER)
        rows.append(
            RunRow(
                run=str(amount),
                source="simulated",
                parameters=1e6,
                tokens=float(amount),
                loss=float((truth["E"] + truth["B"] * falling) * math.exp(noise)),
            )
        )
    return tuple(rows)


def measure_coverage(design: Design, num_draws: int, num_resamples: int) -> dict[str, Any]:
    """Return how often intervals hold the truth, and their median widths."""
    names = ("alpha", "beta", "E")
    held: dict[str, list[bool]] = {name: [] for name in names}
    widths: dict[str, list[float]] = {name: [] for name in names}
    effects, num_refused = [], 0
    for draw in range(num_draws):
        rows = simulate(design, np.random.default_rng([draw, round(1e4 * design.noise)]))
        law, _ = fit_joint_law(rows, num_resamples=num_resamples, seed=draw, reporter=Silent())
        if law is None or law.effects is None:
            num_refused += 1
            continue
        effects.append(law.effects.estimate())
        for name in names:
            one = law.estimates[name]
            held[name].append(one.low <= TRUTH[name] <= one.high)
            widths[name].append(one.high - one.low)
    return {
        **asdict(design),
        "draws": num_draws,
        "refused": num_refused,
        "coverage": {name: float(np.mean(values)) for name, values in held.items()},
        "median_width": {name: float(np.median(values)) for name, values in widths.items()},
        "subset_effect": {
            "median": float(np.median([one.value for one in effects])),
            "coverage": float(np.mean([one.low <= SUBSET_EFFECT <= one.high for one in effects])),
        },
    }


def count_breaks(
    make: Callable[[np.random.Generator], Sequence[RunRow]], num_tables: int
) -> dict[str, Any]:
    """Return in how many tables a break is supported, and where; and has a lower AICc alone."""
    places, num_supported, num_lower = [], 0, 0
    for table in range(num_tables):
        alternatives = compare_forms(make(np.random.default_rng([table, 7])), seed=table)
        found = find_supported_breaks(alternatives)
        num_supported += bool(found)
        places += [one.at for one in found]
        num_lower += any(one.delta_aicc > 4 for form in alternatives for one in form.breaks)
    return {
        "tables": num_tables,
        "supported": num_supported,
        "aicc_alone": num_lower,
        "places": places,
    }


def main() -> None:
    """Run the study and write its result."""
    parser = benchmark_parser(__doc__ or "")
    parser.add_argument("--draws", type=int, default=NUM_DRAWS, help="tables per noise")
    parser.add_argument("--resamples", type=int, default=NUM_RESAMPLES, help="resamples of each")
    parser.add_argument("--tables", type=int, default=50, help="smooth tables of each kind")
    parser.add_argument("--curves", type=int, default=10, help="learning curves with a break")
    options = parser.parse_args()
    quick = options.quick
    num_draws, num_resamples = (2, 20) if quick else (options.draws, options.resamples)
    num_tables, num_curves = (1, 1) if quick else (options.tables, options.curves)
    content: dict[str, Any] = {"truth": TRUTH, "effect": SUBSET_EFFECT, "resamples": num_resamples}
    content["command"] = " ".join(sys.argv)
    content["coverage"] = []
    for design in COVERAGE:
        content["coverage"].append(measure_coverage(design, num_draws, num_resamples))
        print(content["coverage"][-1], flush=True)
    content["breaks"] = {"true": {"truth": ADDITION, **count_breaks(simulate_addition, num_curves)}}
    print(content["breaks"]["true"], flush=True)
    content["breaks"]["smooth"] = []
    for design in SMOOTH:
        found = count_breaks(lambda generator, one=design: simulate(one, generator), num_tables)  # type: ignore[misc]
        content["breaks"]["smooth"].append({**asdict(design), **found})
        print(content["breaks"]["smooth"][-1], flush=True)
    write_result(options.out, "scaling-coverage", chosen_device("cpu"), content)


if __name__ == "__main__":
    main()
