# Everything is built with --workspace and --release: package by package, cargo would choose other features and build
# DataFusion once more. CARGO_TARGET_DIR is honoured.
.PHONY: test lint demo bench fuzz-targets

# All tests. The recordings are read from ../shared/data or $VEDETTE_DATA; tests that miss them say so.
test: fuzz-targets
	cargo test --release --workspace

# libFuzzer's targets must compile; running them is in CONTRIBUTING.md.
fuzz-targets:
	cargo build --release --manifest-path fuzz/Cargo.toml

# The second pass leaves tests out: there, unwrap is how a test fails.
lint:
	cargo fmt --all --check
	cargo clippy --release --workspace --all-targets -- -D warnings
	cargo clippy --release --workspace -- -D warnings -D clippy::unwrap_used -D clippy::panic
	@if command -v cargo-deny >/dev/null; then cargo deny check; else echo "cargo deny is not installed: licences and advisories were not checked"; fi

demo:
	cargo run --release -- demo

# Needs no data; benches/ has more, with recorded runs.
bench:
	cargo run --release --example speed -- parquet
	cargo run --release --example speed -- memory
