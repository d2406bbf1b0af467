//! A stack's merchant, created with the operator's commands.

use std::path::Path;

use anyhow::Context;
use serde_json::{Map, Value, json};

use crate::database::{Database, as_role};
use crate::process;
use crate::settings::{KEYRING, Setting, Settings, settings};

const MERCHANT: &str = "e2e";
const CREDENTIALS: &str = r#"{"client_id":"sandbox_client","client_secret":"sandbox_secret"}"#;

/// Tests of the limits set their own.
const UNLIMITED: [&str; 3] = [
    "--requests-per-second=1000000",
    "--validations-per-account-per-day=32767",
    "--penny-drops-per-day=1000000000",
];

/// A merchant's account at a gateway; the default is the one at Cashfree that every stack has.
#[derive(Clone, Copy, Debug)]
pub struct GatewayAccount<'a> {
    pub merchant: &'a str,
    pub gateway: &'a str,
    /// The merchant's name for the account.
    pub reference_id: &'a str,
    /// Lower is used first.
    pub priority: i16,
    pub base_url: &'a str,
    pub credentials: &'a str,
    /// Time-out of a call, in milliseconds.
    pub call_timeout_ms: u64,
    /// More settings, JSON; they override those of every account here: short poll intervals and no limit of calls.
    pub settings: &'a str,
}

impl Default for GatewayAccount<'_> {
    fn default() -> Self {
        Self {
            merchant: MERCHANT,
            gateway: "CASHFREE",
            reference_id: "cashfree_e2e",
            priority: 1,
            base_url: "",
            credentials: CREDENTIALS,
            call_timeout_ms: 3_000,
            settings: "{}",
        }
    }
}

/// Creates the keyring and the merchant with its gateway account. Returns an API key.
pub(crate) fn create_merchant(
    folder: &Path,
    services: &[Setting],
    database: &Database,
    gateway: &str,
    call_timeout_ms: u64,
) -> anyhow::Result<String> {
    let mut own = services.to_vec();
    let url = as_role(&database.url, "khata_operator");
    own.extend(settings(&[("KHATA_DATABASE_URL", url.as_str())]));
    let keyring = process::run("khata", &["keyring", "generate"], &own)?;
    write_private(&folder.join(KEYRING), &keyring)?;
    let create = ["merchant", "create", "--name", MERCHANT];
    khata_json(&own, &[&create[..], &UNLIMITED[..]].concat())?;
    let account = GatewayAccount {
        base_url: gateway,
        call_timeout_ms,
        ..GatewayAccount::default()
    };
    add_gateway(folder, &own, &account)?;
    issue_key(&own, MERCHANT)
}

pub(crate) fn add_gateway(
    folder: &Path,
    services: &[Setting],
    account: &GatewayAccount<'_>,
) -> anyhow::Result<String> {
    let credentials = folder.join(format!("{}.json", account.reference_id));
    write_private(&credentials, account.credentials)?;
    let mut settings = json!({
        "poll_ms": [0, 500, 1000, 2000, 5000], "call_timeout_ms": account.call_timeout_ms, "calls_per_minute": 0,
    });
    if account.gateway == "CASHFREE" {
        // In production 90 s; a killed worker's calls would wait as long.
        settings["settle_s"] = 2.into();
    }
    let own: Map<String, Value> = serde_json::from_str(account.settings)?;
    for (name, value) in own {
        settings[name] = value;
    }
    let which = [
        "--merchant",
        account.merchant,
        "--gateway",
        account.gateway,
        "--reference-id",
        account.reference_id,
    ];
    let (credentials, priority) = (credentials.to_string_lossy(), account.priority.to_string());
    let run = |command: &str, settings: &Value| {
        let settings = settings.to_string();
        let configuration = [
            "--priority",
            &priority,
            "--base-url",
            account.base_url,
            "--credentials-file",
            &credentials,
            "--settings",
            &settings,
        ];
        let arguments = [&["gateway", command], &which[..], &configuration[..]].concat();
        khata_json(services, &arguments)
    };
    let added = match run("add", &settings) {
        Err(error) if format!("{error:#}").contains("`khata gateway set") => {
            let list = ["gateway", "list", "--merchant", account.merchant];
            let listed = khata_json(services, &list)?;
            remove_other_settings(&listed, account, &mut settings);
            run("set", &settings)?
        }
        added => added?,
    };
    let id = added["id"].as_str().context("an account without an id")?;
    Ok(id.to_owned())
}

/// Sets each setting of the existing account that is not among these to null.
fn remove_other_settings(listed: &Value, account: &GatewayAccount<'_>, settings: &mut Value) {
    let accounts = listed["gateway_accounts"].as_array().into_iter().flatten();
    let existing = accounts.filter(|one| {
        one["gateway"] == account.gateway && one["reference_id"] == account.reference_id
    });
    for (name, _) in existing.flat_map(|one| one["settings"].as_object().into_iter().flatten()) {
        if settings.get(name).is_none() {
            settings[name] = Value::Null;
        }
    }
}

/// Creates a merchant with a DUMMY gateway account and without limits in the stack whose settings this process has. Returns an
/// API key.
pub fn create_unlimited_merchant(name: &str) -> anyhow::Result<String> {
    let create = ["merchant", "create", "--if-absent", "--name", name];
    khata(&[&create[..], &UNLIMITED[..]].concat())?;
    issue_key(&process_settings(), name)
}

/// Runs an operator's command in the stack whose settings this process has. Returns what it prints.
pub fn khata(arguments: &[&str]) -> anyhow::Result<Value> {
    khata_json(&process_settings(), arguments)
}

fn process_settings() -> Settings {
    std::env::vars().collect()
}

pub(crate) fn issue_key(own: &[Setting], merchant: &str) -> anyhow::Result<String> {
    let issued = khata_json(own, &["key", "issue", "--merchant", merchant])?;
    let key = issued["key"].as_str().context("no key was printed")?;
    Ok(key.to_owned())
}

pub(crate) fn khata_json(own: &[Setting], arguments: &[&str]) -> anyhow::Result<Value> {
    let mut arguments = arguments.to_vec();
    arguments.push("--json");
    let stdout = process::run("khata", &arguments, own)?;
    serde_json::from_str(&stdout)
        .with_context(|| format!("khata {} did not print JSON: {stdout}", arguments.join(" ")))
}

pub(crate) fn write_private(path: &Path, text: &str) -> anyhow::Result<()> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    Ok(options.open(path)?.write_all(text.as_bytes())?)
}
