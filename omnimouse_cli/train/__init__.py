"""Training: process group, optimizers, schedule, step, loop, checkpoints, journal, sweep."""
