"""Simulated recordings with ground truth: expected responses beside the drawn ones."""
