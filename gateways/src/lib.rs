//! The gateways: one folder each, its wire types apart from its logic, all behind [`Connector`].
//!
//! A connector speaks to one merchant's account at one gateway. It knows no database and no queue; it says what it
//! can take, makes the call it is told to make, and maps what comes back onto the outcome classes.

mod attempt;
mod cashfree;
mod connector;
mod decentro;
mod dummy;
mod http;
mod meaning;
mod name;
mod payu;
mod razorpay;
mod settings;
mod setu;
mod signature;
mod webhook;
mod wire;

pub use attempt::{Advanced, OpenAttempt};
pub use connector::{Call, Check, ConfigError, Connector, ConnectorConfig};
pub use http::client;
pub use webhook::{AttemptName, WebhookError, WebhookMessage, WebhookRequest};

use khata_domain::Gateway;

/// The connector for a gateway account; an error where its settings or credentials make none.
pub fn connect(
    gateway: Gateway,
    config: &ConnectorConfig<'_>,
) -> Result<Box<dyn Connector>, ConfigError> {
    match gateway {
        Gateway::Cashfree => Ok(Box::new(cashfree::Cashfree::new(config)?)),
        Gateway::Decentro => Ok(Box::new(decentro::Decentro::new(config)?)),
        Gateway::Dummy => Ok(Box::new(dummy::Dummy::new(config)?)),
        Gateway::Payu => Ok(Box::new(payu::Payu::new(config)?)),
        Gateway::Razorpay => Ok(Box::new(razorpay::Razorpay::new(config)?)),
        Gateway::Setu => Ok(Box::new(setu::Setu::new(config)?)),
    }
}
