"""The whole path on a simulated mouse, on a CPU, in minutes: what `make demo` runs.

Every step is a command that you could type. The folder keeps all results, and a second run
continues where the first one stopped. `--quick` runs the same commands at a scale too small for
good scores.
"""

import argparse
import subprocess
import sys
import time
from pathlib import Path

COMMANDS = (
    "simulate recordings --sessions 2 --neurons {neurons} --minutes {minutes} --seed 1",
    "preprocess",
    "inspect --plot session.png",
    "train --model nano {length} --out runs/demo --seed 1",
    "eval runs/demo --regime all{scores}",
    "sweep --models {models} --sessions 1,2 --seeds 42 --steps {sweep_steps} --out runs/sweep",
    "scaling-report runs/sweep --out scaling",
)
FULL = {
    "neurons": "96",
    "minutes": "12",
    "length": "--minutes 7", "models": "nano,tiny", "sweep_steps": "50", "scores": "",
}  # fmt: skip
NO_LINEAR_MODELS = " --set model.decoder.linear_rank=none"
QUICK = {
    "neurons": "12", "minutes": "2",
    "length": "--steps 4" + NO_LINEAR_MODELS, "models": "nano",
    "sweep_steps": "2" + NO_LINEAR_MODELS,
    "scores": " --draws 1 --stride 90 --baselines train_mean",
}  # fmt: skip
PICTURES = ("session.png", "runs/demo/eval/*/*.png", "scaling/report.html")


def main() -> int:
    """Run the commands one after the other; stop at the first failure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, default=Path("demo"))
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    for template in COMMANDS:
        command = template.format(**(QUICK if options.quick else FULL))
        if command.startswith("train") and (options.folder / "runs/demo/config.toml").exists():
            command = "train --resume runs/demo"
        print(f"\n$ omnimouse {command}", flush=True)
        arguments = [sys.executable, "-m", "omnimouse_cli", *command.split()]
        status = subprocess.run(arguments, cwd=options.folder, check=False).returncode
        if status:
            return status
    print(f"\nThe demo took {(time.monotonic() - started) / 60:.1f} minutes. Pictures:")
    for pattern in PICTURES:
        for path in sorted(options.folder.glob(pattern)):
            print(f"  {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
