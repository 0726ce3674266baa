# Everything is built with --workspace and --release: package by package, cargo would choose other features and build
# DataFusion once more. CARGO_TARGET_DIR is honoured.
.PHONY: build test lint demo demo-live bench fuzz-targets services chaos

# As the Dockerfile does.
build:
	cargo build --release --workspace --locked

# Tests of the service also wait: for brokers, and for sessions to end.
THREADS = $(or $(RUST_TEST_THREADS),$(shell expr $$(nproc) + 1))

# Tests that did not run leave a line there (tests/not_run).
NOT_RUN = $(or $(CARGO_TARGET_DIR),target)/not-run.txt

# All tests. The recordings are read from ../shared/data or $VEDETTE_DATA; tests that miss them say so. So do those that
# need Kafka or ClickHouse, on a machine without Java, Maven or Python; in CI that is an error. What did not run is named and
# counted at the end.
test: fuzz-targets services
	@rm -f "$(NOT_RUN)"
	@echo cargo test --release --workspace; RUST_TEST_THREADS=$(THREADS) cargo test --release --workspace; status=$$?; \
	  if test -s "$(NOT_RUN)"; then echo; cat "$(NOT_RUN)"; echo "$$(wc -l <"$(NOT_RUN)") groups of tests did not run"; fi; \
	  exit $$status

# Kafka's jars, ClickHouse's engine and moto, once, into the user's cache.
services:
	@tests/services/fetch.sh || { \
	  echo "NOT FETCHED: those in tests/live and AWS's will not run; they need Java 17, Maven, Python 3.11 and openssl"; \
	  test -z "$$CI"; }

# Kills at N random moments of the whole service, and at N / 2 of one role; make test does 50 and 25. docs/faults.md.
chaos:
	VEDETTE_KILLS=$(or $(N),1000) cargo test --release --workspace --test live -- killed_again

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

# A device turns bad at a real Mosquitto, is isolated, released and back, in some two minutes, told step by step.
demo-live: services
	cargo test --release --workspace --test live -- --nocapture --exact \
	  responding::one_of_twenty_turns_bad_and_is_isolated_released_and_back

# Needs no data; benches/ has more, with recorded runs.
bench:
	cargo run --release --example speed -- parquet
	cargo run --release --example speed -- memory
