"""Tiers (train, validation, test) of recordings whose files have none."""
