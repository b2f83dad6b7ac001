//! What the fuzz targets of gridmux-core run; the bodies are shared with its tests.
//!
//! ```text
//! cargo install cargo-fuzz
//! cd core && cargo +nightly fuzz run peers -- -max_total_time=600 -timeout=10
//! ```
//!
//! What a run finds that is new is added to the corpus by hand, made small first
//! (`cargo fuzz tmin`, `cargo fuzz cmin`): `cargo test -p gridmux-core --test fuzz` runs it all.

#[path = "../../tests/fuzz/targets/mod.rs"]
mod targets;

pub use targets::*;
