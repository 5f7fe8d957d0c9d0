"""Configuration: frozen dataclasses checked at construction, TOML files and `--set`. No torch."""
