"""The published comparison of activations on images."""
