//! Compares a gateway's statement with the attempts at one gateway account.

mod columns;
mod compare;
mod values;

use std::path::PathBuf;

use anyhow::{Context, bail};
use chrono::{DateTime, Utc};
use diesel::PgConnection;
use khata_domain::{Gateway, GatewayAccountId};
use khata_store::{gateway_accounts, merchants};

use self::columns::{Columns, Named};
use self::compare::Comparison;
use super::report::Report;
use crate::gateway::parse_gateway_account;
use crate::options::find_merchant;
use crate::times::{Zone, parse_past, parse_zone};

#[derive(Clone, Debug, clap::Args)]
pub(super) struct StatementOptions {
    /// Compare this statement of a gateway account, a CSV file whose first line names the columns, with its attempts; checks nothing else
    #[arg(long = "statement", value_name = "FILE", requires = "gateway")]
    file: Option<PathBuf>,
    /// Id of the gateway account of the statement (gwa_…), as `gateway list` shows it
    #[arg(long, value_name = "GATEWAY_ACCOUNT", value_parser = parse_gateway_account, requires = "file")]
    gateway: Option<GatewayAccountId>,
    /// Column with our reference or the gateway's id [default: the first of those that the gateway's API names, or "reference"]
    #[arg(long, value_name = "NAME", requires = "file")]
    reference_column: Option<String>,
    /// Column with the amount in rupees, or "none" if each row is one rupee [default: "amount", "debit"]
    #[arg(long, value_name = "NAME", requires = "file")]
    amount_column: Option<String>,
    /// Column with the time of the payment [default: the first of those that the gateway's API names, or "time", "date"]
    #[arg(long, value_name = "NAME", requires = "file")]
    time_column: Option<String>,
    /// Column that says whether a row paid; needs --paid
    #[arg(long, value_name = "NAME", requires = "file", requires = "paid")]
    status_column: Option<String>,
    /// Words of the status column that say so; other rows are left out
    #[arg(
        long,
        value_name = "WORD,…",
        value_delimiter = ',',
        requires = "status_column"
    )]
    paid: Vec<String>,
    /// The amounts are in paise
    #[arg(long, requires = "file")]
    paise: bool,
    /// The statement begins then: "2026-11-01 IST", or a time in RFC 3339 [default: at its first row, of any amount]
    #[arg(long, value_name = "TIME", value_parser = parse_past, requires = "file")]
    since: Option<DateTime<Utc>>,
    /// The statement ends then [default: at its last row, of any amount; a row with a date alone lasts the whole day]
    #[arg(long, value_name = "TIME", value_parser = parse_past, requires = "file")]
    until: Option<DateTime<Utc>>,
    /// Zone of the statement's times that name none
    #[arg(long, value_name = "ZONE", value_parser = parse_zone, default_value = "IST")]
    statement_timezone: Zone,
}

impl StatementOptions {
    pub(super) fn is_given(&self) -> bool {
        self.file.is_some()
    }

    /// Compares the statement, and adds the findings to the report. The merchant, if one is named, must have the gateway account.
    pub(super) fn compare(
        &self,
        connection: &mut PgConnection,
        merchant: Option<&str>,
        report: &mut Report,
    ) -> anyhow::Result<()> {
        let file = self.file.as_deref().context("--statement is missing")?;
        let id = self.gateway.context("--gateway is missing")?;
        let account = gateway_accounts::find_by_id(connection, id)?;
        let account = account.with_context(|| {
            format!("no merchant has gateway account {id}; list a merchant's accounts with `khata gateway list --merchant …`")
        })?;
        if let Some(merchant) = merchant {
            let merchant = find_merchant(connection, merchant)?;
            if merchant.id != account.merchant {
                bail!("{} has no gateway account {id}", merchant.name);
            }
        }
        let merchant = merchants::of_id(connection, account.merchant)?;
        let gateway = Gateway::from_id(account.gateway_id)
            .context("this version of Khata does not know the gateway")?;
        let columns = Columns::find(file, gateway, &self.named())?;
        let comparison = Comparison {
            connection,
            report,
            merchant: &merchant,
            gateway_account: id,
            columns: &columns,
            since: self.since,
            until: self.until,
        };
        comparison.run()
    }

    fn named(&self) -> Named<'_> {
        Named {
            reference: self.reference_column.as_deref(),
            amount: self.amount_column.as_deref(),
            time: self.time_column.as_deref(),
            status: self.status_column.as_deref(),
            paid: &self.paid,
            is_paise: self.paise,
            zone: self.statement_timezone,
        }
    }
}
