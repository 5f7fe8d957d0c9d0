"""Learned activations on images: the paper's comparison done again, and what units have learned."""
