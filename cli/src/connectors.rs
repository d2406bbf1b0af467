//! Connectors of stored gateway accounts, for the calls and commands of this crate; workers have their own directory.

use std::time::Duration;

use khata_crypto::{Keyring, Purpose};
use khata_domain::Gateway;
use khata_gateways::{ConfigError, Connector, ConnectorConfig};
use khata_store::gateway_accounts::GatewayAccount;

/// What connectors are made with.
pub(crate) struct Connectors<'a> {
    pub(crate) keyring: &'a Keyring,
    pub(crate) http: &'a reqwest::Client,
    pub(crate) sandbox_mode: bool,
}

impl Connectors<'_> {
    /// The account's connector; `Err` with a sentence where it makes none.
    pub(crate) fn connect(
        &self,
        account: &GatewayAccount,
    ) -> Result<(Gateway, Box<dyn Connector>), String> {
        let gateway = Gateway::from_id(account.gateway_id)
            .ok_or_else(|| "this version of Khata does not know the gateway".to_owned())?;
        let opened = account.sealed_credentials.as_deref().map(|sealed| {
            let (merchant, id) = (account.merchant, account.id.0);
            self.keyring
                .decrypt(merchant, id, Purpose::Credentials, sealed)
        });
        let credentials = opened.transpose().map_err(|_| {
            ConfigError::Credentials("sealed with a key that is not in the keyring").to_string()
        })?;
        let connector = khata_gateways::connect(
            gateway,
            &ConnectorConfig {
                base_url: account.base_url.as_deref(),
                credentials: credentials.as_ref().map(|plain| plain.as_slice()),
                settings: &account.settings,
                http: self.http,
                sandbox_mode: self.sandbox_mode,
                longest_call: Duration::MAX,
            },
        )
        .map_err(|fault| fault.to_string())?;
        Ok((gateway, connector))
    }
}
