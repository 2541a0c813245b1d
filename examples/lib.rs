//! Programs that show deedbox at work: `cargo run --release --example quickstart`. The library itself is empty.
