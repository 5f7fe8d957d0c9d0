"""Write any recording as a folder of arrays, and convert it; omnimouse reads the folder as it is.

    python examples/write_arrays.py [FOLDER]

The numbers are random; put your own in their place. MATLAB writes the tables by
`writetable(table(seconds, speed_cm_s), 'running.csv')`.
"""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np

generator = np.random.default_rng(0)
folder = Path(sys.argv[1] if len(sys.argv) > 1 else "mouse7-2024-03-05")
folder.mkdir(parents=True)

# Responses [time, neuron], and the time of each row: seconds on one clock for all files.
times = 2.0 + np.arange(1800) / 7.5
np.save(folder / "responses.npy", generator.gamma(0.5, 2.0, (1800, 40)))
np.save(folder / "times.npy", times)

# Ten clips of 60 frames; each is shown four times, as trials of 6 s without a break.
np.save(folder / "frames.npy", generator.integers(0, 256, (600, 36, 64), dtype=np.uint8))
shown = generator.permutation(np.repeat(np.arange(10), 4))
flips = [f"{6 * n + k / 10:.3f},{60 * clip + k}" for n, clip in enumerate(shown) for k in range(60)]
trials = [f"{6 * n},{6 * n + 6},clip{clip}" for n, clip in enumerate(shown)]
speed = [f"{n / 20:.2f},{value:.3f}" for n, value in enumerate(generator.gamma(1, 5, 4800))]

for name, header, rows in (
    ("flips.csv", "seconds,frame", flips),
    ("trials.csv", "start_seconds,end_seconds,stimulus", trials),
    ("running.csv", "seconds,speed_cm_s", speed),
):
    (folder / name).write_text("\n".join([header, *rows]))
session = {"session": folder.name, "animal": "mouse7", "responses": "rate"}
(folder / "session.json").write_text(json.dumps(session))

command = [sys.executable, "-m", "omnimouse_cli", "preprocess", str(folder)]
sys.exit(subprocess.run(command, check=False).returncode)
