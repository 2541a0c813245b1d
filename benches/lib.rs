//! The benches lie in `benches/`; this library is empty.
