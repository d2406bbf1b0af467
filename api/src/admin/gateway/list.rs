//! `khata-api gateway list`.

use std::collections::BTreeMap;

use chrono::{TimeDelta, Utc};
use khata_shared::config::{DatabaseSettings, KeyringSettings, SandboxSettings};
use khata_shared::store::gateway_accounts::{self, AttemptCount, GatewayAccount};
use serde_json::{Value, json};

use super::super::table::{NONE, Table, or_none, yes};
use super::super::{connect, find_merchant, print};
use super::{Workbench, gateway_name};

/// Attempts are counted for the validations of this time.
const COUNTED: TimeDelta = TimeDelta::hours(24);
/// Of them, this many are counted.
const COUNTED_ATTEMPTS: i64 = 100_000;

/// `khata-api gateway list`.
#[derive(Clone, Debug, clap::Args)]
pub struct List {
    /// The merchant's name or id
    #[arg(long)]
    merchant: String,
    /// Count also what attempts came to, by gateway account: those of validations asked for in the last 24 hours, the
    /// newest 100,000 of them. They are read by time and merchant, as no index leads by gateway account; on a busy
    /// database this takes a moment
    #[arg(long)]
    attempts: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    database: DatabaseSettings,
    #[command(flatten)]
    keyring: KeyringSettings,
    #[command(flatten)]
    sandbox: SandboxSettings,
}

type Classes = BTreeMap<String, i64>;

impl List {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let workbench = Workbench::new(&self.keyring, self.sandbox)?;
        let mut connection = connect(&self.database.database_url)?;
        let merchant = find_merchant(&mut connection, &self.merchant)?;
        let accounts = gateway_accounts::of_merchant(&mut connection, merchant.id())?;
        let counts = if self.attempts {
            let since = Utc::now() - COUNTED;
            let id = merchant.id();
            gateway_accounts::attempts_by_class(&mut connection, id, since, COUNTED_ATTEMPTS)?
        } else {
            Vec::new()
        };
        let all_counted = counts.iter().map(|count| count.attempts).sum::<i64>() < COUNTED_ATTEMPTS;

        let mut head = vec![
            "GATEWAY",
            "REFERENCE ID",
            "ID",
            "PRIORITY",
            "ENABLED",
            "PINNED ONLY",
            "BASE URL",
            "USABLE",
        ];
        if self.attempts {
            head.push("ATTEMPTS IN 24 H");
        }
        let mut table = Table::new(&head);
        let mut told = Vec::new();
        for account in &accounts {
            let fault = workbench.connect(account).err();
            let classes = self.attempts.then(|| classes_of(account, &counts));
            let mut row = vec![
                gateway_name(account.gateway_id),
                account.reference_id.clone(),
                account.id().to_string(),
                account.priority.to_string(),
                yes(account.enabled),
                yes(account.pinned_only),
                or_none(account.base_url.as_ref()),
                fault
                    .clone()
                    .map_or_else(|| yes(true), |fault| format!("no: {fault}")),
            ];
            row.extend(classes.as_ref().map(text));
            table.row(row);
            told.push(account_json(account, fault.as_deref(), classes));
        }
        let mut shown = table.to_string();
        let mut report = json!({ "gateway_accounts": told });
        if self.attempts {
            report["attempts_all_counted"] = all_counted.into();
            if !all_counted {
                shown.push_str("\nOnly the newest 100000 attempts are counted.");
            }
        }
        print(self.json, &report, &shown)
    }
}

fn classes_of(account: &GatewayAccount, counts: &[AttemptCount]) -> Classes {
    counts
        .iter()
        .filter(|count| count.gateway_account() == account.id())
        .map(|count| (count.class.clone(), count.attempts))
        .collect()
}

fn text(classes: &Classes) -> String {
    if classes.is_empty() {
        return NONE.to_owned();
    }
    let each: Vec<String> = classes
        .iter()
        .map(|(class, attempts)| format!("{attempts} {class}"))
        .collect();
    each.join(", ")
}

fn account_json(account: &GatewayAccount, fault: Option<&str>, classes: Option<Classes>) -> Value {
    let mut told = json!({
        "gateway": gateway_name(account.gateway_id),
        "gateway_id": account.gateway_id,
        "reference_id": account.reference_id,
        "id": account.id().to_string(),
        "priority": account.priority,
        "enabled": account.enabled,
        "pinned_only": account.pinned_only,
        "base_url": account.base_url,
        "settings": account.settings,
        "usable": fault.is_none(),
        "fault": fault,
    });
    if let Some(classes) = classes {
        told["attempts_24h"] = json!(classes);
    }
    told
}
