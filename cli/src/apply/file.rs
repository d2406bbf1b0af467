//! The file of `khata apply`.

use std::collections::BTreeSet;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::{env, fs};

use anyhow::{Context, bail};
use clap::Parser;
use khata_store::merchant_settings;
use serde::Deserialize;
use serde_json::{Map, Value};
use zeroize::Zeroizing;

use crate::gateway::{ConfigurationOptions, DeclaredAccount, read_credentials};
use crate::merchant::{SettingsOptions, check_name};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    merchants: Vec<FileMerchant>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileMerchant {
    name: String,
    /// The options of `khata merchant set`, without their hyphens in front.
    #[serde(default)]
    settings: Map<String, Value>,
    #[serde(default)]
    gateways: Vec<FileGateway>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct FileGateway {
    gateway: String,
    reference_id: String,
    enabled: Option<bool>,
    priority: Option<i16>,
    pinned_only: Option<bool>,
    #[serde(default)]
    base_url: BaseUrl,
    /// Relative to the folder of the file.
    credentials_file: Option<PathBuf>,
    /// Name of an environment variable.
    credentials_env: Option<String>,
    settings: Option<Map<String, Value>>,
}

/// The base URL of a gateway account.
#[derive(Default, Deserialize)]
#[serde(from = "Option<String>")]
enum BaseUrl {
    /// The file does not name it.
    #[default]
    Kept,
    /// Null: the gateway's public one.
    Public,
    Own(String),
}

impl From<Option<String>> for BaseUrl {
    fn from(url: Option<String>) -> Self {
        url.map_or(Self::Public, Self::Own)
    }
}

/// A merchant of the file, checked as far as that needs no database, with its credentials.
pub(super) struct DeclaredMerchant {
    pub(super) name: String,
    pub(super) settings: merchant_settings::Changes,
    pub(super) gateways: Vec<DeclaredAccount>,
}

/// Parses a merchant's settings as the options of `khata merchant set`.
#[derive(clap::Parser)]
#[command(no_binary_name = true, disable_help_flag = true)]
struct Settings {
    #[command(flatten)]
    options: SettingsOptions,
}

/// Reads the merchants of the file, `-` for standard input, and the credentials that it names.
pub(super) fn read(path: &Path) -> anyhow::Result<Vec<DeclaredMerchant>> {
    let name = path.display();
    let text = text_of(path).with_context(|| format!("cannot read {name}"))?;
    let folder = path.parent().unwrap_or(Path::new("."));
    parse(&text, folder).with_context(|| name.to_string())
}

fn text_of(path: &Path) -> io::Result<String> {
    if path.as_os_str() != "-" {
        return fs::read_to_string(path);
    }
    let mut text = String::new();
    io::stdin().read_to_string(&mut text)?;
    Ok(text)
}

/// Parses the file's text, and reads the credentials that it names. `folder`: where the file is.
fn parse(text: &str, folder: &Path) -> anyhow::Result<Vec<DeclaredMerchant>> {
    let file: File = serde_saphyr::from_str(text)?;
    let mut names = BTreeSet::new();
    let mut declared = Vec::new();
    for merchant in file.merchants {
        let name = merchant.name.clone();
        if !names.insert(name.clone()) {
            bail!("merchant {name} is there twice");
        }
        let merchant = merchant.declared(folder);
        declared.push(merchant.with_context(|| format!("merchant {name}"))?);
    }
    Ok(declared)
}

impl FileMerchant {
    fn declared(self, folder: &Path) -> anyhow::Result<DeclaredMerchant> {
        check_name(&self.name)?;
        let settings = settings(&self.settings)?;
        let mut names = BTreeSet::new();
        let mut gateways = Vec::new();
        for gateway in self.gateways {
            let name = format!(
                "gateway account {} {}",
                gateway.gateway, gateway.reference_id
            );
            if !names.insert(name.clone()) {
                bail!("{name} is there twice");
            }
            gateways.push(gateway.declared(folder).context(name)?);
        }
        Ok(DeclaredMerchant {
            name: self.name,
            settings,
            gateways,
        })
    }
}

impl FileGateway {
    fn declared(self, folder: &Path) -> anyhow::Result<DeclaredAccount> {
        let credentials = match (self.credentials_file, self.credentials_env) {
            (Some(_), Some(_)) => {
                bail!("give credentials-file or credentials-env, not both")
            }
            (Some(file), None) => Some(read_credentials(&folder.join(file))?),
            (None, Some(name)) => {
                let value = env::var_os(&name);
                let value = value.with_context(|| {
                    format!(
                        "the environment variable {name}, which credentials-env names, is not set"
                    )
                })?;
                Some(Zeroizing::new(value.into_encoded_bytes()))
            }
            (None, None) => None,
        };
        let (base_url, no_base_url) = match self.base_url {
            BaseUrl::Kept => (None, false),
            BaseUrl::Public => (None, true),
            BaseUrl::Own(url) => (Some(url), false),
        };
        let settings = self.settings.map(Value::Object);
        Ok(DeclaredAccount {
            gateway: self.gateway,
            reference_id: self.reference_id,
            options: ConfigurationOptions {
                priority: self.priority,
                pinned_only: self.pinned_only,
                base_url,
                credentials_file: None,
                settings: settings.map(|settings| settings.to_string()),
                concurrency: None,
            },
            credentials,
            no_base_url,
            enabled: self.enabled,
        })
    }
}

/// Parses settings by the rules of the options.
fn settings(declared: &Map<String, Value>) -> anyhow::Result<merchant_settings::Changes> {
    let mut arguments = Vec::new();
    for (name, value) in declared {
        let value = match value {
            Value::String(text) => text.clone(),
            Value::Bool(_) | Value::Number(_) => value.to_string(),
            _ => bail!("the setting {name} must be one value"),
        };
        arguments.push(format!("--{name}={value}"));
    }
    let parsed = Settings::try_parse_from(arguments);
    let parsed = parsed.map_err(|error| {
        let text = error.to_string();
        // The first line says what is wrong; the others are about a command line.
        let line = text.lines().next().unwrap_or_default();
        let fault = line.trim_start_matches("error: ");
        anyhow::anyhow!("{fault}; the settings are the options of `khata merchant set`")
    })?;
    Ok(parsed.options.changes())
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use serde_json::json;

    use super::*;

    fn error_of(text: &str) -> String {
        let parsed = parse(text, Path::new("/etc/khata"));
        format!("{:#}", parsed.err().expect(text))
    }

    #[test]
    fn a_file_names_merchants_settings_and_gateway_accounts() {
        let text = "
merchants:
  - name: acme
    settings: { validation-deadline: 48h, penny-drops-per-day: 500, implicit-customers: false }
    gateways:
      - gateway: DUMMY
        reference-id: main
        priority: 2
        base-url: null
        settings: { calls_per_minute: 60, hours: ['06:00-22:00'], poll_ms: null }
      - gateway: DUMMY
        reference-id: second
        credentials-env: PATH
";
        let declared = parse(text, Path::new("/etc/khata")).unwrap().remove(0);
        let settings = declared.settings;
        assert_eq!(settings.validation_deadline_seconds, Some(172_800));
        assert_eq!(settings.penny_drops_per_day, Some(500));
        assert_eq!(settings.implicit_customers, Some(false));
        let [first, second] = &declared.gateways[..] else {
            panic!("{} gateway accounts", declared.gateways.len());
        };
        let given = json!({"calls_per_minute": 60, "hours": ["06:00-22:00"], "poll_ms": null});
        assert_eq!(first.options.settings, Some(given.to_string()));
        assert_eq!(first.options.priority, Some(2));
        assert!(first.no_base_url && first.options.base_url.is_none());
        assert!(!second.no_base_url, "not named");
        assert!(first.credentials.is_none());
        let credentials = second.credentials.as_ref().map(|plain| plain.as_slice());
        let path = env::var_os("PATH").map(OsString::into_encoded_bytes);
        assert_eq!(credentials, path.as_deref());
    }

    #[test]
    fn an_error_says_where_in_the_file_it_is() {
        let account = |more: &str| {
            format!(
                "merchants: [{{name: a, gateways: [{{gateway: PAYU, reference-id: b{more}}}]}}]"
            )
        };
        for (text, says) in [
            ("merchants: [{name: a, setings: {}}]", "setings"),
            (
                "merchants: [{name: a, gateways: [{gateway: PAYU}]}]",
                "reference-id",
            ),
            ("merchants: [{name: A}]", "lower-case"),
            (
                "merchants: [{name: a}, {name: a}]",
                "merchant a is there twice",
            ),
            (
                "merchants: [{name: a, settings: {event-days: 3}}]",
                "merchant a: invalid value '3' for '--event-days",
            ),
            (
                "merchants: [{name: a, settings: {event-dais: 3}}]",
                "'--event-dais' found; the settings are",
            ),
            (
                "merchants: [{name: a, settings: {event-days: [3]}}]",
                "event-days must be one value",
            ),
        ] {
            let error = error_of(text);
            assert!(error.contains(says), "{text}: {error}");
        }
        for (more, says) in [
            (", credentials-file: x, credentials-env: Y", "not both"),
            (", credentials-env: KHATA_NO_SUCH", "KHATA_NO_SUCH"),
            (", credentials-file: none.json", "/etc/khata/none.json"),
        ] {
            let error = error_of(&account(more));
            assert!(error.contains("gateway account PAYU b"), "{error}");
            assert!(error.contains(says), "{error}");
        }
    }
}
