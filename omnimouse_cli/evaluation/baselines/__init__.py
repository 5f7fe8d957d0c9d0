"""Baselines and the noise ceiling that a score is compared with."""
