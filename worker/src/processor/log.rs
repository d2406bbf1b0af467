//! Records the attempt of a processed validation in its span, and logs the result.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use khata_domain::attempt::{Attempt, not_understood};
use khata_domain::validation::{Decision, Next};
use khata_domain::{Class, GatewayAccountId};
use khata_gateways::Advanced;
use moka::sync::Cache;
use tracing::{Span, debug, error, info, warn};

use crate::commits::Work;
use crate::directory::Entry;

/// Time between two warnings of the same unread fields, or of the same unknown code, of one gateway account.
const WARN_INTERVAL: Duration = Duration::from_mins(1);
/// Maximum number of unknown codes of one gateway account that are logged within this time: a gateway that puts an id into its codes has
/// another code in every response.
const MAX_CODES: u64 = 8;

/// Logs results of attempts.
pub(crate) struct ResultLog {
    /// The unread fields that were logged within the last minute: a gateway that changes a field changes it in every response. The
    /// metrics count every one.
    fields: Cache<(GatewayAccountId, String), ()>,
    /// The unknown codes that were logged within the last minute, by their hashes modulo [`MAX_CODES`].
    codes: Cache<(GatewayAccountId, u64), ()>,
}

impl ResultLog {
    pub(crate) fn new() -> Self {
        Self {
            fields: last_minute(),
            codes: last_minute(),
        }
    }

    /// Logs the result of an attempt.
    pub(super) fn write(&self, work: &Work, entry: &Entry, attempt: &Attempt, advanced: &Advanced) {
        let fields = not_understood(&advanced.result).join(", ");
        let line = (entry.account.id, fields);
        if !line.1.is_empty() && self.fields.entry_by_ref(&line).or_insert(()).is_fresh() {
            let (key, account) = (work.claimed.key, work.claimed.account);
            warn!(
                merchant_id = %key.merchant, account_id = %account, validation_id = %key.id,
                gateway = entry.gateway.name(), gateway_account = entry.account.reference_id, fields = line.1,
                "gateway response not understood: these fields were left out"
            );
        }
        let is_bounded = matches!(
            &advanced.result,
            Ok(response) if response.unlisted && response.class != Class::Misconfigured
        );
        if !is_bounded || self.may_warn(entry.account.id, &advanced.decision.attempt.code) {
            log_result(work, entry, attempt, advanced);
        }
    }

    /// Returns whether an unknown code may be logged now.
    fn may_warn(&self, account: GatewayAccountId, code: &str) -> bool {
        let mut hash = DefaultHasher::new();
        code.hash(&mut hash);
        let line = (account, hash.finish() % MAX_CODES);
        self.codes.entry(line).or_insert(()).is_fresh()
    }
}

/// Returns a cache of lines that forgets each after [`WARN_INTERVAL`].
fn last_minute<L: Eq + Hash + Send + Sync + 'static>() -> Cache<L, ()> {
    let cache = Cache::builder().max_capacity(1_000);
    cache.time_to_live(WARN_INTERVAL).build()
}

pub(super) fn record_attempt(entry: &Entry, attempt: &Attempt) {
    record_gateway(entry);
    Span::current().record("khata.attempt", attempt.number);
}

/// Records the gateway account that is called, or that the validation waits for.
pub(super) fn record_gateway(entry: &Entry) {
    let reference_id = &entry.account.reference_id;
    Span::current()
        .record("khata.gateway", entry.gateway.name())
        .record("khata.gateway_reference_id", reference_id);
}

/// Logs the result of an attempt; louder if an operator has to act.
fn log_result(work: &Work, entry: &Entry, attempt: &Attempt, advanced: &Advanced) {
    let Decision { attempt: end, next } = &advanced.decision;
    let class = end.class.map_or("", Class::as_str);
    let (key, account) = (work.claimed.key, work.claimed.account);
    let (gateway, code) = (entry.gateway.name(), end.code.as_str());
    match (&advanced.result, next) {
        (Ok(response), _) if response.class == Class::Misconfigured => error!(
            merchant_id = %key.merchant, account_id = %account, validation_id = %key.id, gateway,
            gateway_account = entry.account.reference_id, code,
            "gateway rejects us: check the credentials, balance and IP allow-list of this gateway account"
        ),
        (Ok(response), _) if response.unlisted && response.class != Class::Inconclusive => warn!(
            merchant_id = %key.merchant, account_id = %account, validation_id = %key.id, gateway, code, class,
            "gateway returned an unknown code, the word beside it decided: add the code to the connector's table"
        ),
        (Ok(response), _) if response.unlisted => warn!(
            merchant_id = %key.merchant, account_id = %account, validation_id = %key.id, gateway, code,
            "gateway returned an unknown code, treated as inconclusive: add it to the connector's table"
        ),
        (Err(failure), _) => warn!(
            merchant_id = %key.merchant, account_id = %account, validation_id = %key.id, gateway,
            attempt = attempt.number, %failure, "gateway call failed"
        ),
        (Ok(_), Next::Complete { outcome, .. }) => debug!(
            merchant_id = %key.merchant, account_id = %account, validation_id = %key.id, gateway, code,
            outcome = outcome.as_str(), "validation completed"
        ),
        (Ok(_), Next::Wait { until, .. }) => info!(
            merchant_id = %key.merchant, account_id = %account, validation_id = %key.id, gateway, code, class,
            until = %until.to_rfc3339(), "validation not final yet"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_code_is_logged_once_a_minute_and_a_gateway_account_has_a_bounded_number_of_lines()
    {
        let log = ResultLog::new();
        let (one, other) = (GatewayAccountId::new(), GatewayAccountId::new());
        assert!(log.may_warn(one, "NEW_CODE"));
        assert!(!log.may_warn(one, "NEW_CODE"));
        assert!(log.may_warn(other, "NEW_CODE"));
        let lines = (0..1_000).filter(|number| log.may_warn(one, &format!("ERROR {number}")));
        assert_eq!(lines.count(), 7, "besides the first code");
    }
}
