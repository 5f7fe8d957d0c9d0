"""What a model or a training costs, computed without building it: parameters, FLOPs, memory."""
