/// Defines methods that set one field each, and give the whole back: for rules that are written out in one go.
macro_rules! setters {
    ($($(#[$doc:meta])* $name:ident($($argument:ident: $type:ty),+) $field:ident = $value:expr;)+) => {
        $(
            $(#[$doc])*
            #[must_use]
            pub fn $name(mut self, $($argument: $type),+) -> Self {
                self.$field = $value;
                self
            }
        )+
    };
}
pub(crate) use setters;
