"""Two-argument units and controls on digits and on images with a known answer; writes records.

    python benchmarks/images.py --folder FOLDER

Networks that are trained already in FOLDER are kept, so an interrupted run goes on with the same
command.
"""

import shlex
import sys
from pathlib import Path

import torch
from machine import benchmark_parser, write_result

from omnimouse_cli.dendrites.images.architecture import NetworkKind
from omnimouse_cli.dendrites.images.compare import compare
from omnimouse_cli.dendrites.images.generated import GENERATED
from omnimouse_cli.dendrites.images.read import DIGITS, load_images
from omnimouse_cli.dendrites.images.settings import ComparisonSettings, shorten
from omnimouse_cli.reporter import Silent

# Kinds of networks, epochs of each session and steps of session I. Generated images are learned in
# fewer.
DATA_SETS: dict[str, tuple[tuple[NetworkKind, ...], int, int]] = {
    **dict.fromkeys(GENERATED, (("mlp",), 15, 1000)),
    DIGITS: (("mlp", "cnn"), 60, 5000),
}


def main() -> None:
    """Compare on every data set and write a record of each."""
    parser = benchmark_parser(__doc__ or "")
    parser.add_argument("--folder", type=Path, required=True, help="folder of the comparisons")
    parser.add_argument("--seeds", type=int, default=20, help="trainings of each")
    parser.add_argument("--data", choices=DATA_SETS, nargs="+", default=list(DATA_SETS))
    parser.add_argument("--networks", choices=("mlp", "cnn"), nargs="+", help="all by default")
    options = parser.parse_args()
    for data in options.data:
        networks, epochs, pretrain_steps = DATA_SETS[data]
        name = "-".join([data, *(options.networks or ())])
        settings = ComparisonSettings(
            data=data,
            networks=tuple(options.networks or networks),
            seeds=options.seeds,
            epochs=epochs,
            pretrain_steps=pretrain_steps,
            robustness=False,
        )
        report = compare(
            shorten(settings) if options.quick else settings,
            load_images(data),
            options.folder / name,
            device=torch.device("cpu"),
            reporter=Silent(),
        )
        content = {"command": shlex.join(["python", *sys.argv]), **report.to_dict()}
        write_result(options.out, f"dendrites-{name}", torch.device("cpu"), content)
        for claim in report.claims:
            print(claim.sentence)


if __name__ == "__main__":
    main()
