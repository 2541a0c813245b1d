//! Judges vector files: `cargo run --release --example vectors -- SUITE FILE...`.
fn main() {}
