//! `khata gateway test`.

use std::time::Instant;

use anyhow::bail;
use khata_domain::CallFailure;
use khata_gateways::{Check, Connector};

use super::connectors::ConnectorOptions;
use super::which::WhichAccount;
use crate::output::{clean, is_json};

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Test {
    #[command(flatten)]
    which: WhichAccount,
    #[command(flatten)]
    connectors: ConnectorOptions,
}

impl Test {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let connectors = self.connectors.connectors()?;
        // The call may be slow; the database connection is not held meanwhile.
        let (_, found) = self.which.find()?;
        let began = Instant::now();
        let (outcome, said) = match connectors.of_account(&found.account) {
            Ok(connector) => check(&*connector)?,
            Err(error) => ("UNUSABLE", error),
        };
        let latency_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
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
                " Correct them with `khata gateway set`.",
            ),
        };
        let name = found.name();
        let sentence = format!("{name}: {result} ({said}, {latency_ms} ms).{advice}");
        let mut document = found.json();
        document["enabled"] = found.account.enabled.into();
        document["outcome"] = outcome.into();
        document["said"] = said.into();
        document["latency_ms"] = latency_ms.into();
        let common = &self.which.common;
        if outcome == "ACCEPTED" {
            return common.print(&document, &sentence);
        }
        if is_json() {
            common.print(&document, "")?;
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
        Err(CallFailure::NotSent(why)) => ("UNREACHABLE", why),
        Err(CallFailure::ResponseLost(lost)) => ("UNREACHABLE", lost.reason),
        Err(failure @ (CallFailure::Rejected { .. } | CallFailure::NotReceived)) => {
            ("UNCLEAR", failure.to_string())
        }
    };
    Ok((outcome, clean(&said)))
}
