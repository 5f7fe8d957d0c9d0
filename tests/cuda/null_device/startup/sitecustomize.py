"""Runs when Python starts on the null device: torch's own convolutions stand in for cuDNN's."""

import torch

# cuDNN builds graphs of engines that only a real library can answer for.
torch.backends.cudnn.enabled = False
