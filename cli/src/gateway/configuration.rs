//! The configuration of a gateway account, as options of `gateway add` and `gateway set`.

use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use khata_crypto::secret_buf;
use khata_gateways::{COMMON_SETTINGS, SettingInfo};
use khata_store::gateway_accounts::{GatewayAccount, NewGatewayAccount};
use serde_json::{Map, Value};
use zeroize::Zeroizing;

/// Maximum size of a credentials file. Every gateway's credentials are shorter.
const MAX_CREDENTIALS: usize = 64 * 1024;
/// The setting that the option of the same name sets.
const CONCURRENCY: &str = "concurrency";

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct ConfigurationOptions {
    /// Priority; the gateway account with the lowest number is used first [new gateway accounts: 100]
    #[arg(long)]
    pub(crate) priority: Option<i16>,
    /// Use the account only for calls that name the gateway [new gateway accounts: false]
    #[arg(long, value_name = "true|false", num_args = 0..=1, default_missing_value = "true")]
    pub(crate) pinned_only: Option<bool>,
    /// Override the gateway's public base URL
    #[arg(long, value_name = "URL")]
    pub(crate) base_url: Option<String>,
    /// File with the credentials as JSON, `-` for standard input; `--help` lists the members of each gateway
    #[arg(long, value_name = "FILE")]
    pub(crate) credentials_file: Option<PathBuf>,
    /// Settings as JSON; `--help` lists them. `gateway set` keeps the settings that the JSON does not name, and null removes one
    #[arg(long, value_name = "JSON")]
    pub(crate) settings: Option<String>,
    /// Maximum calls at once over all workers, as the setting `concurrency`; 0 for no limit
    #[arg(long, value_name = "CALLS")]
    pub(crate) concurrency: Option<u32>,
}

/// Values of the options, read and parsed.
pub(super) struct Given<'a> {
    pub(super) options: &'a ConfigurationOptions,
    pub(super) settings: Map<String, Value>,
    credentials: Option<Zeroizing<Vec<u8>>>,
    /// Use the gateway's public base URL.
    pub(super) no_base_url: bool,
}

impl Given<'_> {
    pub(super) fn credentials(&self) -> Option<&[u8]> {
        self.credentials.as_ref().map(|plain| plain.as_slice())
    }

    /// Returns the settings with the given ones in their place; null removes a setting.
    pub(super) fn merged(&self, settings: &Value) -> Value {
        let mut merged = settings.as_object().cloned().unwrap_or_default();
        for (name, value) in &self.settings {
            if value.is_null() {
                merged.remove(name);
            } else {
                merged.insert(name.clone(), value.clone());
            }
        }
        Value::Object(merged)
    }

    /// Returns the existing configuration with what was given in its place. `settings`: the [merged](Self::merged) ones.
    pub(super) fn changed<'a>(
        &'a self,
        existing: &'a GatewayAccount,
        settings: &'a Value,
    ) -> NewGatewayAccount<'a> {
        let options = self.options;
        let kept = existing.base_url.as_deref().filter(|_| !self.no_base_url);
        NewGatewayAccount {
            id: existing.id,
            gateway_id: existing.gateway_id,
            reference_id: &existing.reference_id,
            priority: options.priority.unwrap_or(existing.priority),
            pinned_only: options.pinned_only.unwrap_or(existing.pinned_only),
            base_url: options.base_url.as_deref().or(kept),
            settings,
        }
    }
}

impl ConfigurationOptions {
    /// Reads the credentials, and parses the settings.
    pub(super) fn read(&self, no_base_url: bool) -> anyhow::Result<Given<'_>> {
        let credentials = self.credentials_file.as_deref();
        self.given(credentials.map(read_credentials).transpose()?, no_base_url)
    }

    /// Parses the settings. `credentials`: as read before.
    pub(super) fn given(
        &self,
        credentials: Option<Zeroizing<Vec<u8>>>,
        no_base_url: bool,
    ) -> anyhow::Result<Given<'_>> {
        Ok(Given {
            options: self,
            settings: self.settings()?,
            credentials,
            no_base_url,
        })
    }

    fn settings(&self) -> anyhow::Result<Map<String, Value>> {
        let mut settings = match self.settings.as_deref().map(serde_json::from_str::<Value>) {
            None => Map::new(),
            Some(Ok(Value::Object(settings))) => settings,
            Some(Ok(_)) => bail!("--settings must be a JSON object"),
            Some(Err(error)) => return Err(error).context("--settings is not JSON"),
        };
        if let Some(concurrency) = self.concurrency {
            settings.insert(CONCURRENCY.to_owned(), concurrency.into());
        }
        Ok(settings)
    }
}

/// Returns the flow of a CASHFREE account, which decides how open attempts are recovered.
pub(super) fn flow(settings: &Value) -> &str {
    settings["bank_flow"].as_str().unwrap_or("async")
}

/// Returns `PAYU (12), RAZORPAY (23), …`.
pub(super) fn gateway_names() -> String {
    let names = khata_gateways::all().map(|info| {
        let sandbox = if info.sandbox_only {
            ", in sandbox mode"
        } else {
            ""
        };
        format!("{} ({}{sandbox})", info.gateway, info.gateway.id())
    });
    names.collect::<Vec<_>>().join(", ")
}

/// Returns the credentials and settings of every gateway, for `--help`.
pub(super) fn credentials_and_settings() -> String {
    let mut text = String::from("Credentials of each gateway, members of a JSON object:\n");
    for info in khata_gateways::all() {
        text.extend(info.credentials.iter().enumerate().map(|(place, member)| {
            let gateway = if place == 0 { info.gateway.name() } else { "" };
            let optional = if member.required { "" } else { " (optional)" };
            let (name, meaning) = (member.name, member.meaning);
            format!("  {gateway:<10}{name}{optional}: {meaning}\n")
        }));
    }
    let line = |gateway: &str, setting: &SettingInfo| {
        let (name, meaning, default) = (setting.name, setting.meaning, setting.default);
        format!("  {gateway:<10}{name}: {meaning} [default: {default}]\n")
    };
    text += "\nSettings of every gateway, all optional:\n";
    text.extend(COMMON_SETTINGS.iter().map(|one| line("", one)));
    text += "\nSettings of one gateway:\n";
    for info in khata_gateways::all() {
        let settings = info.settings.iter();
        text.extend(settings.map(|one| line(info.gateway.name(), one)));
    }
    text
}

/// Reads a file with credentials; `-` is standard input.
pub(crate) fn read_credentials(path: &Path) -> anyhow::Result<Zeroizing<Vec<u8>>> {
    let bytes = if path.as_os_str() == "-" {
        secret_buf::read(std::io::stdin(), MAX_CREDENTIALS)?
    } else {
        let file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
        secret_buf::read(file, MAX_CREDENTIALS)?
    };
    bytes.context("the credentials are longer than 64 KiB")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_help_lists_every_gateway_with_its_credentials() {
        let (names, help) = (gateway_names(), credentials_and_settings());
        for info in khata_gateways::all() {
            assert!(names.contains(info.gateway.name()), "{names}");
            for member in info.credentials {
                assert!(help.contains(member.name), "{help}");
            }
        }
        assert!(help.contains("calls_per_minute"), "{help}");
    }

    #[test]
    fn settings_that_are_not_named_are_kept_and_null_removes_one() {
        let options = ConfigurationOptions {
            priority: None,
            pinned_only: None,
            base_url: None,
            credentials_file: None,
            settings: Some(r#"{"hours":null,"poll_ms":[500],"absent":null}"#.to_owned()),
            concurrency: Some(9),
        };
        let settings = json!({"calls_per_minute": 60, "hours": ["06:00-22:00"], "concurrency": 5});
        assert_eq!(
            options.read(false).unwrap().merged(&settings),
            json!({"calls_per_minute": 60, "concurrency": 9, "poll_ms": [500]})
        );
    }
}
