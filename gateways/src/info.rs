//! Facts about each gateway that the help texts, the OpenAPI document, the pages and the demo show. Each gateway's folder
//! holds its own [`GatewayInfo`]; tests compare the fields with the types that parse them.

use std::collections::BTreeSet;

use khata_domain::{Gateway, Method};

use crate::config::{ConfigError, ConnectorConfig, hosts};
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
    /// Ways in which the gateway validates bank accounts and UPI addresses.
    pub validation: &'static str,
    /// Recovery of a call whose response was lost.
    pub recovery: &'static str,
    /// Contents of the gateway's webhooks; `None` if the connector takes no webhooks.
    pub webhooks: Option<&'static str>,
    /// The gateway's public addresses for production. Outside sandbox mode the connector calls no other host.
    pub addresses: &'static [&'static str],
    /// Members of the credentials, a JSON object; empty if the gateway needs no credentials.
    pub credentials: &'static [CredentialInfo],
    /// Settings that only this gateway has, beside [`COMMON_SETTINGS`](crate::COMMON_SETTINGS).
    pub settings: &'static [SettingInfo],
    pub(crate) connect: Connect,
}

impl GatewayInfo {
    /// Returns the hosts of the gateway's public addresses.
    pub fn hosts(&self) -> BTreeSet<&'static str> {
        hosts(self.addresses)
    }
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

#[cfg(test)]
pub(crate) mod tests;
