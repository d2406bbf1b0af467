//! Enums whose variants have one word each: in the database, in replies and in metrics.

/// Declares an enum whose variants are words: as stored, as shown and as counted.
#[macro_export]
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name { $($(#[$vdoc])* $variant),+ }

        impl $name {
            /// Every variant.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The word that the variant is stored and shown as.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }

            /// The variant with this word.
            pub fn parse(word: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|one| one.as_str() == word)
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let word = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
                Self::parse(&word).ok_or_else(|| serde::de::Error::custom("no such word"))
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        $crate::word_in_database!($name);
    };
}

/// Stores a word as `text`. A word that this build does not know is an error: a new word is read by one release before the
/// next one writes it (`migrations/README.md`).
#[cfg(feature = "diesel")]
#[doc(hidden)]
#[macro_export]
macro_rules! word_in_database {
    ($name:ident) => {
        const _: () = {
            use $crate::diesel::deserialize::{self, FromSql, Queryable};
            use $crate::diesel::pg::{Pg, PgValue};
            use $crate::diesel::serialize::{self, Output, ToSql};
            use $crate::diesel::sql_types::Text;

            impl ToSql<Text, Pg> for $name {
                fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Pg>) -> serialize::Result {
                    <str as ToSql<Text, Pg>>::to_sql(self.as_str(), out)
                }
            }

            impl FromSql<Text, Pg> for $name {
                fn from_sql(value: PgValue<'_>) -> deserialize::Result<Self> {
                    let word = std::str::from_utf8(value.as_bytes())?;
                    Self::parse(word)
                        .ok_or_else(|| format!("{word:?} is not a {}", stringify!($name)).into())
                }
            }

            impl Queryable<Text, Pg> for $name {
                type Row = Self;

                fn build(row: Self) -> deserialize::Result<Self> {
                    Ok(row)
                }
            }
        };
    };
}

/// Without diesel a word has no form in a database.
#[cfg(not(feature = "diesel"))]
#[doc(hidden)]
#[macro_export]
macro_rules! word_in_database {
    ($name:ident) => {};
}
