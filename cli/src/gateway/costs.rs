//! `khata gateway costs`: the rupees of each day and gateway account.

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, Utc};
use diesel::{PgConnection, QueryResult};
use khata_domain::GatewayAccountId;
use khata_store::doctor;
use khata_store::gateway_accounts;
use khata_store::merchants::{self, Merchant};
use khata_store::penny_drops::{Cost, attempts_by_day};
use serde_json::{Value, json};

use super::which::gateway_name;
use crate::attempts;
use crate::options::{CommonOptions, find_merchant};
use crate::output::{NONE, Table, time};
use crate::times::{midnight_in_india, parse_past};

/// Days before this one, unless the operator says otherwise.
const DEFAULT_DAYS: u64 = 6;

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Costs {
    /// Name or id of the merchant, if not of all
    #[arg(long)]
    merchant: Option<String>,
    /// Attempts that began since then: "2026-11-01 IST", 7d, or a time in RFC 3339 [default: seven days in India, with this one]
    #[arg(long, value_name = "TIME", value_parser = parse_past)]
    since: Option<DateTime<Utc>>,
    /// Attempts that began before then [default: now]
    #[arg(long, value_name = "TIME", value_parser = parse_past)]
    until: Option<DateTime<Utc>>,
    #[command(flatten)]
    common: CommonOptions,
}

/// A day in India, a merchant's name, a gateway's name, and a gateway account.
type Place = (String, String, String, GatewayAccountId);

/// Numbers of attempts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counts {
    rupees: i64,
    possible_rupees: i64,
    without_rupee: i64,
}

impl Counts {
    fn add(&mut self, cost: Cost, attempts: i64) {
        *match cost {
            Cost::Rupee => &mut self.rupees,
            Cost::PossibleRupee => &mut self.possible_rupees,
            Cost::NoRupee => &mut self.without_rupee,
        } += attempts;
    }

    fn attempts(self) -> i64 {
        self.rupees + self.possible_rupees + self.without_rupee
    }
}

/// The counts by day and gateway account, and the merchants' names of these.
#[derive(Default)]
struct Report {
    counts: BTreeMap<Place, Counts>,
    reference_ids: HashMap<GatewayAccountId, String>,
}

impl Costs {
    pub(super) fn run(&self) -> anyhow::Result<()> {
        let now = Utc::now();
        let since = self
            .since
            .unwrap_or_else(|| midnight_in_india(now, DEFAULT_DAYS));
        let until = self.until.unwrap_or(now);
        let mut connection = self.common.connect()?;
        doctor::prepare(&mut connection)?;
        let merchants = match &self.merchant {
            Some(merchant) => vec![find_merchant(&mut connection, merchant)?],
            None => merchants::all(&mut connection)?,
        };
        let mut report = Report::default();
        for merchant in &merchants {
            report.add(&mut connection, merchant, since, until)?;
        }
        let costs: Vec<Value> = report.rows().map(|row| report.json_of(row)).collect();
        let document = json!({
            "since": time(since),
            "until": time(until),
            "costs": costs,
        });
        self.common.print(&document, &report.text(since, until))
    }
}

impl Report {
    fn add(
        &mut self,
        connection: &mut PgConnection,
        merchant: &Merchant,
        since: DateTime<Utc>,
        until: DateTime<Utc>,
    ) -> QueryResult<()> {
        let accounts = gateway_accounts::of_merchant(connection, merchant.id)?;
        let named = accounts
            .into_iter()
            .map(|account| (account.id, account.reference_id));
        self.reference_ids.extend(named);
        attempts::walk(connection, merchant, since, until, |connection, page| {
            for row in attempts_by_day(connection, merchant.id, page, since, until)? {
                let (cost, attempts) = (row.cost(), row.attempts);
                let gateway = gateway_name(row.gateway_id);
                let place = (row.day, merchant.name.clone(), gateway, row.gateway_account);
                self.counts.entry(place).or_default().add(cost, attempts);
            }
            Ok(true)
        })
    }

    fn rows(&self) -> impl Iterator<Item = (&Place, &Counts)> {
        self.counts.iter()
    }

    fn reference_id(&self, account: GatewayAccountId) -> &str {
        self.reference_ids
            .get(&account)
            .map_or(NONE, String::as_str)
    }

    fn json_of(&self, ((day, merchant, gateway, account), counts): (&Place, &Counts)) -> Value {
        json!({
            "day": day,
            "merchant": merchant,
            "gateway": gateway,
            "gateway_account_id": account.to_string(),
            "gateway_reference_id": self.reference_ids.get(account),
            "attempts": counts.attempts(),
            "rupees": counts.rupees,
            "possible_rupees": counts.possible_rupees,
            "without_rupee": counts.without_rupee,
        })
    }

    fn text(&self, since: DateTime<Utc>, until: DateTime<Utc>) -> String {
        let (since, until) = (time(since), time(until));
        if self.counts.is_empty() {
            return format!("No attempt began from {since} to {until}.");
        }
        let headings = [
            "DAY",
            "MERCHANT",
            "GATEWAY",
            "ACCOUNT",
            "ATTEMPTS",
            "RUPEES",
            "POSSIBLE RUPEES",
            "NO RUPEE",
        ];
        let rows = self
            .rows()
            .map(|((day, merchant, gateway, account), counts)| {
                [
                    day.clone(),
                    merchant.clone(),
                    gateway.clone(),
                    self.reference_id(*account).to_owned(),
                    counts.attempts().to_string(),
                    counts.rupees.to_string(),
                    counts.possible_rupees.to_string(),
                    counts.without_rupee.to_string(),
                ]
            });
        let table = Table::rows(headings, rows);
        let rupees: i64 = self.counts.values().map(|counts| counts.rupees).sum();
        let possible: i64 = self
            .counts
            .values()
            .map(|counts| counts.possible_rupees)
            .sum();
        format!(
            "{table}\n\nRupees from {since} to {until}: {rupees}, and possibly {possible} more. A day begins at midnight in India. \
             Possible rupees are penny drops whose result is unknown or open, and those that a gateway accepted and did not report as \
             valid: it may have kept or returned the rupee, and its statement decides (`khata doctor --statement`). Gateways' fees \
             are not included."
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_report_adds_the_attempts_of_a_day_and_gateway_account() {
        let mut report = Report::default();
        let account = GatewayAccountId::new();
        report.reference_ids.insert(account, "main".to_owned());
        let place = |day: &str| {
            let (day, merchant, gateway) = (day.to_owned(), "acme".to_owned(), "SETU".to_owned());
            (day, merchant, gateway, account)
        };
        for (day, cost, attempts) in [
            ("2026-11-29", Cost::Rupee, 2),
            ("2026-11-30", Cost::Rupee, 3),
            ("2026-11-30", Cost::PossibleRupee, 4),
            ("2026-11-30", Cost::NoRupee, 5),
            ("2026-11-30", Cost::Rupee, 6),
        ] {
            let counts = report.counts.entry(place(day)).or_default();
            counts.add(cost, attempts);
        }
        let costs: Vec<Value> = report.rows().map(|row| report.json_of(row)).collect();
        assert_eq!(costs.len(), 2);
        let today = &costs[1];
        for (name, count) in [("attempts", 18), ("rupees", 9), ("possible_rupees", 4)] {
            assert_eq!(today[name], count, "{name}: {today}");
        }
        assert_eq!(
            (&today["day"], &today["gateway_reference_id"]),
            (&"2026-11-30".into(), &"main".into())
        );
        let (since, until) = (DateTime::UNIX_EPOCH, Utc::now());
        let text = report.text(since, until);
        assert!(text.contains(": 11, and possibly 4 more."), "{text}");
        let nothing = Report::default().text(since, until);
        assert!(nothing.starts_with("No attempt began from"), "{nothing}");
    }
}
