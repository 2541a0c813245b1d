//! Append-only, tamper-evident, value-free log of who saw what and why
