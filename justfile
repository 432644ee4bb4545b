# Short names for what CONTRIBUTING.md describes; `just` lists them. Nothing here is needed: each recipe is
# one command that also works without `just`.

_default:
    @just --list

# Format everything.
fmt:
    cargo fmt --all

# Clippy, as strict as CI.
lint:
    cargo clippy --workspace --all-targets -- -D warnings

# All tests that need nothing but Rust, doc tests included.
test *ARGS:
    cargo test --workspace {{ARGS}}

# The house rules alone: directions, purity, headers, words, links.
tidy:
    cargo test --test tidy

# The tests with nginx, PostgreSQL, curl, wrk and pgbench.
real *ARGS:
    cargo test --release -p sinew --test real -- --ignored {{ARGS}}

# Mixed load on real processes that are killed, restarted and paused meanwhile, and what is left afterwards;
# `just soak 3600`. SOAK_SEED plays an earlier one again.
soak SECONDS="600":
    SOAK_SECONDS={{SECONDS}} cargo test -p sinew --test soak -- --ignored --nocapture

# Search with libFuzzer for bytes that break a parser; the names are those of tests/fuzz/corpus. Needs a nightly
# compiler and `cargo install --locked cargo-fuzz`. What it finds on its way stays in tests/fuzz/targets/corpus.
fuzz TARGET SECONDS="60":
    mkdir -p tests/fuzz/targets/corpus/{{TARGET}}
    cargo +nightly fuzz run --fuzz-dir tests/fuzz/targets {{TARGET}} \
        tests/fuzz/targets/corpus/{{TARGET}} tests/fuzz/corpus/{{TARGET}} -- \
        -max_total_time={{SECONDS}} -max_len=8192 -timeout=10 -rss_limit_mb=2048 -malloc_limit_mb=256

# Take into a committed corpus what a search found beyond it; a test keeps corpora small.
fuzz-keep TARGET:
    cargo +nightly fuzz run --fuzz-dir tests/fuzz/targets {{TARGET}} \
        tests/fuzz/corpus/{{TARGET}} tests/fuzz/targets/corpus/{{TARGET}} -- -set_cover_merge=1 -max_len=1024

# Play a scenario; `just bench scenarios/quickstart.toml --json out.json`.
bench FILE="scenarios/quickstart.toml" *ARGS:
    cargo run --release -- bench {{FILE}} {{ARGS}}

# A mesh of three nodes with demo services, until Ctrl-C.
dev *ARGS:
    cargo run --release -- dev {{ARGS}}

# API documentation of our own crates.
doc:
    RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps

# The pages of the reference that are made of the code.
reference:
    cargo run -- reference cli > docs/reference/cli.md
    cargo run -- reference refusals > docs/reference/refusals.md

# The book, in target/book; needs mdbook.
book:
    mdbook build docs

# Licences, bans and sources; offline.
deny:
    cargo deny --offline check licenses bans sources

# Known vulnerabilities; needs the network.
advisories:
    cargo deny check advisories

# What must pass before a change lands.
ci:
    .ci/run
