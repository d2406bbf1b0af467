//! Connectors of stored gateway accounts, built as the workers build them.

use std::time::Duration;

use khata_config::SandboxSettings;
use khata_crypto::{Keyring, KeyringSettings};
use khata_domain::Gateway;
use khata_gateways::{ConfigError, Connector, ConnectorConfig};
use khata_store::gateway_accounts::GatewayAccount;

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct ConnectorOptions {
    #[command(flatten)]
    keyring: KeyringSettings,
    #[command(flatten)]
    sandbox: SandboxSettings,
}

impl ConnectorOptions {
    pub(crate) fn connectors(&self) -> anyhow::Result<Connectors> {
        let sandbox_mode = self.sandbox.sandbox_mode;
        Ok(Connectors {
            keyring: self.keyring.load(sandbox_mode)?,
            http: khata_gateways::client()?,
            sandbox_mode,
        })
    }
}

pub(crate) struct Connectors {
    pub(super) keyring: Keyring,
    http: reqwest::Client,
    pub(crate) sandbox_mode: bool,
}

impl Connectors {
    /// Decrypts the account's credentials and builds its connector. `Err` is a sentence for the operator.
    pub(super) fn of_account(
        &self,
        account: &GatewayAccount,
    ) -> Result<Box<dyn Connector>, String> {
        let gateway = Gateway::from_id(account.gateway_id)
            .ok_or_else(|| "this version of Khata does not know the gateway".to_owned())?;
        let credentials = account.credentials(&self.keyring);
        let credentials =
            credentials.map_err(|problem| ConfigError::Credentials(problem).to_string())?;
        let credentials = credentials.as_ref().map(|plain| plain.as_slice());
        let base_url = account.base_url.as_deref();
        self.build(gateway, credentials, &account.settings, base_url)
            .map_err(|error| error.to_string())
    }

    /// Builds a connector; fails if the credentials or settings are invalid.
    pub(super) fn build(
        &self,
        gateway: Gateway,
        credentials: Option<&[u8]>,
        settings: &serde_json::Value,
        base_url: Option<&str>,
    ) -> Result<Box<dyn Connector>, ConfigError> {
        let config = ConnectorConfig {
            base_url,
            credentials,
            settings,
            http: &self.http,
            sandbox_mode: self.sandbox_mode,
            longest_call: Duration::MAX,
        };
        khata_gateways::connect(gateway, &config)
    }
}
