//! A row of the table of settings, with its type.

use super::{
    key::Key,
    values::{InvalidValue, Places},
};

/// One setting: what people see of it, and how its value is read. Its type and its default stand nowhere else.
pub struct Setting<T> {
    /// What people see.
    pub key: Key,
    pub(super) parse: Parse<T>,
}

/// From text to what the program trusts; a secret may be kept in another place.
pub(super) type Parse<T> = fn(&str, Places<'_>) -> Result<T, InvalidValue>;

/// Declares a section of the file: a struct with a field for each setting, and a table of the same fields with what people see
/// of them. A field and its description are a doc comment and `name: Type = values::parser { flag: "--flag", .. }`; a
/// parser that looks where secrets are kept is `values::parser(places)`, and what it reads is a secret.
///
/// build.rs has a second one of this name, which keeps what people see alone.
macro_rules! section {
    (
        $(#[doc = $about:literal])*
        $TABLE:ident: $Settings:ident => $Values:ident, $section:tt, $heading:literal;
        $(
            $(#[doc = $doc:literal])*
            $field:ident: $T:ty = $($parse:ident)::+ $(($places:ident))? {
                flag: $flag:literal, value: $value:literal, variable: $variable:literal, default: $default:literal
                $(, $more:ident: $set:expr)* $(,)?
            }
        )*
    ) => {
        $(#[doc = $about])*
        #[allow(rustdoc::broken_intra_doc_links, reason = "help is for a terminal: its brackets are no links")]
        #[derive(Clone, Debug)]
        pub struct $Values {
            $($(#[doc = $doc])* pub $field: $T,)*
        }

        #[doc = concat!("The settings of [`", stringify!($Values), "`].")]
        #[allow(rustdoc::broken_intra_doc_links, reason = "help is for a terminal: its brackets are no links")]
        pub struct $Settings {
            $($(#[doc = $doc])* pub $field: crate::config::setting::Setting<$T>,)*
        }

        #[doc = concat!("The settings of [`", stringify!($Values), "`].")]
        #[allow(clippy::needless_update, reason = "one row may have all that a key can have")]
        pub static $TABLE: $Settings = $Settings {
            $($field: crate::config::setting::Setting {
                key: Key {
                    name: key_name!($section, $field),
                    docs: &[$($doc),*],
                    secret: !stringify!($($places)?).is_empty(),
                    flag: $flag,
                    value: $value,
                    variable: $variable,
                    default: $default,
                    $($more: $set,)*
                    ..Key::PLAIN
                },
                parse: parser!($($parse)::+ $(, $places)?),
            },)*
        };

        impl $Settings {
            pub(super) const SECTION: Section = Section {
                name: $section,
                heading: $heading,
                docs: &[$($about),*],
                keys: &[$(&$TABLE.$field.key),*],
            };
        }

        impl $Values {
            /// Every value is read before the first that is missing ends it, so that one start shows every complaint.
            pub(in crate::config) fn read(reader: &mut crate::config::reader::Reader<'_>) -> Option<Self> {
                $(let $field = reader.read(&$TABLE.$field.key, $TABLE.$field.parse);)*
                Some(Self { $($field: $field?,)* })
            }
        }
    };
}

macro_rules! key_name {
    ("", $field:ident) => {
        stringify!($field)
    };
    ($section:literal, $field:ident) => {
        concat!($section, ".", stringify!($field))
    };
}

macro_rules! parser {
    ($($parse:ident)::+) => { |text, _| $($parse)::+(text) };
    ($($parse:ident)::+, $places:ident) => { $($parse)::+ };
}
