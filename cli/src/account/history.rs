//! An account with its validations, attempts and gateway accounts, as of one moment.

use anyhow::Context;
use chrono::{DateTime, Utc};
use diesel::{PgConnection, QueryResult};
use khata_domain::ValidationId;
use khata_domain::validation::AttemptState;
use khata_store::inspect::{self, Account, Attempt, Validation, Validations};
use khata_store::{accounts, merchants};

use super::gateways::Gateways;
use super::situation::{Quota, Situation};

/// Maximum number of the merchant's validations that are searched: see `inspect::validations`.
pub(super) const SEARCHED_VALIDATIONS: i64 = 100_000;

pub(super) struct History {
    pub(super) account: Account,
    pub(super) validations: Validations,
    attempts: Vec<Attempt>,
    pub(super) gateways: Gateways,
    pub(super) quota: Quota,
    pub(super) now: DateTime<Utc>,
}

impl History {
    pub(super) fn read(connection: &mut PgConnection, account: Account) -> anyhow::Result<Self> {
        let validations = inspect::validations(connection, &account, SEARCHED_VALIDATIONS)
            .context("cannot read the account's validations")?;
        let ids: Vec<ValidationId> = validations
            .rows
            .iter()
            .map(|validation| validation.id)
            .collect();
        let attempts = inspect::attempts(connection, account.merchant, &ids)
            .context("cannot read the account's attempts")?;
        let quota = quota(connection, &account)
            .context("cannot count the account's validations of 24 hours")?;
        let now = Utc::now();
        let gateways = Gateways::read(connection, &account, now)
            .context("cannot read the merchant's gateway accounts")?;
        Ok(Self {
            account,
            validations,
            attempts,
            gateways,
            quota,
            now,
        })
    }

    pub(super) fn attempts_of(&self, validation: &Validation) -> impl Iterator<Item = &Attempt> {
        let id = validation.id;
        self.attempts
            .iter()
            .filter(move |attempt| attempt.key.id == id)
    }

    /// Returns the trace id of the newest validation.
    pub(super) fn trace_id(&self) -> Option<&str> {
        self.validations.rows.last()?.trace_id()
    }

    /// Whether the newest validation is final.
    pub(super) fn is_final(&self) -> bool {
        let newest = self.validations.rows.last();
        newest.is_some_and(|newest| newest.outcome.is_some())
    }

    /// Returns our references of the attempts that may have paid a rupee, each with its gateway account, in order. Those of an open
    /// validation may still pay.
    pub(super) fn may_have_paid(&self) -> Vec<String> {
        let paid = self
            .attempts
            .iter()
            .filter(|attempt| khata_domain::attempt::Attempt::from((***attempt).clone()).may_pay());
        paid.map(|attempt| {
            let gateway = self.gateways.name(attempt.gateway_account);
            format!("{} at {gateway}", attempt.reference)
        })
        .collect()
    }

    /// Returns the situation of the newest validation; `None` if the account was never validated.
    pub(super) fn situation(&self) -> Option<Situation> {
        let validation = self.validations.rows.last()?;
        let attempt = self.attempts_of(validation).last();
        let attempt_state = attempt.map(|attempt| attempt.state);
        let open_attempt = attempt.filter(|_| attempt_state != Some(AttemptState::Settled));
        let slot = validation.slot;
        Some(Situation {
            account: self.account.id.to_string(),
            validation: validation.id.to_string(),
            merchant: self.account.merchant_name.clone(),
            deleted_at: self.account.deleted_at,
            state: validation.state,
            outcome: validation.outcome,
            failure: validation.failure_code,
            due_at: validation.due_at,
            deadline_at: validation.deadline_at,
            leased_until: validation.leased_until,
            completed_at: validation.completed_at,
            webhook_received: validation.webhook_received,
            slot: slot.map(|slot| (self.gateways.name(slot.gateway_account), slot.at)),
            queue: validation
                .queued_at
                .map(|account| self.gateways.name(account)),
            attempt: attempt_state,
            class: attempt.and_then(|attempt| attempt.class),
            code: attempt.and_then(|attempt| attempt.code.clone()),
            candidates: self.gateways.candidates(),
            issues: self
                .gateways
                .issues(open_attempt.map(|attempt| attempt.gateway_account)),
            quota: self.quota,
            may_have_paid: self.may_have_paid(),
        })
    }
}

fn quota(connection: &mut PgConnection, account: &Account) -> QueryResult<Quota> {
    let used = accounts::recent_validations(connection, account.merchant, account.id)?;
    let merchant = merchants::of_id(connection, account.merchant)?;
    Ok(Quota {
        used: used.validations(),
        until: used.until(merchant.validations_per_account_per_day),
        limit: merchant.validations_per_account_per_day,
    })
}
