//! Intermediate values of a handshake: with the feature `test-suites` every one is kept by its name in RFC 9528, without
//! it nothing is.

#[cfg(feature = "test-suites")]
mod kept {
    use alloc::{collections::BTreeMap, vec::Vec};

    /// Values by name.
    #[derive(Default)]
    pub(crate) struct Trace(pub(crate) BTreeMap<&'static str, Vec<u8>>);

    impl Trace {
        pub(crate) fn put(&mut self, name: &'static str, value: &[u8]) {
            self.0.insert(name, value.to_vec());
        }
    }
}

#[cfg(not(feature = "test-suites"))]
mod kept {
    /// Keeps nothing.
    #[derive(Default)]
    pub(crate) struct Trace(());

    impl Trace {
        #[expect(clippy::unused_self, reason = "the feature `test-suites` keeps the value")]
        pub(crate) fn put(&mut self, _name: &'static str, _value: &[u8]) {}
    }
}

pub(crate) use kept::Trace;

/// Gives a state its `values()`.
#[cfg(feature = "test-suites")]
macro_rules! values {
    ($($state:ty),+) => {$(
        impl $state {
            /// All intermediate values so far, by their names in RFC 9528. Secrets are among them.
            #[must_use]
            pub fn values(&self) -> &alloc::collections::BTreeMap<&'static str, alloc::vec::Vec<u8>> {
                &self.state.trace.0
            }
        }
    )+};
}

#[cfg(not(feature = "test-suites"))]
macro_rules! values {
    ($($state:ty),+) => {};
}

pub(crate) use values;
