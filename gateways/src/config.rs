//! Settings and credentials that a connector is made from.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::de::DeserializeOwned;

/// Parts that a connector is made from.
#[derive(Clone)]
pub struct ConnectorConfig<'a> {
    /// Address to call instead of the gateway's public one.
    pub base_url: Option<&'a str>,
    /// The merchant's credentials at the gateway, JSON.
    pub credentials: Option<&'a [u8]>,
    /// The gateway account's settings, JSON.
    pub settings: &'a serde_json::Value,
    /// HTTP client that all connectors of a process share.
    pub http: &'a reqwest::Client,
    /// Whether gateways that exist only for tests, and addresses without TLS, are allowed.
    pub sandbox_mode: bool,
    /// Upper bound for every call time-out: the worker's lease must outlive the call.
    pub longest_call: Duration,
}

/// Reports settings or credentials that make no connector. The text never shows a credential.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    #[error("settings: {0}")]
    Settings(String),
    #[error("credentials: {0}")]
    Credentials(&'static str),
    #[error("this gateway exists only in sandbox mode")]
    SandboxOnly,
}

impl ConnectorConfig<'_> {
    /// Parses the credentials. `expected` is the error text for credentials of another form.
    pub(crate) fn credentials<T: DeserializeOwned>(
        &self,
        expected: &'static str,
    ) -> Result<T, ConfigError> {
        let json = self
            .credentials
            .ok_or(ConfigError::Credentials("missing"))?;
        serde_json::from_slice(json).map_err(|_| ConfigError::Credentials(expected))
    }

    /// Returns the address to call, without a slash at its end: `base_url`, or else this public one. `own`: all of the
    /// gateway's public addresses.
    pub(crate) fn address(&self, public: &str, own: &[&str]) -> Result<String, ConfigError> {
        self.checked_address("base_url", self.base_url.unwrap_or(public), own)
    }

    /// Returns the address that this setting holds, without a slash at its end. Outside sandbox mode the address must be at one
    /// of the gateway's own hosts, with https, because credentials and account numbers are sent there; an address never holds
    /// credentials. The setting's name must end in `_url`: the stored credentials are bound to these settings.
    pub(crate) fn checked_address(
        &self,
        setting: &str,
        address: &str,
        own: &[&str],
    ) -> Result<String, ConfigError> {
        debug_assert!(setting.ends_with("_url"), "{setting}");
        let text = address.trim_end_matches('/');
        let error = |problem: String| Err(ConfigError::Settings(format!("{setting} {problem}")));
        let Ok(url) = reqwest::Url::parse(text) else {
            return error("is not a URL".into());
        };
        if url.scheme() != "https" && !(self.sandbox_mode && url.scheme() == "http") {
            return error("must begin with https://".into());
        }
        if !url.username().is_empty() || url.password().is_some() {
            return error("must not hold a user name or password".into());
        }
        if url.query().is_some() || url.fragment().is_some() {
            return error("must end with the path: no ? and no #".into());
        }
        let hosts = hosts(own);
        let is_own =
            url.port().is_none() && url.host_str().is_some_and(|host| hosts.contains(host));
        if !self.sandbox_mode && !is_own {
            let hosts = Vec::from_iter(hosts).join(", ");
            return error(format!(
                "must be at one of the gateway's own hosts outside sandbox mode: {hosts}"
            ));
        }
        Ok(text.to_owned())
    }
}

/// Returns the hosts of these https addresses.
pub(crate) fn hosts<'a>(addresses: &[&'a str]) -> BTreeSet<&'a str> {
    let host = |address: &&'a str| address.strip_prefix("https://")?.split('/').next();
    addresses.iter().filter_map(host).collect()
}
