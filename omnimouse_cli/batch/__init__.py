"""Windows, masking strategies and regimes, and the loader: a thin face over the Rust extension."""
