"""Published checkpoints in and out: names, model configuration, unpickling, conversion."""
