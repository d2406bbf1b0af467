//! `khata-api gateway test`.

use std::time::Instant;

use anyhow::bail;
use khata_config::SandboxSettings;
use khata_crypto::KeyringSettings;
use khata_domain::CallFailure;
use khata_gateways::{Check, Connector};
use khata_store::DatabaseSettings;
use serde_json::json;

use super::super::{connect, print};
use super::{WhichAccount, Workbench};

/// `khata-api gateway test`.
#[derive(Clone, Debug, clap::Args)]
pub struct Test {
    #[command(flatten)]
    which: WhichAccount,
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

impl Test {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let workbench = Workbench::new(&self.keyring, self.sandbox)?;
        let mut connection = connect(&self.database.database_url)?;
        let (merchant, gateway, account) = self.which.find(&mut connection)?;
        // The call may take a while: no connection is held meanwhile.
        drop(connection);
        let began = Instant::now();
        let (outcome, said) = match workbench.connect(&account) {
            Ok(connector) => told(&*connector)?,
            Err(fault) => ("UNUSABLE", fault),
        };
        let latency_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        let name = format!(
            "{gateway} account {} of {}",
            account.reference_id, merchant.name
        );
        let means = match outcome {
            "ACCEPTED" => "the gateway accepts the credentials",
            "REFUSED" => {
                "the gateway turns us away: look at the credentials, and at its list of IP addresses and features"
            }
            "UNCLEAR" => {
                "the gateway answered, but not whether it accepts the credentials; try again, and look at base_url"
            }
            "UNREACHABLE" => "no answer from the gateway; look at base_url and the network",
            _ => "it cannot be asked: correct it with `khata-api gateway add --if-absent`",
        };
        let sentence = format!("{name}: {means} ({said}, {latency_ms} ms).");
        let report = json!({
            "id": account.id.to_string(),
            "gateway": gateway.name(),
            "reference_id": account.reference_id,
            "enabled": account.enabled,
            "outcome": outcome,
            "said": said,
            "latency_ms": latency_ms,
        });
        if outcome == "ACCEPTED" {
            return print(self.json, &report, &sentence);
        }
        if self.json {
            print(true, &report, "")?;
        }
        bail!(sentence)
    }
}

/// What the gateway says, as a word and in its own words.
fn told(connector: &dyn Connector) -> anyhow::Result<(&'static str, String)> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let (outcome, said) = match runtime.block_on(connector.check()) {
        Ok(Check::Accepted(said)) => ("ACCEPTED", said),
        Ok(Check::Refused(said)) => ("REFUSED", said),
        Ok(Check::Unclear(said)) => ("UNCLEAR", said),
        Err(CallFailure::NotSent(why) | CallFailure::ResponseLost(why)) => ("UNREACHABLE", why),
        Err(failure @ CallFailure::Rejected { .. }) => ("UNCLEAR", failure.to_string()),
    };
    // A gateway's own words: none of them may move the cursor.
    Ok((outcome, said.replace(char::is_control, "\u{fffd}")))
}
