"""What preprocess holds in memory does not grow with the recording."""

import tracemalloc
from dataclasses import replace

import numpy as np

from omnimouse_cli.recording.recording import Clock

NEURONS = 4000


def peak_bytes(make_recording, converted, num_rows):
    recording = make_recording(
        session=f"7-1-{num_rows}",
        neurons=NEURONS,
        responses=np.ones((900, NEURONS)),
        specification=[("video", "train", "a", 30.0)],
        behavior=False,
    )
    clock = Clock(start_seconds=0.6, rate_hz=30.0, num_samples=num_rows)
    row = np.arange(NEURONS, dtype=np.float32)
    responses = replace(
        recording.responses,
        clock=clock,
        read_rows=lambda first, last: np.arange(first, last, dtype=np.float32)[:, None] % 7 + row,
    )
    recording = replace(recording, responses=responses)
    tracemalloc.start()
    try:
        converted(recording)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_ten_times_the_rows_need_no_more_memory(make_recording, converted):
    small = peak_bytes(make_recording, converted, 3_000)
    large = peak_bytes(make_recording, converted, 30_000)
    assert large < 200e6
    assert large < 1.1 * small
