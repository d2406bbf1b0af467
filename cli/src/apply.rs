//! `khata apply`: merchants with their settings and gateway accounts, as a file declares them.

mod file;

use std::path::PathBuf;

use anyhow::Context;
use diesel::{Connection, PgConnection};
use khata_domain::GatewayAccountId;
use khata_store::audit::{Actor, Changes};
use serde_json::{Value, json};

use crate::gateway::{ConnectorOptions, Connectors, apply_account};
use crate::merchant::apply_merchant;
use crate::options::{ActorOption, CommonOptions};
use file::DeclaredMerchant;

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Apply {
    /// YAML file, `-` for standard input
    #[arg(short, long, value_name = "FILE")]
    file: PathBuf,
    /// Make the changes; without this option the command only prints them
    #[arg(long)]
    yes: bool,
    /// Only print the changes, as without `--yes`
    #[arg(long, conflicts_with = "yes")]
    dry_run: bool,
    #[command(flatten)]
    common: CommonOptions,
    #[command(flatten)]
    connectors: ConnectorOptions,
    #[command(flatten)]
    actor: ActorOption,
}

/// The effect of a merchant's declaration.
struct AppliedMerchant {
    name: String,
    is_new: bool,
    changes: Changes,
    gateways: Vec<AppliedGateway>,
}

struct AppliedGateway {
    id: GatewayAccountId,
    gateway: String,
    reference_id: String,
    is_new: bool,
    changes: Changes,
}

impl Apply {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let is_applied = self.yes && !self.dry_run;
        let declared = file::read(&self.file)?;
        let connectors = self.connectors.connectors()?;
        // A change that is undone needs no name: its lines of the audit log are undone too.
        let actor = self.actor.name(connectors.sandbox_mode || !is_applied)?;
        let mut connection = self.common.connect()?;
        let mut applied = Vec::new();
        let done = connection.transaction::<_, anyhow::Error, _>(|connection| {
            for merchant in declared {
                let name = merchant.name.clone();
                let changed = apply(connection, &connectors, &actor, merchant);
                applied.push(changed.with_context(|| format!("merchant {name}"))?);
            }
            if is_applied {
                Ok(())
            } else {
                // The changes are made, so that they are known, and undone.
                Err(diesel::result::Error::RollbackTransaction.into())
            }
        });
        if let Err(error) = done
            && !is_rolled_back(&error)
        {
            return Err(error);
        }
        let merchants: Vec<Value> = applied.iter().map(AppliedMerchant::json).collect();
        let document = json!({ "applied": is_applied, "merchants": merchants });
        self.common.print(&document, &text(&applied, is_applied))
    }
}

fn is_rolled_back(error: &anyhow::Error) -> bool {
    let error = error.downcast_ref();
    matches!(error, Some(diesel::result::Error::RollbackTransaction))
}

/// Creates the merchant, or changes what the file names of it, and its gateway accounts.
fn apply(
    connection: &mut PgConnection,
    connectors: &Connectors,
    actor: &Actor,
    declared: DeclaredMerchant,
) -> anyhow::Result<AppliedMerchant> {
    let DeclaredMerchant { name, settings, .. } = declared;
    let sandbox_mode = connectors.sandbox_mode;
    let (merchant, is_new, changes) =
        apply_merchant(connection, actor, &name, &settings, sandbox_mode)?;
    let mut gateways = Vec::new();
    for account in declared.gateways {
        let (gateway, reference_id) = (account.gateway.clone(), account.reference_id.clone());
        let applied = apply_account(connection, connectors, actor, &merchant, account);
        let applied =
            applied.with_context(|| format!("gateway account {gateway} {reference_id}"))?;
        gateways.push(AppliedGateway {
            id: applied.id,
            gateway,
            reference_id,
            is_new: applied.is_new,
            changes: applied.changes,
        });
    }
    Ok(AppliedMerchant {
        name,
        is_new,
        changes,
        gateways,
    })
}

impl AppliedMerchant {
    fn json(&self) -> Value {
        let gateways = self.gateways.iter().map(|account| {
            json!({
                "id": account.id.to_string(),
                "gateway": account.gateway,
                "reference_id": account.reference_id,
                "created": account.is_new,
                "changed": account.changes.to_json(),
            })
        });
        json!({
            "name": self.name,
            "created": self.is_new,
            "changed": self.changes.to_json(),
            "gateway_accounts": gateways.collect::<Vec<_>>(),
        })
    }

    /// Returns a line for each value that differs.
    fn lines(&self) -> Vec<String> {
        let merchant = format!("merchant {}", self.name);
        let mut lines = lines(&merchant, self.is_new, &self.changes);
        for account in &self.gateways {
            let AppliedGateway {
                gateway,
                reference_id,
                ..
            } = account;
            let name = format!("{merchant}, {gateway} account {reference_id}");
            lines.extend(self::lines(&name, account.is_new, &account.changes));
        }
        lines
    }
}

fn lines(name: &str, is_new: bool, changes: &Changes) -> Vec<String> {
    let new = is_new.then(|| format!("{name}: new"));
    let values = changes.lines().map(|line| format!("{name}: {line}"));
    new.into_iter().chain(values).collect()
}

fn text(applied: &[AppliedMerchant], is_applied: bool) -> String {
    let mut lines: Vec<String> = applied.iter().flat_map(AppliedMerchant::lines).collect();
    let end = if lines.is_empty() {
        "Nothing to change: everything is as the file says."
    } else if is_applied {
        "Applied. The services use this within five seconds."
    } else {
        "Nothing was changed. Apply this with --yes."
    };
    lines.push(end.to_owned());
    lines.join("\n")
}
