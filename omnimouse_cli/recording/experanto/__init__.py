"""Reader of experanto session folders, the layout of the OmniMouse data set."""
