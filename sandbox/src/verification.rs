//! A verification: a gateway's replies before and after the outcome, and the time between.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::behaviour::{Behaviour, UNKNOWN_CODE};
use crate::profile::{Call, Reply, json_text, ok};
use crate::scenario::Timing;

/// Fields beside an outcome, in the words of all gateways.
const SIDE_FIELDS: [&str; 15] = [
    "bankAccountName",
    "bankTransactionRefNo",
    "bank_reference_number",
    "beneficiaryName",
    "beneficiary_name",
    "customerName",
    "customer_name",
    "nameMatch",
    "nameWithBank",
    "name_at_bank",
    "name_match_score",
    "payerAccountName",
    "registered_name",
    "transactionReference",
    "utr",
];

/// Puts each side field into an object, a type that no gateway documents for it.
fn make_odd(value: &mut Value) {
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                if SIDE_FIELDS.contains(&name.as_str()) && !value.is_null() {
                    *value = json!({"value": value.take()});
                } else {
                    make_odd(value);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(make_odd),
        _ => {}
    }
}

/// A verification that a gateway accepted. The replies are JSON text, which is smaller than a value.
pub(crate) struct Verification {
    pending: String,
    settled: String,
    /// JSON pointer of the gateway's code in the settled reply, which `unknown_code` replaces.
    code: Option<&'static str>,
    accepted_at: Instant,
    /// When the outcome appears; `None`: never.
    pub(crate) appears_at: Option<Instant>,
}

impl Verification {
    /// Keeps the replies to a call. `delay` is the least time for which the verification is pending.
    pub(crate) fn new(
        call: &Call<'_>,
        (timing, delay): (Timing, Duration),
        pending: &Value,
        settled: &Value,
        code: Option<&'static str>,
    ) -> Arc<Self> {
        let after = timing.after(delay, call.sandbox.published_pending);
        Arc::new(Self {
            pending: pending.to_string(),
            settled: settled.to_string(),
            code,
            accepted_at: call.now,
            appears_at: after.and_then(|after| call.now.checked_add(after)),
        })
    }

    /// Replies 200 with the reply at the time of the call.
    pub(crate) fn respond(&self, call: &Call<'_>) -> Reply {
        if call.behaviour.unknown_code || call.behaviour.odd_fields {
            return ok(self.reply(call.now, call.behaviour));
        }
        Ok(json_text(self.text(call.now).clone()))
    }

    /// Returns the reply at this time.
    pub(crate) fn reply(&self, now: Instant, behaviour: Behaviour) -> Value {
        let mut reply: Value = serde_json::from_str(self.text(now)).unwrap_or_default();
        let is_unknown = behaviour.unknown_code && !self.is_pending(now);
        let code = self.code.filter(|_| is_unknown);
        if let Some(code) = code.and_then(|pointer| reply.pointer_mut(pointer)) {
            *code = UNKNOWN_CODE.into();
        }
        if behaviour.odd_fields {
            make_odd(&mut reply);
        }
        reply
    }

    fn text(&self, now: Instant) -> &String {
        if self.is_pending(now) {
            &self.pending
        } else {
            &self.settled
        }
    }

    /// Returns the reply before the outcome.
    pub(crate) fn pending(&self) -> Value {
        serde_json::from_str(&self.pending).unwrap_or_default()
    }

    /// Returns whether the first reply was that the verification is pending.
    pub(crate) fn was_pending(&self) -> bool {
        self.is_pending(self.accepted_at)
    }

    fn is_pending(&self, now: Instant) -> bool {
        self.appears_at.is_none_or(|at| now < at)
    }
}
