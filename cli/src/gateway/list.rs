//! `khata gateway list`.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use diesel::{PgConnection, QueryResult};
use khata_domain::MerchantId;
use khata_domain::score::Score;
use khata_store::{gateway_accounts, gateway_health};
use serde_json::{Value, json};

use super::connectors::{ConnectorOptions, Connectors};
use super::health::HealthIssue;
use super::listed::{COUNTED_ATTEMPTS, Counted, Listed};
use crate::options::{CommonOptions, MerchantOption};

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct List {
    #[command(flatten)]
    merchant: MerchantOption,
    /// Count the results of attempts by gateway account, with possible double drops and unknown codes: attempts of
    /// validations created in the last 24 hours, the newest 100,000 of them. They are read by time and merchant, because
    /// no index begins with the gateway account; on a busy database this takes a moment
    #[arg(long)]
    attempts: bool,
    #[command(flatten)]
    common: CommonOptions,
    #[command(flatten)]
    connectors: ConnectorOptions,
}

impl List {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let connectors = self.connectors.connectors()?;
        let mut connection = self.common.connect()?;
        let merchant = self.merchant.find(&mut connection)?.id;
        let now = Utc::now();
        let counted = self
            .attempts
            .then(|| Counted::read(&mut connection, merchant, now))
            .transpose()?;
        let listed = read(
            &mut connection,
            &connectors,
            merchant,
            counted.as_ref(),
            now,
        )?;

        let accounts: Vec<Value> = listed.iter().map(|one| one.json(now)).collect();
        let mut document = json!({ "gateway_accounts": accounts });
        let mut blocks: Vec<String> = listed.iter().map(|one| one.text(now)).collect();
        if blocks.is_empty() {
            blocks.push("No gateway accounts. Add one with `khata gateway add`.".to_owned());
        }
        if let Some(counted) = &counted {
            document["attempts_all_counted"] = counted.has_all().into();
            if !counted.has_all() {
                blocks.push(format!(
                    "Only the newest {COUNTED_ATTEMPTS} attempts are counted."
                ));
            }
        }
        self.common.print(&document, &blocks.join("\n\n"))
    }
}

fn read(
    connection: &mut PgConnection,
    connectors: &Connectors,
    merchant: MerchantId,
    counted: Option<&Counted>,
    now: DateTime<Utc>,
) -> QueryResult<Vec<Listed>> {
    let accounts = gateway_accounts::of_merchant(connection, merchant)?;
    let states: HashMap<_, _> = gateway_health::of_merchant(connection, merchant)?
        .into_iter()
        .map(|state| (state.key.account, state))
        .collect();
    let scores = gateway_health::scores(connection, merchant)?;
    let listed = accounts.into_iter().map(|account| {
        let by_bank = scores.get(&account.id);
        Listed {
            traffic: connectors
                .of_account(&account)
                .map(|connector| connector.policy().traffic.clone()),
            issues: HealthIssue::all(states.get(&account.id), now),
            recent: Score::total(by_bank.into_iter().flat_map(HashMap::values), now),
            attempts: counted.map(|counted| counted.of_account(account.id)),
            account,
        }
    });
    Ok(listed.collect())
}
