//! Any product with an HTTP API, described by a TOML file.
