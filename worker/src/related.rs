//! Rows that a plan and its settlement need beside the claimed validation: its attempts, webhooks and earlier results.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use diesel::{PgConnection, QueryResult};
use khata_crypto::{Keyring, Purpose};
use khata_domain::attempt::{Attempt, AttemptState};
use khata_domain::plan::{Planned, WebhookReceived};
use khata_domain::validation::ValidationResult;
use khata_domain::{GatewayResponse, MerchantId, ValidationKey};
use khata_store::gateway_webhooks;
use khata_store::validations::{self, Claimed, Reusable};
use tracing::error;

use crate::directory::MerchantView;

/// The webhooks about a validation, and when the last one was received.
type Webhooks = (Vec<WebhookReceived>, DateTime<Utc>);

/// Everything read for a batch of claims beside the claimed rows.
pub(crate) struct Related {
    pub(crate) attempts: HashMap<ValidationKey, Vec<Attempt>>,
    pub(crate) webhooks: HashMap<ValidationKey, Webhooks>,
    pub(crate) reusable: HashMap<ValidationKey, Reusable>,
    /// The names at the bank that a person accepted for the accounts.
    pub(crate) accepted_names: HashMap<ValidationKey, String>,
    /// Penny drops of this day, of the merchants whose validations may need further ones.
    drops: HashMap<MerchantId, i32>,
}

impl Related {
    /// Reads them for a batch of claims.
    pub(crate) fn read(
        connection: &mut PgConnection,
        keyring: &Keyring,
        claimed: &[Claimed],
        merchants: &HashMap<MerchantId, Arc<MerchantView>>,
    ) -> QueryResult<Self> {
        let keys: Vec<_> = claimed.iter().map(|claimed| claimed.key).collect();
        let rows = validations::attempts(connection, &keys)?;
        let attempts: HashMap<_, Vec<_>> = rows
            .into_iter()
            .map(|(key, rows)| (key, rows.into_iter().map(Attempt::from).collect()))
            .collect();
        Ok(Self {
            webhooks: webhooks(connection, keyring, claimed, &attempts)?,
            reusable: reusable(connection, claimed, &attempts, merchants)?,
            accepted_names: accepted_names(connection, keyring, claimed, merchants)?,
            drops: penny_drops(connection, &attempts)?,
            attempts,
        })
    }

    /// Returns when the merchant's next penny drops begin, if those of this day are used up.
    pub(crate) fn budget_renewed_at(
        &self,
        id: MerchantId,
        merchant: &MerchantView,
        now: DateTime<Utc>,
    ) -> Option<DateTime<Utc>> {
        let used = self.drops.get(&id)?;
        (*used >= merchant.penny_drops_per_day).then(|| validations::budget_renewed_at(now))
    }

    /// Counts the further penny drop of a plan for the plans that follow.
    pub(crate) fn count(&mut self, merchant: MerchantId, planned: &Planned) {
        if planned.is_further_drop()
            && let Some(used) = self.drops.get_mut(&merchant)
        {
            *used = used.saturating_add(1);
        }
    }
}

/// Reads the penny drops of this day, of merchants with a validation whose next attempt may be a further penny drop. Polls of
/// pending attempts, which are many, need none.
fn penny_drops(
    connection: &mut PgConnection,
    attempts: &HashMap<ValidationKey, Vec<Attempt>>,
) -> QueryResult<HashMap<MerchantId, i32>> {
    let may_need_another = |attempts: &[Attempt]| {
        let last = attempts.last().map(|last| last.state);
        last.is_some_and(|state| state != AttemptState::Pending)
            && attempts.iter().any(|attempt| attempt.method.moves_money())
    };
    let of_validations = attempts
        .iter()
        .filter(|(_, attempts)| may_need_another(attempts))
        .map(|(key, _)| key.merchant);
    let merchants: HashSet<MerchantId> = of_validations.collect();
    let merchants: Vec<MerchantId> = merchants.into_iter().collect();
    let used = validations::penny_drops_today(connection, &merchants)?;
    let used_by = |merchant: MerchantId| used.get(&merchant).copied().unwrap_or_default();
    let drops = merchants
        .iter()
        .map(|merchant| (*merchant, used_by(*merchant)));
    Ok(drops.collect())
}

/// Returns the webhooks about each validation, and when the last one was received.
fn webhooks(
    connection: &mut PgConnection,
    keyring: &Keyring,
    claimed: &[Claimed],
    attempts: &HashMap<ValidationKey, Vec<Attempt>>,
) -> QueryResult<HashMap<ValidationKey, Webhooks>> {
    // Also without a new webhook, and about an attempt that was given up: a worker that stopped before it settled has used none.
    let keys = claimed.iter().map(|claimed| claimed.key);
    let keys: Vec<_> = keys.filter(|key| attempts.contains_key(key)).collect();
    let stored = gateway_webhooks::stored(connection, &keys)?;
    let webhooks = stored.into_iter().filter_map(|(key, notices)| {
        let last_at = notices.last()?.received_at;
        let webhook = |notice: &gateway_webhooks::StoredWebhook| WebhookReceived {
            number: notice.number,
            // A webhook that cannot be decrypted still announces an outcome.
            response: decrypt_webhook(keyring, key, notice.sealed_response.as_deref()),
        };
        Some((key, (notices.iter().map(webhook).collect(), last_at)))
    });
    Ok(webhooks.collect())
}

fn decrypt_webhook(
    keyring: &Keyring,
    key: ValidationKey,
    encrypted: Option<&[u8]>,
) -> Option<GatewayResponse> {
    let plain = keyring.decrypt(key.merchant, key.id.0, Purpose::Webhook, encrypted?);
    let plain = plain.ok();
    let response = plain.and_then(|plain| GatewayResponse::from_plaintext(&plain));
    if response.is_none() {
        error!(validation_id = %key.id, "gateway webhook cannot be decrypted: is a key missing in the keyring?");
    }
    response
}

/// Reads the names that a person accepted, for merchants whose accounts may wait for a person.
fn accepted_names(
    connection: &mut PgConnection,
    keyring: &Keyring,
    claimed: &[Claimed],
    merchants: &HashMap<MerchantId, Arc<MerchantView>>,
) -> QueryResult<HashMap<ValidationKey, String>> {
    let wanted = claimed.iter().filter(|claimed| {
        let merchant = merchants.get(&claimed.key.merchant);
        merchant.is_some_and(|merchant| merchant.review_names_below > 0)
    });
    let wanted: HashMap<_, _> = wanted
        .map(|claimed| (claimed.key, claimed.account))
        .collect();
    let keys: Vec<_> = wanted
        .iter()
        .map(|(key, account)| (*key, *account))
        .collect();
    let accepted = validations::accepted(connection, &keys)?;
    let names = accepted.into_iter().filter_map(|accepted| {
        let (key, purpose) = (accepted.wanted_by, Purpose::ValidationResult);
        let account = wanted.get(&key)?.0;
        // Without its key, the name is reviewed again.
        let plain = keyring.decrypt(key.merchant, account, purpose, &accepted.sealed_result);
        let result = ValidationResult::from_plaintext(&plain.ok()?)?;
        Some((key, result.name_at_bank?))
    });
    Ok(names.collect())
}

/// Reads earlier results that may be used, for merchants that want that and validations without an attempt.
fn reusable(
    connection: &mut PgConnection,
    claimed: &[Claimed],
    attempts: &HashMap<ValidationKey, Vec<Attempt>>,
    merchants: &HashMap<MerchantId, Arc<MerchantView>>,
) -> QueryResult<HashMap<ValidationKey, Reusable>> {
    let wanted: Vec<_> = claimed
        .iter()
        .filter(|claimed| !claimed.fresh && !attempts.contains_key(&claimed.key))
        .filter_map(|claimed| {
            let merchant = merchants.get(&claimed.key.merchant)?;
            let seconds = merchant.reuse_results_seconds;
            (seconds > 0).then_some((claimed.key, seconds))
        })
        .collect();
    let mut reusable = validations::reusable(connection, &wanted)?;
    // A call that names a gateway gets no result of another one.
    for claimed in claimed {
        let named = claimed.pin().gateway_id;
        let is_other = |earlier: &Reusable| Some(earlier.provenance.gateway_id) != named;
        if named.is_some() && reusable.get(&claimed.key).is_some_and(is_other) {
            reusable.remove(&claimed.key);
        }
    }
    Ok(reusable)
}
