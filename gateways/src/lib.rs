//! Connectors to payment gateways: one folder per gateway, all behind [`Connector`].
//!
//! A connector calls one gateway account of one merchant. A connector knows no database and no queue: it says which
//! details it can validate, makes the call, and maps the gateway's response to an outcome class.

mod attempt;
mod body;
mod cashfree;
mod config;
mod connector;
mod decentro;
mod dummy;
mod http;
mod info;
mod meaning;
mod name;
mod payu;
mod policy;
mod razorpay;
mod settings;
mod setu;
mod token;
mod webhook;

pub use attempt::{Advanced, OpenAttempt};
pub use config::{ConfigError, ConnectorConfig};
pub use connector::{Call, Check, Connector, LookupResult};
pub use http::client;
#[cfg(feature = "canned-replies")]
pub use http::set_canned_reply;
pub use info::{CredentialInfo, GatewayInfo, SettingInfo};
pub use policy::CallPolicy;
pub use settings::COMMON_SETTINGS;
pub use webhook::{AttemptName, WebhookError, WebhookMessage, WebhookRequest};

use khata_domain::Gateway;

/// Returns the facts about a gateway.
pub fn info(gateway: Gateway) -> &'static GatewayInfo {
    match gateway {
        Gateway::Cashfree => &cashfree::INFO,
        Gateway::Decentro => &decentro::INFO,
        Gateway::Dummy => &dummy::INFO,
        Gateway::Payu => &payu::INFO,
        Gateway::Razorpay => &razorpay::INFO,
        Gateway::Setu => &setu::INFO,
    }
}

/// Returns the facts about every gateway, by id.
pub fn all() -> impl Iterator<Item = &'static GatewayInfo> {
    Gateway::ALL.into_iter().map(info)
}

/// Makes the connector of a gateway account; fails on invalid settings or credentials.
pub fn connect(
    gateway: Gateway,
    config: &ConnectorConfig<'_>,
) -> Result<Box<dyn Connector>, ConfigError> {
    (info(gateway).connect)(config)
}
