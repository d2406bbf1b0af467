//! Compares the described fields with the types that parse them.

use serde::Deserialize;
use serde::de::value::Error;
use serde::de::{Deserializer, Error as _, Visitor};

use super::{GatewayInfo, SettingInfo};

/// Records the names of the members of the struct that is deserialized.
struct Recorder<'a>(&'a mut Vec<&'static str>);

impl<'de> Deserializer<'de> for Recorder<'_> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, _visitor: V) -> Result<V::Value, Error> {
        Err(Error::custom("only structs have named members"))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.0.extend(fields);
        self.deserialize_any(visitor)
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit
        unit_struct newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

/// Returns the members of `T`, sorted.
fn fields<'de, T: Deserialize<'de>>() -> Vec<&'static str> {
    let mut fields = Vec::new();
    let _ = T::deserialize(Recorder(&mut fields));
    fields.sort_unstable();
    fields
}

/// Asserts that a gateway describes all members of its credentials and of its own settings.
pub(crate) fn assert_described<'de, C: Deserialize<'de>, S: Deserialize<'de>>(info: &GatewayInfo) {
    let mut credentials: Vec<_> = info.credentials.iter().map(|one| one.name).collect();
    credentials.sort_unstable();
    assert_eq!(
        credentials,
        fields::<C>(),
        "credentials of {}",
        info.gateway
    );
    assert_settings::<S>(info.settings);
}

/// Asserts that these settings describe all members of `S`.
pub(crate) fn assert_settings<'de, S: Deserialize<'de>>(settings: &[SettingInfo]) {
    let mut names: Vec<_> = settings.iter().map(|setting| setting.name).collect();
    names.sort_unstable();
    assert_eq!(names, fields::<S>(), "settings");
}
