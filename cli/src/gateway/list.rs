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
<<<<<<< HEAD
        let connectors = self.connectors.connectors()?;
        let mut connection = self.common.connect()?;
        let merchant = self.merchant.find(&mut connection)?.id();
        let now = Utc::now();
=======
        let workbench = Workbench::new(&self.keyring, self.sandbox)?;
        let mut connection = connect(&self.database.database_url)?;
        let merchant = find_merchant(&mut connection, &self.merchant)?.id;
>>>>>>> api
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
                .map(|connector| connector.traffic().clone()),
<<<<<<< HEAD
            issues: HealthIssue::all(states.get(&account.id()), now),
=======
            troubles: HealthIssue::of(states.get(&account.id), now),
>>>>>>> api
            recent: Score::total(by_bank.into_iter().flat_map(HashMap::values), now),
            attempts: counted.map(|counted| counted.of_account(account.id())),
            account,
        }
    });
    Ok(listed.collect())
}
<<<<<<< HEAD
=======

impl Counted {
    fn read(connection: &mut PgConnection, merchant: MerchantId) -> anyhow::Result<Self> {
        let since = Utc::now() - COUNTED;
        let limit = COUNTED_ATTEMPTS;
        Ok(Self {
            counts: gateway_accounts::attempts_by_class(connection, merchant, since, limit)?,
            unlisted: gateway_accounts::unlisted_codes(connection, merchant, since, limit)?,
        })
    }

    fn at(&self, account: &GatewayAccount) -> Attempts {
        let here = || {
            self.counts
                .iter()
                .filter(|count| count.gateway_account == account.id)
        };
        let unlisted = self.unlisted.iter();
        Attempts {
            by_class: here()
                .map(|count| (count.class.clone(), count.attempts))
                .collect(),
            possible_double_drops: here().map(|count| count.possible_double_drops).sum(),
            unlisted: unlisted
                .filter(|code| code.gateway_account == account.id)
                .cloned()
                .collect(),
        }
    }
}

impl Listed {
    fn text(&self, now: DateTime<Utc>) -> String {
        let account = &self.account;
        let mut facts = Table::facts([
            ("health", self.health()),
            ("told lately", self.told_lately(now)),
            ("enabled", yes(account.enabled)),
            ("order", self.order()),
            (
                "usable",
                self.traffic
                    .as_ref()
                    .map_or_else(|fault| format!("no: {fault}"), |_| yes(true)),
            ),
            (
                "limits",
                self.traffic.as_ref().map_or(NONE.to_owned(), limits),
            ),
            ("base url", or_none(account.base_url.as_ref())),
            ("call-backs to", self.call_back_path()),
        ]);
        if let Some(attempts) = &self.attempts {
            facts.fact("attempts in 24 h", &attempts.by_class());
            facts.fact(
                "possible double drops",
                &attempts.possible_double_drops.to_string(),
            );
            facts.fact("codes in no table", &attempts.unlisted());
        }
        let name = gateway_name(account.gateway_id);
        format!(
            "{name} {} {}\n{}",
            account.reference_id,
            account.id,
            facts.indented(2)
        )
    }

    fn health(&self) -> String {
        if self.troubles.is_empty() {
            return "ok".to_owned();
        }
        let told: Vec<_> = self.troubles.iter().map(ToString::to_string).collect();
        let mut told = told.join("; ");
        let refused = |trouble: &HealthIssue| matches!(trouble, HealthIssue::Misconfigured { .. });
        if self.troubles.iter().any(refused) {
            told.push_str(
                ": look at its credentials, its balance and the gateway's list of IP addresses; `khata-api gateway test` \
                 asks whether it accepts us, `khata-api gateway add --if-absent` corrects it",
            );
            return told;
        }
        let down = |trouble: &HealthIssue| {
            matches!(trouble, HealthIssue::Down { .. } | HealthIssue::Probed)
        };
        if self.troubles.iter().any(down) {
            told.push_str(
                ": most calls of late failed; it is tried again by itself. Ask the gateway, or look at its status page",
            );
        }
        told
    }

    fn told_lately(&self, now: DateTime<Utc>) -> String {
        let weight = self.recent.weight(now);
        if weight < FADED {
            return "nothing to go by".to_owned();
        }
        let latency = self
            .recent
            .latency_ms
            .map_or(String::new(), |ms| format!(", in {ms:.0} ms"));
        let share = 100.0 * self.recent.told / weight;
        format!("{share:.0} % of about {weight:.0} attempts{latency}")
    }

    fn order(&self) -> String {
        let who = if self.account.pinned_only {
            "only calls that name it"
        } else {
            "all calls"
        };
        format!("priority {}, for {who}", self.account.priority)
    }

    /// Below the address that the API has for the gateway.
    fn call_back_path(&self) -> String {
        let gateway = gateway_name(self.account.gateway_id);
        format!("/gateways/{gateway}/webhooks/{}", self.account.id)
    }

    fn json(&self, now: DateTime<Utc>) -> Value {
        let account = &self.account;
        let troubles: Vec<Value> = self.troubles.iter().map(HealthIssue::json).collect();
        let weight = self.recent.weight(now);
        let mut told = json!({
            "gateway": gateway_name(account.gateway_id),
            "gateway_id": account.gateway_id,
            "reference_id": account.reference_id,
            "id": account.id.to_string(),
            "priority": account.priority,
            "enabled": account.enabled,
            "pinned_only": account.pinned_only,
            "base_url": account.base_url,
            "settings": account.settings,
            "usable": self.traffic.is_ok(),
            "fault": self.traffic.as_ref().err(),
            "health": { "ok": troubles.is_empty(), "troubles": troubles },
            "recent": {
                "attempts": weight,
                "success": (weight >= FADED).then(|| self.recent.told / weight),
                "latency_ms": self.recent.latency_ms,
            },
            "limits": self.traffic.as_ref().ok().map(limits_json),
            "call_back_path": self.call_back_path(),
        });
        if let Some(attempts) = &self.attempts {
            let codes = attempts.unlisted.iter();
            let codes: BTreeMap<_, _> = codes
                .map(|code| (code.code.as_str(), code.attempts))
                .collect();
            told["attempts_24h"] = json!(attempts.by_class);
            told["possible_double_drops_24h"] = attempts.possible_double_drops.into();
            told["unlisted_codes_24h"] = json!(codes);
        }
        told
    }
}

impl Attempts {
    fn by_class(&self) -> String {
        let each = self.by_class.iter();
        let each: Vec<_> = each
            .map(|(class, attempts)| format!("{attempts} {class}"))
            .collect();
        joined(&each)
    }

    fn unlisted(&self) -> String {
        let codes = self.unlisted.iter();
        let mut each: Vec<_> = codes
            .map(|code| format!("{} {}", code.attempts, code.code))
            .collect();
        let more = each.len().saturating_sub(SHOWN_CODES);
        each.truncate(SHOWN_CODES);
        if more > 0 {
            each.push(format!("and {more} other codes"));
        }
        joined(&each)
    }
}

fn joined(each: &[String]) -> String {
    if each.is_empty() {
        NONE.to_owned()
    } else {
        each.join(", ")
    }
}

fn limits(traffic: &Traffic) -> String {
    let mut limits = vec![
        traffic.calls_per_minute.map_or_else(
            || "any number of calls a minute".to_owned(),
            |calls| format!("{calls} calls a minute"),
        ),
        traffic.concurrency.map_or_else(
            || "any number at once".to_owned(),
            |calls| format!("{calls} at once"),
        ),
    ];
    for (what, hours) in [
        ("", &traffic.hours),
        ("UPI penny drops ", &traffic.upi_penny_drop_hours),
    ] {
        let spans = hours.spans();
        if !spans.is_empty() {
            limits.push(format!("{what}{} IST", spans.join(" and ")));
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
        "recover_for_s": traffic.recover_for.as_secs(),
    })
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use khata_domain::traffic::Hours;

    use super::*;

    #[test]
    fn limits_are_told_in_words() {
        assert_eq!(
            limits(&Traffic::default()),
            "any number of calls a minute, any number at once"
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
>>>>>>> api
