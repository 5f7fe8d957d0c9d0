"""A model or a baseline over the windows of a tier, row by row: typed records of the scores."""
