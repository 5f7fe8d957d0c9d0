"""A model or a baseline over the windows of a tier: typed records of the scores."""
