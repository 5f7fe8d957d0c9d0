"""Published checkpoints in and out: names, layout, restricted unpickling, import and export."""
