//! Facts about each gateway that the help texts, the OpenAPI document, the pages and the demo show. Each gateway's folder
//! holds its own [`GatewayInfo`]; tests compare the fields with the types that parse them.

use khata_domain::{Gateway, Method};

use crate::config::{ConfigError, ConnectorConfig};
use crate::connector::Connector;

/// Makes a connector from a gateway account's settings and credentials.
pub(crate) type Connect = fn(&ConnectorConfig<'_>) -> Result<Box<dyn Connector>, ConfigError>;

/// Describes a gateway. The texts are Markdown without line breaks.
#[derive(Debug)]
pub struct GatewayInfo {
    /// Carries the gateway's id and name.
    pub gateway: Gateway,
    /// Whether the gateway exists only in sandbox mode.
    pub sandbox_only: bool,
    /// Methods of the gateway, the preferred one first.
    pub methods: &'static [Method],
    /// How the gateway validates bank accounts and UPI addresses.
    pub validation: &'static str,
    /// What Khata does about a call whose response was lost.
    pub recovery: &'static str,
    /// What the gateway's webhooks report; `None` if the connector takes no webhooks.
    pub webhooks: Option<&'static str>,
    /// Members of the credentials, a JSON object; empty if the gateway needs no credentials.
    pub credentials: &'static [CredentialInfo],
    /// Settings that only this gateway has, beside [`COMMON_SETTINGS`](crate::COMMON_SETTINGS).
    pub settings: &'static [SettingInfo],
    pub(crate) connect: Connect,
}

/// Describes a member of a gateway account's credentials.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CredentialInfo {
    pub name: &'static str,
    pub meaning: &'static str,
    /// Whether no connector can be made without it.
    pub required: bool,
}

impl CredentialInfo {
    pub(crate) const fn required(name: &'static str, meaning: &'static str) -> Self {
        Self {
            name,
            meaning,
            required: true,
        }
    }

    pub(crate) const fn optional(name: &'static str, meaning: &'static str) -> Self {
        Self {
            name,
            meaning,
            required: false,
        }
    }
}

/// Describes a setting of a gateway account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SettingInfo {
    pub name: &'static str,
    pub meaning: &'static str,
    /// Value or behaviour if the setting is absent.
    pub default: &'static str,
}

/// Reads the names of a struct's members from its `Deserialize` implementation.
#[cfg(test)]
pub(crate) mod fields {
    use serde::Deserialize;
    use serde::de::value::Error;
    use serde::de::{Deserializer, Error as _, Visitor};

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
    pub(crate) fn of<'de, T: Deserialize<'de>>() -> Vec<&'static str> {
        let mut fields = Vec::new();
        let _ = T::deserialize(Recorder(&mut fields));
        fields.sort_unstable();
        fields
    }

    /// Returns these names, sorted.
    pub(crate) fn sorted(names: impl Iterator<Item = &'static str>) -> Vec<&'static str> {
        let mut names: Vec<_> = names.collect();
        names.sort_unstable();
        names
    }
}
