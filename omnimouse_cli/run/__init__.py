"""The run folder as a format: its files, lock, weights and metrics log."""
