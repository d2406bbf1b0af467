//! `khata gateway list`.

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, TimeDelta, Utc};
use diesel::{PgConnection, QueryResult};
use khata_domain::score::Score;
use khata_domain::traffic::Traffic;
use khata_domain::{GatewayAccountId, MerchantId};
use khata_store::gateway_accounts::{self, GatewayAccount, UnlistedCode};
use khata_store::gateway_health;
use serde_json::{Value, json};

use super::connectors::ConnectorOptions;
use super::health::HealthIssue;
use super::which::gateway_name;
use crate::options::{CommonOptions, MerchantOption};
use crate::output::{NONE, Table, joined_or, milliseconds, or_none, yes_or_no};

/// Age of the oldest validation whose attempts are counted.
const COUNTED: TimeDelta = TimeDelta::hours(24);
/// Maximum number of attempts that are counted, the newest first.
const COUNTED_ATTEMPTS: i64 = 100_000;
/// Maximum number of unknown codes in the text; the JSON document has all.
const SHOWN_CODES: usize = 5;
/// Minimum weight of recent attempts for a success rate.
const MIN_WEIGHT: f64 = 0.5;

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

/// One gateway account.
struct Listed {
    account: GatewayAccount,
    /// The limits of its calls, or why the account cannot be used.
    traffic: Result<Traffic, String>,
    issues: Vec<HealthIssue>,
    /// Results of recent attempts, over all banks.
    recent: Score,
    attempts: Option<Attempts>,
}

/// Results of one gateway account's attempts.
#[derive(Default)]
struct Attempts {
    by_class: BTreeMap<String, i64>,
    possible_double_drops: i64,
    /// Codes that are missing from the connector's table, the most frequent first.
    unlisted: Vec<UnlistedCode>,
}

impl List {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let connectors = self.connectors.connectors()?;
        let (mut connection, merchant) = self.common.connect_for(&self.merchant)?;
        let (merchant, now) = (merchant.id, Utc::now());
        let counted = self
            .attempts
            .then(|| count_attempts(&mut connection, merchant, now));
        let (mut attempts, all_counted) = counted.transpose()?.unzip();
        let accounts = gateway_accounts::of_merchant(&mut connection, merchant)?;
        let mut issues = HealthIssue::of_merchant(&mut connection, merchant, now)?;
        let scores = gateway_health::scores(&mut connection, merchant)?;
        let listed = accounts.into_iter().map(|account| {
            let (id, connector) = (account.id, connectors.of_account(&account));
            let by_bank = scores.get(&id);
            let of_account = |all: &mut HashMap<_, _>| all.remove(&id).unwrap_or_default();
            Listed {
                account,
                traffic: connector.map(|connector| connector.policy().traffic.clone()),
                issues: issues.remove(&id).unwrap_or_default(),
                recent: Score::total(by_bank.into_iter().flat_map(HashMap::values), now),
                attempts: attempts.as_mut().map(of_account),
            }
        });
        let listed: Vec<Listed> = listed.collect();

        let accounts: Vec<Value> = listed.iter().map(|one| one.json(now)).collect();
        let mut document = json!({ "gateway_accounts": accounts });
        let mut blocks: Vec<String> = listed.iter().map(|one| one.text(now)).collect();
        if blocks.is_empty() {
            blocks.push("No gateway accounts. Add one with `khata gateway add`.".to_owned());
        }
        if let Some(all_counted) = all_counted {
            document["attempts_all_counted"] = all_counted.into();
            if !all_counted {
                blocks.push(format!(
                    "Only the newest {COUNTED_ATTEMPTS} attempts are counted."
                ));
            }
        }
        self.common.print(&document, &blocks.join("\n\n"))
    }
}

/// Returns the results of a merchant's attempts by gateway account, and whether the limit left none uncounted.
fn count_attempts(
    connection: &mut PgConnection,
    merchant: MerchantId,
    now: DateTime<Utc>,
) -> QueryResult<(HashMap<GatewayAccountId, Attempts>, bool)> {
    let (since, limit) = (now - COUNTED, COUNTED_ATTEMPTS);
    let (mut attempts, mut total) = (HashMap::<_, Attempts>::new(), 0);
    for count in gateway_accounts::attempts_by_class(connection, merchant, since, limit)? {
        total += count.attempts;
        let of_account = attempts.entry(count.gateway_account).or_default();
        of_account.possible_double_drops += count.possible_double_drops;
        of_account.by_class.insert(count.class, count.attempts);
    }
    for code in gateway_accounts::unlisted_codes(connection, merchant, since, limit)? {
        let of_account = attempts.entry(code.gateway_account).or_default();
        of_account.unlisted.push(code);
    }
    Ok((attempts, total < limit))
}

impl Listed {
    fn text(&self, now: DateTime<Utc>) -> String {
        let account = &self.account;
        let limits = self.traffic.as_ref().ok().map(limits);
        let mut facts = Table::facts()
            .fact("health", self.health())
            .fact("recent success", self.recent_success(now))
            .fact("enabled", yes_or_no(account.enabled))
            .fact("order", self.order())
            .fact("usable", self.usable())
            .fact("limits", or_none(limits))
            .fact("base url", or_none(account.base_url.as_ref()))
            .fact("webhook path", self.webhook_path());
        if let Some(attempts) = &self.attempts {
            facts = facts
                .fact("attempts in 24 h", attempts.by_class())
                .fact("possible double drops", attempts.possible_double_drops)
                .fact("unknown codes", attempts.unlisted());
        }
        format!(
            "{} {} {}\n{}",
            gateway_name(account.gateway_id),
            account.reference_id,
            account.id,
            facts.indented(2)
        )
    }

    /// Returns `yes`, or why workers begin no validation at the account now.
    fn usable(&self) -> String {
        if let Err(error) = &self.traffic {
            return format!("no: {error}");
        }
        if !self.account.enabled {
            return "no: disabled".to_owned();
        }
        if self.issues.iter().any(HealthIssue::blocks) {
            return "not now, see health".to_owned();
        }
        "yes".to_owned()
    }

    fn health(&self) -> String {
        if self.issues.is_empty() {
            return "ok".to_owned();
        }
        let issues: Vec<_> = self.issues.iter().map(ToString::to_string).collect();
        let advice = if self.issues.iter().any(HealthIssue::is_misconfigured) {
            ". Check its credentials, its balance and the gateway's IP allow-list: `khata gateway test` shows whether \
             the gateway accepts us, `khata gateway set` corrects the account"
        } else if self.issues.iter().any(HealthIssue::is_circuit) {
            " (most recent calls failed); retried automatically. Ask the gateway, or check its status page"
        } else {
            ""
        };
        format!("{}{advice}", issues.join("; "))
    }

    fn recent_success(&self, now: DateTime<Utc>) -> String {
        let weight = self.recent.weight(now);
        if weight < MIN_WEIGHT {
            return "no recent attempts".to_owned();
        }
        let latency = self.recent.latency_ms;
        let latency = latency.map(|ms| format!(", {} on average", milliseconds(ms)));
        let share = 100.0 * self.recent.conclusive / weight;
        format!(
            "{share:.0} % of ~{weight:.0} attempts{}",
            latency.unwrap_or_default()
        )
    }

    fn order(&self) -> String {
        let calls = if self.account.pinned_only {
            "only calls that name it"
        } else {
            "all calls"
        };
        format!("priority {}, for {calls}", self.account.priority)
    }

    /// Returns the path below the API's public address that the gateway sends its webhooks to.
    fn webhook_path(&self) -> String {
        let gateway = gateway_name(self.account.gateway_id);
        format!("/gateways/{gateway}/webhooks/{}", self.account.id)
    }

    fn json(&self, now: DateTime<Utc>) -> Value {
        let account = &self.account;
        let issues: Vec<Value> = self.issues.iter().map(HealthIssue::json).collect();
        let weight = self.recent.weight(now);
        let mut document = json!({
            "gateway": gateway_name(account.gateway_id),
            "gateway_id": account.gateway_id,
            "reference_id": account.reference_id,
            "id": account.id.to_string(),
            "priority": account.priority,
            "enabled": account.enabled,
            "pinned_only": account.pinned_only,
            "base_url": account.base_url,
            "settings": account.settings,
            "usable": self.usable() == "yes",
            "fault": self.traffic.as_ref().err(),
            "health": { "ok": issues.is_empty(), "troubles": issues },
            "recent": {
                "attempts": weight,
                "success": (weight >= MIN_WEIGHT).then(|| self.recent.conclusive / weight),
                "latency_ms": self.recent.latency_ms,
            },
            "limits": self.traffic.as_ref().ok().map(limits_json),
            "webhook_path": self.webhook_path(),
        });
        if let Some(attempts) = &self.attempts {
            let codes = attempts.unlisted.iter();
            let codes = codes.map(|code| (code.code.as_str(), code.attempts));
            let codes: BTreeMap<_, _> = codes.collect();
            document["attempts_24h"] = json!(attempts.by_class);
            document["possible_double_drops_24h"] = attempts.possible_double_drops.into();
            document["unlisted_codes_24h"] = json!(codes);
        }
        document
    }
}

impl Attempts {
    fn by_class(&self) -> String {
        let each = self.by_class.iter();
        joined_or(
            each.map(|(class, attempts)| format!("{attempts} {class}")),
            NONE,
        )
    }

    fn unlisted(&self) -> String {
        let more = self.unlisted.len().saturating_sub(SHOWN_CODES);
        let rest = (more > 0).then(|| format!("and {more} other codes"));
        let shown = self.unlisted.iter().take(SHOWN_CODES);
        let shown = shown.map(|code| format!("{} {}", code.attempts, code.code));
        joined_or(shown.chain(rest), NONE)
    }
}

fn limits(traffic: &Traffic) -> String {
    let (minute, concurrency) = (traffic.calls_per_minute, traffic.concurrency);
    let minute = minute.map_or("any number of".to_owned(), |calls| calls.to_string());
    let concurrency = match concurrency {
        Some(calls) => calls.to_string(),
        None if traffic.shares_worker => "three quarters of each worker".to_owned(),
        None => "any number".to_owned(),
    };
    let mut limits = vec![
        format!("{minute} calls a minute"),
        format!("{concurrency} at once"),
    ];
    for (calls, hours) in [
        ("", &traffic.hours),
        ("UPI penny drops ", &traffic.upi_penny_drop_hours),
    ] {
        let spans = hours.spans();
        if !spans.is_empty() {
            limits.push(format!("{calls}{} IST", spans.join(" and ")));
        }
    }
    limits.join(", ")
}

fn limits_json(traffic: &Traffic) -> Value {
    json!({
        "calls_per_minute": traffic.calls_per_minute,
        "concurrency": traffic.concurrency,
        "hours": traffic.hours.spans(),
        "upi_penny_drop_hours": traffic.upi_penny_drop_hours.spans(),
        "recover_for_s": traffic.recover_for.map(|time| time.as_secs()),
    })
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use khata_domain::traffic::Hours;

    use super::*;

    #[test]
    fn limits_are_formatted_as_text_and_json() {
        assert_eq!(
            limits(&Traffic::default()),
            "any number of calls a minute, any number at once"
        );
        let shared = Traffic {
            shares_worker: true,
            ..Traffic::default()
        };
        assert_eq!(
            limits(&shared),
            "any number of calls a minute, three quarters of each worker at once"
        );
        let some = Traffic {
            calls_per_minute: NonZeroU32::new(100),
            concurrency: NonZeroU32::new(20),
            hours: Hours::parse(&["06:00-22:00"]).unwrap(),
            upi_penny_drop_hours: Hours::parse(&["13:00-17:00", "21:30-10:00"]).unwrap(),
            ..Traffic::default()
        };
        assert_eq!(
            limits(&some),
            "100 calls a minute, 20 at once, 06:00-22:00 IST, \
             UPI penny drops 13:00-17:00 and 21:30-24:00 and 00:00-10:00 IST"
        );
        assert_eq!(limits_json(&some)["hours"], json!(["06:00-22:00"]));
    }
}
