"""Fused operations: one folder each, with a plain reference beside it and one place to choose."""
