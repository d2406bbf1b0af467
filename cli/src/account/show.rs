//! `khata account show`.

<<<<<<< HEAD
use super::advice::advice;
use super::history::History;
use super::json::history_json;
use super::next::next_step;
use super::text::history_text;
use super::which::WhichAccount;
use crate::options::CommonOptions;
=======
use anyhow::Context;
use chrono::{DateTime, Utc};
use diesel::{PgConnection, QueryResult};
use khata_domain::{Class, CustomerId, ValidationId};
use khata_store::DatabaseSettings;
use khata_store::inspect::{self, Account, Attempt, Validation, Validations};
use khata_store::{accounts, merchant_settings};
use serde_json::{Value, json};
>>>>>>> api

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Show {
    #[command(flatten)]
    which: WhichAccount,
    #[command(flatten)]
    common: CommonOptions,
}

impl Show {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let mut connection = self.common.connect()?;
        // One snapshot, so that the account, its validations and its attempts fit together.
        let history = connection
            .build_transaction()
            .repeatable_read()
            .read_only()
            .run(|connection| {
                let account = self.which.find(connection)?;
                History::read(connection, account)
            })?;
        let situation = history.situation()?;
        let next = next_step(situation.as_ref(), history.now);
        let advice = advice(situation.as_ref(), history.now);
        self.common.print(
            &history_json(&history, &next, &advice),
            &history_text(&history, &next, &advice),
        )
    }
<<<<<<< HEAD
=======

    fn read(&self, connection: &mut PgConnection) -> anyhow::Result<Past> {
        let account = self.which.find(connection)?;
        let validations = inspect::validations(connection, &account, REACH)
            .context("cannot read the account's validations")?;
        let ids: Vec<ValidationId> = validations.rows.iter().map(|row| row.id).collect();
        let attempts = inspect::attempts(connection, account.merchant, &ids)
            .context("cannot read the account's attempts")?;
        let quota =
            quota(connection, &account).context("cannot read how often it was validated")?;
        let now = Utc::now();
        let gateways = Gateways::read(connection, &account, now)
            .context("cannot read the merchant's gateway accounts")?;
        Ok(Past {
            account,
            validations,
            attempts,
            gateways,
            quota,
            now,
        })
    }
}

fn quota(connection: &mut PgConnection, account: &Account) -> QueryResult<Quota> {
    let used = accounts::recent_validations(connection, account.merchant, account.id)?;
    let settings = merchant_settings::of_merchant(connection, account.merchant)?;
    Ok(Quota {
        used: used.validations,
        limit: settings.validations_per_account_per_day,
        until: used.until(),
    })
}

impl Past {
    fn attempts_of(&self, validation: &Validation) -> impl Iterator<Item = &Attempt> {
        let id = validation.id;
        self.attempts
            .iter()
            .filter(move |attempt| attempt.validation == id)
    }

    fn next(&self) -> (Next, String) {
        let newest = self.validations.rows.last();
        let attempt = newest.and_then(|newest| self.attempts_of(newest).last());
        next(
            &self.account,
            newest,
            attempt,
            &self.gateways,
            self.quota,
            self.now,
        )
    }

    /// Of the newest validation.
    fn trace_id(&self) -> Option<&str> {
        self.validations.rows.last()?.trace_id()
    }

    fn json(&self, next: &Next, to_do: &str) -> Value {
        let account = &self.account;
        let validations: Vec<Value> = self
            .validations
            .rows
            .iter()
            .map(|validation| {
                let attempts: Vec<Value> = self.attempts_of(validation).map(attempt_json).collect();
                let mut told = self.validation_json(validation);
                told["attempts"] = attempts.into();
                told
            })
            .collect();
        json!({
            "id": account.id.to_string(),
            "merchant": account.merchant_name,
            "merchant_id": account.merchant.to_string(),
            "customer_id": account.customer.to_string(),
            "kind": account.kind,
            "masked": account.masked,
            "status": account.status.as_str(),
            "routing_id": account.routing_id,
            "trace_id": self.trace_id(),
            "pinned_gateway_id": account.pinned_gateway_id,
            "pinned_gateway_reference_id": account.pinned_gateway_reference_id,
            "created_at": time(account.created_at),
            "updated_at": time(account.updated_at),
            "last_validated_at": account.last_validated_at.map(time),
            "deleted_at": account.deleted_at.map(time),
            "next": {
                "sentence": next.sentence,
                "at": next.at.map(time),
                "troubles": next.troubled.iter().map(Troubled::json).collect::<Vec<_>>(),
            },
            "to_do": to_do,
            "validations_24h": {
                "used": self.quota.used,
                "limit": self.quota.limit,
                "refused_until": self.quota.refused_until().map(time),
            },
            "validations": validations,
            "validations_complete": self.validations.complete,
        })
    }

    fn text(&self, next: &Next, to_do: &str) -> String {
        let mut blocks = vec![
            self.facts().to_string(),
            format!("What happens next: {}", clean(&next.sentence)),
            format!("What to do: {}", clean(to_do)),
        ];
        if !self.validations.complete {
            blocks.push(format!(
                "There may be more validations than these: only {REACH} of the merchant's from the account's creation on, \
                 and {REACH} before the newest, were looked through."
            ));
        }
        for validation in &self.validations.rows {
            let mut block = self.validation_facts(validation);
            let attempts: Vec<&Attempt> = self.attempts_of(validation).collect();
            if attempts.is_empty() {
                block.push_str("\n  no attempts");
            }
            for attempt in attempts {
                block.push('\n');
                block.push_str(&attempt_facts(attempt));
            }
            blocks.push(block);
        }
        blocks.join("\n\n")
    }

    fn facts(&self) -> Table {
        let account = &self.account;
        let routing_id = account.routing_id.clone().unwrap_or_else(|| {
            format!(
                "{} (none was sent: the customer stands in)",
                CustomerId::to_string(&account.customer)
            )
        });
        let pin = account.pinned_gateway_id.map(|id| {
            let reference = account.pinned_gateway_reference_id.as_deref();
            format!(
                "{} {}",
                gateway_name(id),
                reference.unwrap_or("(any account)")
            )
        });
        Table::facts([
            ("account", account.id.to_string()),
            (
                "merchant",
                format!("{} {}", account.merchant_name, account.merchant),
            ),
            ("customer", account.customer.to_string()),
            ("details", format!("{} {}", account.kind, account.masked)),
            ("status", account.status.to_string()),
            ("named gateway", or_none(pin)),
            ("routing id", routing_id),
            ("trace id", or_none(self.trace_id())),
            ("created", time(account.created_at)),
            ("updated", time(account.updated_at)),
            (
                "last validated",
                or_none(account.last_validated_at.map(time)),
            ),
            ("validated in 24 h", self.validated()),
            ("deleted", or_none(account.deleted_at.map(time))),
        ])
    }

    /// How often, against the merchant's limit.
    fn validated(&self) -> String {
        let Quota { used, limit, .. } = self.quota;
        let of = format!("{used} of the {limit} times that the same details may be");
        match self.quota.refused_until() {
            None => of,
            Some(until) => format!("{of}; again from {}", time(until)),
        }
    }

    fn validation_facts(&self, validation: &Validation) -> String {
        let failure = validation.failure_code.as_ref().map(|code| {
            let reason = validation.failure_reason.as_deref().unwrap_or_default();
            format!("{code}: {reason}")
        });
        let booked = validation.slot.map(|slot| {
            let gateway = self.gateways.name(slot.gateway_account);
            format!("at {gateway}, {}", time(slot.at))
        });
        let facts = Table::facts([
            ("state", validation.state.to_string()),
            ("outcome", or_none(validation.outcome)),
            ("failure", or_none(failure)),
            ("name match", name_match(validation)),
            ("result of", or_none(validation.reused_from)),
            ("asked for anew", yes(validation.fresh)),
            ("due", time(validation.due_at)),
            ("booked call", or_none(booked)),
            ("held until", or_none(validation.leased_until.map(time))),
            ("deadline", time(validation.deadline_at)),
            ("created", time(validation.created_at)),
            ("completed", or_none(validation.completed_at.map(time))),
            ("trace id", or_none(validation.trace_id())),
        ]);
        format!("validation {}\n{}", validation.id, facts.indented(2))
    }

    fn validation_json(&self, validation: &Validation) -> Value {
        let failure = validation
            .failure_code
            .as_ref()
            .map(|code| json!({ "code": code, "reason": validation.failure_reason }));
        let booked = validation.slot.map(|slot| {
            json!({
                "gateway": self.gateways.name(slot.gateway_account),
                "gateway_account_id": slot.gateway_account.to_string(),
                "at": time(slot.at),
            })
        });
        json!({
            "id": validation.id.to_string(),
            "state": validation.state,
            "outcome": validation.outcome,
            "failure": failure,
            "name_match": validation.name_match_score.map(name_match_json),
            "gateway_name_match_score": validation.gateway_name_match_score,
            "reused_from": validation.reused_from.map(|id| id.to_string()),
            "fresh": validation.fresh,
            "webhook_received": validation.webhook_received,
            "booked": booked,
            "due_at": time(validation.due_at),
            "deadline_at": time(validation.deadline_at),
            "leased_until": validation.leased_until.map(time),
            "created_at": time(validation.created_at),
            "completed_at": validation.completed_at.map(time),
            "trace_id": validation.trace_id(),
        })
    }
}

/// Our own score and its word, and the gateway's beside it.
fn name_match(validation: &Validation) -> String {
    let ours = validation.name_match_score.map_or_else(
        || "not compared".to_owned(),
        |score| {
            format!(
                "{score} {}",
                NameMatchResult::of_stored_score(score).as_str()
            )
        },
    );
    match validation.gateway_name_match_score {
        Some(score) => format!("{ours}; the gateway's own: {score}"),
        None => ours,
    }
}

fn name_match_json(score: i16) -> Value {
    json!({ "score": score, "result": NameMatchResult::of_stored_score(score).as_str() })
}

fn attempt_facts(attempt: &Attempt) -> String {
    let polls = match attempt.polls {
        1 => "1 look".to_owned(),
        polls => format!("{polls} looks"),
    };
    let facts = Table::facts([
        (
            "gateway",
            format!(
                "{} {}, by {}",
                gateway_name(attempt.gateway_id),
                attempt.gateway_reference_id.as_deref().unwrap_or(NONE),
                attempt.method
            ),
        ),
        ("chosen", attempt.choice.clone()),
        (
            "state",
            format!(
                "{} {}",
                attempt.state,
                attempt.class.map_or("", Class::as_str)
            ),
        ),
        ("code", or_none(attempt.code.as_ref())),
        ("code in no table", yes(attempt.unlisted_code)),
        ("our reference", attempt.reference.clone()),
        (
            "their reference",
            or_none(attempt.gateway_reference.as_ref()),
        ),
        (
            "calls",
            format!(
                "{polls}, the newest call took {}",
                attempt
                    .latency_ms
                    .map_or_else(|| NONE.to_owned(), |ms| format!("{ms} ms"))
            ),
        ),
        ("possible double drop", yes(attempt.possible_double_drop)),
        ("started", time(attempt.started_at)),
        ("settled", or_none(attempt.settled_at.map(time))),
    ]);
    format!("  attempt {}\n{}", attempt.number, facts.indented(4))
}

fn attempt_json(attempt: &Attempt) -> Value {
    json!({
        "number": attempt.number,
        "gateway": gateway_name(attempt.gateway_id),
        "gateway_id": attempt.gateway_id,
        "gateway_account_id": attempt.gateway_account.to_string(),
        "gateway_reference_id": attempt.gateway_reference_id,
        "method": attempt.method,
        "reference": attempt.reference,
        "choice": attempt.choice,
        "state": attempt.state,
        "class": attempt.class,
        "code": attempt.code,
        "unlisted_code": attempt.unlisted_code,
        "gateway_reference": attempt.gateway_reference,
        "polls": attempt.polls,
        "latency_ms": attempt.latency_ms,
        "possible_double_drop": attempt.possible_double_drop,
        "started_at": time(attempt.started_at),
        "settled_at": attempt.settled_at.map(time),
    })
>>>>>>> api
}
