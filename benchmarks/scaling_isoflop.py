"""The scaling report on five published sets of runs at equal compute, beside their exponents.

The table and its licence: benchmarks/tables/README.md.
"""

import sys
from typing import Any

from machine import ROOT, benchmark_parser, chosen_device, print_rows, write_result

from omnimouse_cli.report.analysis import ScalingReport, analyze
from omnimouse_cli.report.csv_table import read_csv_table
from omnimouse_cli.report.frontier import fit_isoflop_exponent
from omnimouse_cli.report.table import Condition, get_compute
from omnimouse_cli.reporter import Silent

TABLE = ROOT / "benchmarks" / "tables" / "isoflop_sets.csv"
# How the best size grows with compute, by the authors' fit `basic`, and its 95 % interval.
REFERENCE = {
    "kaplan": (0.834, 0.824, 0.846),
    "last-layer": (0.701, 0.691, 0.717),
    "warmup": (0.604, 0.591, 0.617),
    "cosine": (0.571, 0.560, 0.589),
    "tuned": (0.497, 0.491, 0.505),
}


def describe(report: ScalingReport) -> dict[str, Any]:
    """Return what the report says of one set."""
    rows, law = report.table.rows, report.law
    exponent, num_levels, r2 = fit_isoflop_exponent(rows, get_compute(rows)[0])
    return {
        "rows": len(rows),
        "isoflop_exponent": exponent,
        "isoflop_levels": num_levels,
        "isoflop_r2": r2,
        "law": None
        if law is None
        else {
            "goodness": law.goodness.describe(),
            **{
                name: [one.value, one.low, one.high]
                for name, one in law.estimates.items()
                if name in ("alpha", "beta", "a_opt")
            },
        },
        "verdict": report.verdict.limit,
        "reasons": list(report.verdict.reasons),
        "warnings": list(report.warnings),
    }


def main() -> None:
    """Report on every set and write the result."""
    parser = benchmark_parser(__doc__ or "")
    parser.add_argument("--resamples", type=int, default=1000, help="resamples of each set")
    options = parser.parse_args()
    num_resamples = 10 if options.quick else options.resamples
    sets = {}
    for name, (value, low, high) in REFERENCE.items():
        table = read_csv_table(TABLE, where=[Condition(column="set", value=name, equal=True)])
        report = analyze(table, num_resamples=num_resamples, reporter=Silent())
        sets[name] = {"reference": [value, low, high], **describe(report)}
    print_rows(
        ["set", "reference", "isoFLOP", "a_opt of the law"],
        [
            [
                name,
                f"{one['reference'][0]:.3f}",
                f"{one['isoflop_exponent']:.3f}",
                f"{one['law']['a_opt'][0]:.3f}" if one["law"] else "refused",
            ]
            for name, one in sets.items()
        ],
    )
    content = {"command": " ".join(sys.argv), "resamples": num_resamples, "sets": sets}
    write_result(options.out, "scaling-isoflop", chosen_device("cpu"), content)


if __name__ == "__main__":
    main()
