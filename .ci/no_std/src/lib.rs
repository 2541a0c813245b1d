//! Proves by `cargo check` that these crates need no std.
#![no_std]

use core::panic::PanicInfo;

use deedbox_cbor as _;
use deedbox_consent as _;
use deedbox_cose as _;
use deedbox_crypto as _;
use deedbox_edhoc as _;
use deedbox_merkle as _;
use deedbox_model as _;
use deedbox_record as _;

/// Clashes with std's own if any of the above, or what they use, brings std in.
#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    loop {}
}
