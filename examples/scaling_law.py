"""Simulate a grid of training runs with a known scaling law and fit it.

    python examples/scaling_law.py

A full grid with three subsets of each amount of data and two seeds gives a verdict; a corner of the
same grid does not, and the report names the missing runs. Both pages are written to the folder that
is printed at the end.
"""

import tempfile
from pathlib import Path

import numpy as np

from omnimouse_cli.report.analysis import ScalingReport, analyze
from omnimouse_cli.report.page import write_report
from omnimouse_cli.report.table import RunRow, RunTable
from omnimouse_cli.reporter import Silent

TRUTH = {"E": 1.0, "A": 20.0, "alpha": 0.35, "B": 320.0, "beta": 0.3}
SEED_NOISE = 0.002
# Runs on one subset of the data share an effect on the loss.
SUBSET_EFFECT = 0.005
NUM_SUBSETS = 3
AMOUNTS = np.geomspace(1e9, 3.2e10, 4)


def simulate_runs() -> tuple[RunRow, ...]:
    """Return 4 sizes x 4 amounts of data x 3 subsets x 2 seeds."""
    generator = np.random.default_rng(0)
    effects = generator.normal(0, SUBSET_EFFECT, (len(AMOUNTS), NUM_SUBSETS))
    return tuple(
        RunRow(
            run=f"{size:.0g}-{tokens:.0g}-{subset}-{seed}",
            source="simulated",
            parameters=float(size),
            tokens=float(tokens),
            loss=true_loss(size, tokens)
            * float(np.exp(effects[amount, subset] + generator.normal(0, SEED_NOISE))),
            seed=seed,
            subset=str(subset),
            compute=float(6 * size * tokens),
        )
        for size in np.geomspace(1e6, 1e8, 4)
        for amount, tokens in enumerate(AMOUNTS)
        for subset in range(NUM_SUBSETS)
        for seed in range(2)
    )


def true_loss(size: float, tokens: float) -> float:
    """Return the loss without noise."""
    by_size = TRUTH["A"] * size ** -TRUTH["alpha"]
    by_tokens = TRUTH["B"] * tokens ** -TRUTH["beta"]
    return TRUTH["E"] + by_size + by_tokens


def show(report: ScalingReport) -> None:
    """Print the fitted law beside the true one, the verdict and the missing runs."""
    print(f"\n{report.table.title}: {report.verdict.limit}")
    for reason in report.verdict.reasons:
        print(f"  {reason}")
    if report.law is not None:
        for name in ("E", "alpha", "beta"):
            one = report.law.estimates[name]
            print(
                f"  {name} = {one.value:.3f} ({one.low:.3f} to {one.high:.3f}), true {TRUTH[name]}"
            )
    for fact in report.facts:
        print(f"  {fact}")
    for one in report.proposals:
        print(f"  to run: N = {list(one.parameters)}, D = {list(one.tokens)}: {one.why}")


def main() -> None:
    """Fit the whole grid and a corner of it, and write both reports."""
    rows = simulate_runs()
    corner = tuple(row for row in rows if row.parameters < 1e7 and row.tokens < 4e9)
    folder = Path(tempfile.mkdtemp(prefix="scaling-law-"))
    for name, chosen in (("whole grid", rows), ("a corner of it", corner)):
        table = RunTable(title=name, rows=chosen)
        report = analyze(table, num_resamples=1000, reporter=Silent())
        show(report)
        write_report(report, folder / name.replace(" ", "-"))
    print(f"\nreports: {folder}/*/report.html")


if __name__ == "__main__":
    main()
