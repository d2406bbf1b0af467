//! `khata gateway test`.

use std::time::Instant;

use anyhow::bail;
use khata_domain::CallFailure;
use khata_gateways::{Check, Connector};
use serde_json::json;

use super::connectors::ConnectorOptions;
use super::which::WhichAccount;
use crate::options::CommonOptions;
use crate::output::clean;

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Test {
    #[command(flatten)]
    which: WhichAccount,
    #[command(flatten)]
    common: CommonOptions,
    #[command(flatten)]
    connectors: ConnectorOptions,
}

impl Test {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let connectors = self.connectors.connectors()?;
        let mut connection = self.common.connect()?;
        let (merchant, gateway, account) = self.which.find(&mut connection)?;
        // The call may be slow; the database connection is not held meanwhile.
        drop(connection);
        let began = Instant::now();
        let (outcome, said) = match connectors.of_account(&account) {
            Ok(connector) => check(&*connector)?,
            Err(error) => ("UNUSABLE", error),
        };
        let latency_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        let name = format!(
            "{gateway} account {} of {}",
            account.reference_id, merchant.name
        );
        let (result, advice) = match outcome {
            "ACCEPTED" => ("the gateway accepts the credentials", ""),
            "REFUSED" => (
                "the gateway rejected us",
                " Check the credentials, its IP allow-list, and that the feature is enabled.",
            ),
            "UNCLEAR" => (
                "the gateway answered, but not whether it accepts the credentials",
                " Try again, and check base_url.",
            ),
            "UNREACHABLE" => (
                "no response from the gateway",
                " Check base_url and the network.",
            ),
            _ => (
                "the stored credentials or settings are invalid",
                " Correct them with `khata gateway add --if-absent`.",
            ),
        };
        let sentence = format!("{name}: {result} ({said}, {latency_ms} ms).{advice}");
        let document = json!({
            "id": account.id.to_string(),
            "gateway": gateway.name(),
            "reference_id": account.reference_id,
            "enabled": account.enabled,
            "outcome": outcome,
            "said": said,
            "latency_ms": latency_ms,
        });
        if outcome == "ACCEPTED" {
            return self.common.print(&document, &sentence);
        }
        if self.common.json {
            self.common.print(&document, "")?;
        }
        bail!(sentence)
    }
}

/// Calls the gateway. Returns the outcome's word and the gateway's own words.
fn check(connector: &dyn Connector) -> anyhow::Result<(&'static str, String)> {
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
    Ok((outcome, clean(&said)))
}
