"""Brain models at the scale of whole data sets: the package behind the `omnimouse` command."""
