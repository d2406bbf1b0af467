//! Settlements: what the worker stores about a result.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use khata_crypto::{Keyring, Purpose};
use khata_domain::attempt::{CallKind, NextAction, not_understood};
use khata_domain::plan::Plan;
use khata_domain::validation::{FailureCode, Next, Outcome, ValidationResult, valid};
use khata_domain::{CallFailure, Details, GatewayResponse};
use khata_gateways::{Advanced, OpenAttempt};
use khata_name_match::{NameMatch, compare, is_placeholder};
use khata_store::validations::{AttemptReport, Claimed, Provenance, Settlement};
use tracing::debug;

use crate::clock::DatabaseClock;
use crate::commits::Work;
use crate::directory::Entry;

/// Builds settlements, with the personal data of results encrypted.
pub(crate) struct Results {
    pub(crate) keyring: Arc<Keyring>,
    pub(crate) clock: Arc<DatabaseClock>,
}

impl Results {
    /// Settles an attempt by its last result. `latency_ms`: `None` if no call was made.
    pub(super) fn of_attempt(
        &self,
        work: &Work,
        entry: &Entry,
        open: OpenAttempt<'_>,
        advanced: Advanced,
        name_match: Option<NameMatch>,
        latency_ms: Option<i32>,
    ) -> Settlement {
        let (attempt, response) = (open.attempt, advanced.result.as_ref().ok());
        let finds_by_gateway_reference = entry
            .connector
            .as_ref()
            .is_ok_and(|connector| connector.webhook_names_gateway_reference());
        let result = response.and_then(result_of);
        Settlement {
            attempt: Some(AttemptReport {
                number: attempt.number,
                end: advanced.decision.attempt,
                gateway_reference: attempt.gateway_reference,
                polls: attempt.polls,
                latency_ms,
                unlisted_code: response.is_some_and(|response| response.unlisted),
                failure: response.and_then(|response| response.failure),
                not_understood: not_understood(&advanced.result).to_vec(),
                webhook_gateway_account: finds_by_gateway_reference
                    .then_some(attempt.gateway_account),
            }),
            provenance: Some(Provenance {
                gateway_id: entry.gateway.id(),
                gateway_reference_id: entry.account.reference_id.clone(),
                method: attempt.method,
            }),
            sealed_result: result.map(|result| self.encrypt(&work.claimed, &result)),
            name_match_score: name_match.map(|found| i16::from(found.score)),
            gateway_name_match_score: response
                .and_then(|response| response.name_match_score)
                .map(i16::from),
            ..self.without_attempt(work, advanced.decision.next)
        }
    }

    /// Settles by an earlier result for the same details. The names are compared again, because the merchant may have given
    /// another one.
    pub(super) fn of_earlier(&self, work: &Work) -> Option<Settlement> {
        let (claimed, earlier) = (&work.claimed, work.reusable.as_ref()?);
        let key = claimed.key;
        let result = earlier.sealed_result.as_deref().and_then(|encrypted| {
            let (owner, purpose) = (earlier.account.0, Purpose::ValidationResult);
            let keyring = &self.keyring;
            let plain = keyring.decrypt(key.merchant, owner, purpose, encrypted);
            ValidationResult::from_plaintext(&plain.ok()?)
        });
        let name_at_bank = result
            .as_ref()
            .and_then(|result| result.name_at_bank.as_ref());
        let details = work.details.as_ref();
        let name_match = details.and_then(|details| compare_names(details, name_at_bank));
        let next = match (earlier.outcome, earlier.failure_code) {
            (Outcome::Valid, _) | (_, Some(FailureCode::NameMismatch)) => {
                let next = valid(is_below(name_match, work.merchant.fail_names_below));
                reviewed(next, work, name_match, name_at_bank)
            }
            (outcome, failure) => Next::Complete { outcome, failure },
        };
        debug!(
            merchant_id = %key.merchant, account_id = %claimed.account, validation_id = %key.id,
            reused_from = %earlier.validation, "earlier result reused"
        );
        Some(Settlement {
            provenance: Some(earlier.provenance.clone()),
            sealed_result: result.map(|result| self.encrypt(claimed, &result)),
            name_match_score: name_match.map(|found| i16::from(found.score)),
            gateway_name_match_score: earlier.gateway_name_match_score,
            reused_from: Some(earlier.validation),
            ..self.without_attempt(work, next)
        })
    }

    /// Settles a claimed attempt whose call was not sent; `None` if the plan makes no call that may move money.
    pub(crate) fn not_sent(&self, work: &Work) -> Option<Settlement> {
        let Plan::Attempt {
            attempt,
            action: NextAction::Verify,
            setbacks,
            reason,
            alternative,
            recovered_until,
        } = &work.plan
        else {
            return None;
        };
        let entry = work.merchant.find(attempt.gateway_account)?;
        let connector = entry.connector.as_deref().ok()?;
        let mut open = OpenAttempt {
            attempt: attempt.clone(),
            details: work.details.as_ref()?,
            consent: work.consent.as_ref(),
            deadline_at: work.claimed.deadline_at,
            setbacks: *setbacks,
            reason: *reason,
            alternative: *alternative,
            recovered_until: *recovered_until,
        };
        let unsent = Err(CallFailure::NotSent(
            "its claim was committed too late".into(),
        ));
        let (kind, now) = (CallKind::Verify, self.clock.now());
        let advanced = open.record(connector, kind, unsent, false, now, rand::random());
        Some(self.of_attempt(work, entry, open, advanced, None, None))
    }

    /// Settles without an attempt.
    pub(super) fn without_attempt(&self, work: &Work, next: Next) -> Settlement {
        let delay = delay_of(&next, self.clock.now());
        Settlement::without_attempt(work.claimed.key, work.token, next, delay)
    }

    fn encrypt(&self, claimed: &Claimed, result: &ValidationResult) -> Vec<u8> {
        let (merchant, account) = (claimed.key.merchant, claimed.account.0);
        let plaintext = result.to_plaintext();
        self.keyring
            .encrypt(merchant, account, Purpose::ValidationResult, &plaintext)
    }
}

/// Returns the time from `now` until the validation is due again.
pub(super) fn delay_of(next: &Next, now: DateTime<Utc>) -> Duration {
    match next {
        Next::Wait { until, .. } => (*until - now).to_std().unwrap_or_default(),
        Next::Complete { .. } => Duration::ZERO,
    }
}

/// Returns the personal data of a response, without a placeholder for the name; `None` if there is none.
fn result_of(response: &GatewayResponse) -> Option<ValidationResult> {
    let result = ValidationResult {
        name_at_bank: real_name(response.name_at_bank.as_ref()).map(str::to_owned),
        utr: response.utr.clone(),
        account_type: response.account_type,
    };
    let is_empty =
        result.name_at_bank.is_none() && result.utr.is_none() && result.account_type.is_none();
    (!is_empty).then_some(result)
}

/// Returns the name at the bank; `None` for the placeholders that some gateways send (`NA`, `VERIFIED`).
fn real_name(name_at_bank: Option<&String>) -> Option<&str> {
    let name = name_at_bank?.trim();
    (!is_placeholder(name)).then_some(name)
}

/// Compares the names, if there are both.
pub(super) fn compare_names(details: &Details, name_at_bank: Option<&String>) -> Option<NameMatch> {
    match details {
        Details::Bank(bank) => {
            let given = bank.beneficiary_name.as_ref()?;
            compare(given.expose(), real_name(name_at_bank)?)
        }
        Details::Upi(_) => None,
    }
}

/// Whether the names score less than one of the merchant's limits. Names that cannot be compared never do.
pub(super) fn is_below(name_match: Option<NameMatch>, limit: i16) -> bool {
    name_match.is_some_and(|found| i16::from(found.score) < limit)
}

/// Returns the end of a validation with valid details, or a review if the merchant wants a person to decide about such names, unless a
/// person has accepted this name at the bank for the account: its `beneficiary_name` never changes.
pub(super) fn reviewed(
    next: Next,
    work: &Work,
    name_match: Option<NameMatch>,
    name_at_bank: Option<&String>,
) -> Next {
    match next {
        Next::Complete {
            outcome: Outcome::Valid,
            ..
        } if is_below(name_match, work.merchant.review_names_below)
            && !is_accepted(work.accepted_name.as_deref(), name_at_bank) =>
        {
            Next::name_review()
        }
        next => next,
    }
}

/// Whether the name at the bank is the accepted one, apart from case, blanks and punctuation. The name match would be too wide: for it
/// a relative or a title that one name lacks is no difference.
fn is_accepted(accepted: Option<&str>, name_at_bank: Option<&String>) -> bool {
    // A star is a hidden letter.
    let is_kept = |c: &char| *c == '*' || !(c.is_whitespace() || c.is_ascii_punctuation());
    let form = |name: &str| -> String {
        let kept = name.chars().filter(is_kept);
        kept.flat_map(char::to_uppercase).collect()
    };
    let names = accepted.zip(real_name(name_at_bank));
    names.is_some_and(|(accepted, name)| form(accepted) == form(name))
}

#[cfg(test)]
mod tests {
    use khata_domain::{AccountType, Class};

    use super::*;

    fn response(name: &str) -> GatewayResponse {
        GatewayResponse {
            name_at_bank: Some(name.to_owned()),
            utr: Some("1".to_owned()),
            account_type: Some(AccountType::Savings),
            ..GatewayResponse::of(Class::Valid, "ok")
        }
    }

    #[test]
    fn a_placeholder_is_not_recorded_as_a_name() {
        for (name, recorded) in [
            ("NA", None),
            (" verified ", None),
            ("", None),
            ("ASHA RAO ", Some("ASHA RAO")),
        ] {
            let result = result_of(&response(name)).unwrap();
            assert_eq!(result.name_at_bank.as_deref(), recorded, "{name:?}");
            assert_eq!(result.utr.as_deref(), Some("1"));
            assert_eq!(result.account_type, Some(AccountType::Savings));
        }
    }

    #[test]
    fn only_the_accepted_name_needs_no_second_review() {
        for (accepted, name, is_same) in [
            (Some("ASHA RAO"), Some("ASHA RAO"), true),
            (Some("ASHA K RAO"), Some("Asha  K. Rao"), true),
            (Some("आशा राव"), Some(" आशा राव "), true),
            (Some("ASHA RAO"), Some("MRS ASHA RAO"), false),
            (
                Some("ASHA RAO D/O RAMESH RAO"),
                Some("ASHA RAO W/O SURESH RAO"),
                false,
            ),
            (Some("RAMES*** RAO"), Some("RAMES***** RAO"), false),
            (Some("ASHA RAO"), Some("ASHA R"), false),
            (Some("ASHA RAO"), Some("VIJAY RAO"), false),
            (Some("ASHA RAO"), Some("NA"), false),
            (Some("ASHA RAO"), None, false),
            (None, Some("ASHA RAO"), false),
        ] {
            let name = name.map(str::to_owned);
            assert_eq!(is_accepted(accepted, name.as_ref()), is_same, "{name:?}");
        }
    }

    #[test]
    fn a_response_without_personal_data_records_nothing() {
        let empty = GatewayResponse {
            name_at_bank: Some("NA".to_owned()),
            ..GatewayResponse::of(Class::Valid, "ok")
        };
        assert!(result_of(&empty).is_none());
    }
}
