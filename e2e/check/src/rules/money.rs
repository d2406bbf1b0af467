//! Rules about rupees.

use std::collections::{BTreeMap, HashMap, HashSet};

use sha2::{Digest, Sha256};

use crate::findings::Findings;
use crate::history::{AttemptRow, History};
use crate::index::{accepted_by_id, attempts_by_validation, gateway_name, validations_by_account};

/// The ledger names a rupee at SETU by a digest of the account, because SETU's calls have no reference.
const BY_ACCOUNT: &str = "account:";

/// Maximum difference between Postgres's clock and the sandbox's, in milliseconds; both are on one machine.
const CLOCKS: u64 = 20;

fn account_digest(number: &str, ifsc: &str) -> String {
    use std::fmt::Write as _;
    let digest = Sha256::digest(format!("{number}/{ifsc}"));
    let mut text = BY_ACCOUNT.to_owned();
    for byte in digest.iter().take(12) {
        // Writing to a String never fails.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// Returns the reference by which the ledger names the rupee of an attempt.
fn ledger_reference(attempt: &AttemptRow, digest: Option<&String>) -> String {
    match digest {
        Some(digest) if gateway_name(attempt.gateway_id) == "SETU" => digest.clone(),
        _ => attempt.reference.clone(),
    }
}

/// Returns the digest of each accepted account, by its id.
fn digests(history: &History) -> HashMap<&str, String> {
    accepted_by_id(history)
        .into_iter()
        .map(|(id, account)| (id, account_digest(account.payee, account.ifsc)))
        .collect()
}

/// Returns the account of each validation.
fn accounts_by_validation(history: &History) -> HashMap<&str, &str> {
    let validations = history.validations.iter();
    validations
        .map(|validation| (validation.id.as_str(), validation.account.as_str()))
        .collect()
}

pub(crate) fn reference_paid_once(history: &History, findings: &mut Findings) {
    let mut counts: BTreeMap<(&str, &str), u64> = BTreeMap::new();
    let drops = history.drops.iter();
    for drop in drops.filter(|drop| !drop.reference.starts_with(BY_ACCOUNT)) {
        *counts.entry((&drop.gateway, &drop.reference)).or_default() += 1;
    }
    for ((gateway, reference), count) in counts {
        findings.check(count == 1, || {
            format!("{gateway} paid {count} rupees under {reference}")
        });
    }
}

/// Returns the number of attempts that may pay a further rupee: flagged ones, and those after an attempt whose result is known
/// and no outcome.
fn permitted_again(attempts: &[&AttemptRow]) -> usize {
    let after_known = attempts.iter().map(|attempt| attempt.number);
    let after_known = after_known.filter(|number| {
        attempts
            .iter()
            .any(|before| before.number + 1 == *number && before.is_known())
    });
    let flagged = attempts.iter();
    let flagged = flagged.filter(|attempt| attempt.possible_double_drop);
    flagged.count() + after_known.count()
}

pub(crate) fn rupees_per_validation(history: &History, findings: &mut Findings) {
    let mut paid: HashMap<&str, usize> = HashMap::new();
    for drop in &history.drops {
        *paid.entry(&drop.reference).or_default() += 1;
    }
    let attempts = attempts_by_validation(history);
    let digests = digests(history);
    for (account, validations) in validations_by_account(history) {
        let (mut all, mut permitted) = (0, 0);
        for validation in &validations {
            let Some(made) = attempts.get(validation.id.as_str()) else {
                continue;
            };
            let rupees = made.iter().map(|attempt| {
                paid.get(attempt.reference.as_str())
                    .copied()
                    .unwrap_or_default()
            });
            let rupees: usize = rupees.sum();
            let most = 1 + permitted_again(made);
            for attempt in made.iter().filter(|attempt| attempt.possible_double_drop) {
                findings.count(match gateway_name(attempt.gateway_id) {
                    "SETU" => "flagged at SETU",
                    _ => "flagged elsewhere",
                });
            }
            findings.check(rupees <= most, || {
                let references: Vec<_> = made
                    .iter()
                    .map(|attempt| attempt.reference.as_str())
                    .collect();
                format!(
                    "{rupees} rupees instead of {most} at most for validation {} of {account} ({})",
                    validation.id,
                    references.join(", ")
                )
            });
            all += rupees;
            permitted += most;
        }
        // SETU's rupees are known by the account only.
        let at_setu = digests
            .get(account)
            .and_then(|digest| paid.get(digest.as_str()));
        if let Some(at_setu) = at_setu {
            findings.check(all + at_setu <= permitted, || {
                format!(
                    "{} rupees, {at_setu} of them at SETU, instead of {permitted} at most for {account}",
                    all + at_setu
                )
            });
        }
    }
}

pub(crate) fn rupee_has_attempt(history: &History, findings: &mut Findings) {
    let digests = digests(history);
    let accounts = accounts_by_validation(history);
    let mut begun: HashMap<(&str, String), u64> = HashMap::new();
    for attempt in &history.attempts {
        let account = accounts.get(attempt.validation.as_str());
        let digest = account.and_then(|account| digests.get(account));
        let key = (
            gateway_name(attempt.gateway_id),
            ledger_reference(attempt, digest),
        );
        let first = begun.entry(key).or_insert(attempt.started_at);
        *first = attempt.started_at.min(*first);
    }
    let known: HashSet<&String> = digests.values().collect();
    for drop in &history.drops {
        // The account of a call whose reply was lost is not known to the history, and so neither is its digest.
        if drop.reference.starts_with(BY_ACCOUNT) && !known.contains(&drop.reference) {
            findings.count("at SETU, and the reply of the create was lost");
            continue;
        }
        let first = begun.get(&(drop.gateway.as_str(), drop.reference.clone()));
        findings.check(
            first.is_some_and(|began| *began <= drop.at + CLOCKS),
            || {
                let attempt = first.map_or("no attempt".to_owned(), |began| {
                    format!("an attempt that began {} ms later", began - drop.at)
                });
                format!(
                    "{} paid {} at {}, with {attempt}",
                    drop.gateway, drop.reference, drop.at
                )
            },
        );
    }
}

pub(crate) fn attempt_has_rupee(history: &History, findings: &mut Findings) {
    let paid: HashSet<(&str, &str)> = history
        .drops
        .iter()
        .map(|drop| (drop.gateway.as_str(), drop.reference.as_str()))
        .collect();
    let digests = digests(history);
    let accounts = accounts_by_validation(history);
    for attempt in &history.attempts {
        let is_conclusive = matches!(attempt.class.as_deref(), Some("VALID" | "INVALID"));
        if attempt.method != "PENNY_DROP" || !is_conclusive {
            continue;
        }
        let gateway = gateway_name(attempt.gateway_id);
        let account = accounts.get(attempt.validation.as_str());
        let digest = account.and_then(|account| digests.get(account));
        if gateway == "SETU" && digest.is_none() {
            findings.count("at SETU, and the reply of the create was lost");
            continue;
        }
        let reference = ledger_reference(attempt, digest);
        findings.check(paid.contains(&(gateway, reference.as_str())), || {
            format!(
                "attempt {} of validation {} has a result and no rupee at {gateway} under {reference}",
                attempt.number, attempt.validation
            )
        });
    }
}
