"""Scores of prediction under corrupted and adversarial video."""
