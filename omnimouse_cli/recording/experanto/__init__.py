"""Reads experanto session folders, the layout of the OmniMouse data set, of both code lines."""
