"""Training: process group, optimizers, schedule, step, loop, checkpoints, metrics log, sweep."""
