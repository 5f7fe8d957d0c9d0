"""Several ranks: process group, session tables, gradients, launching."""
