"""One recording in physical units (seconds, hertz, micrometres), and one reader per raw format."""
