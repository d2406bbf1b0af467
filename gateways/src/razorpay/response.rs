//! Razorpay's replies, as its public API reference has them (*Composite account validation*, *Account validation*, *Validate
//! VPA*), mapped to Khata's words.

use khata_domain::validation::{CallResult, FailureCode};
use khata_domain::{AccountType, CallFailure, Class, Details, GatewayResponse};

use super::codes;
use crate::body::{Body, Fields, Word};
use crate::connector::Call;
use crate::http::Reply;
use crate::meaning::{self, Meaning, conclude};
use crate::name::{is_nothing, is_plain, names_holder};

/// Maps a reply about the validation that this call asked for.
pub(super) fn call_response(call: &Call<'_>, reply: &Reply) -> CallResult {
    let default = match call.details {
        Details::Bank(_) => FailureCode::InvalidAccount,
        Details::Upi(_) => FailureCode::InvalidVpa,
    };
    let body = reply.body()?;
    response(&body, &body.fields(), default, call.attempt > 1)
}

/// Maps a validation, in a reply or a webhook. `default` is the failure if Razorpay gives no reason; `retried` says whether an
/// earlier attempt has asked about the same address.
pub(super) fn response(
    body: &Body,
    validation: &Fields<'_>,
    default: FailureCode,
    retried: bool,
) -> CallResult {
    let id = validation.id("id").filter(|id| is_id(id));
    // `validation_results` in the composite shape, `results` in the classic one; some replies hold both, one of them null.
    let results = validation.object_of(&["validation_results", "results"]);
    let account = results.word("account_status");
    let reason = reason(validation);
    let status = validation.word("status");
    let word = status.as_str().to_ascii_lowercase();
    let (meaning, code, without) = match word.as_str() {
        "created" if id.is_none() => (None, "", "accepted without an id"),
        "created" => (Some(Meaning::of(Class::Pending)), "", ""),
        "completed" => {
            let meaning = completed(body, &results, (&account, &reason), default);
            (meaning, account.as_str(), "completed without results")
        }
        "failed" => {
            let meaning = failed(body, (&account, &reason), retried);
            (meaning, reason.as_str(), "failed without a readable reason")
        }
        "" if status == Word::Contradictory => (Some(Meaning::Contradictory), "", ""),
        "" => (None, "", "response without a status"),
        _ => (Some(Meaning::Unlisted), "", ""),
    };
    let code = if code.is_empty() { word.as_str() } else { code };
    let outcome = conclude(body, meaning, code, without)?;
    let waits = outcome.class == Class::Retryable && !codes::depends_on_attempt(reason.as_str());
    let account_type = results.object("bank_account").text("account_type");
    let response = GatewayResponse {
        name_at_bank: results.text("registered_name"),
        account_type: account_type.and_then(|word| AccountType::from_gateway(&word)),
        utr: validation.id("utr"),
        gateway_reference: id,
        name_match_score: results.score("name_match_score"),
        retry_after: waits.then_some(codes::RETRY_DELAY),
        ..outcome
    };
    Ok(body.noted(response))
}

/// Returns the meaning of a completed validation. An empty `account_status` says that the bank did not find the account, which
/// the name of its holder contradicts; a reason that says so contradicts an active account.
fn completed(
    body: &Body,
    results: &Fields<'_>,
    (account, reason): (&Word, &Word),
    default: FailureCode,
) -> Option<Meaning> {
    let has_holder = || names_holder(results.text("registered_name").as_deref());
    let meaning = match account {
        Word::Of(word) => codes::completed(word, default),
        Word::Blank if has_holder() => Meaning::Contradictory,
        Word::Blank => codes::completed("", default),
        Word::Contradictory => Meaning::Contradictory,
        Word::Absent | Word::Unreadable => return None,
    };
    let rejection = codes::failed(reason.as_str(), true);
    let is_rejected = rejection.class() == Class::Invalid;
    let contradicts = meaning == Meaning::Contradictory
        || meaning.class() == Class::Valid && (is_rejected || *reason == Word::Contradictory);
    if contradicts {
        body.note("account_status");
        return Some(Meaning::Contradictory);
    }
    // The reason of an invalid account is more exact.
    let is_more_exact = meaning.class() == Class::Invalid && is_rejected;
    Some(if is_more_exact { rejection } else { meaning })
}

/// Returns the meaning of a failed validation, which an active account contradicts.
fn failed(body: &Body, (account, reason): (&Word, &Word), retried: bool) -> Option<Meaning> {
    let is_active =
        codes::completed(account.as_str(), FailureCode::InvalidAccount).class() == Class::Valid;
    match reason {
        _ if is_active => {
            body.note("account_status");
            Some(Meaning::Contradictory)
        }
        Word::Contradictory => Some(Meaning::Contradictory),
        Word::Unreadable => None,
        Word::Of(_) | Word::Blank | Word::Absent => Some(codes::failed(reason.as_str(), retried)),
    }
}

/// Returns the reason of a validation, which only the composite shape has.
pub(super) fn reason(validation: &Fields<'_>) -> Word {
    validation.object("status_details").word("reason")
}

/// Whether this can be an id of Razorpay's, which becomes part of a path.
pub(super) fn is_id(id: &str) -> bool {
    !id.is_empty() && is_plain(id, b"_")
}

/// An error body, read.
pub(super) struct ErrorReply {
    pub(super) reason: String,
    /// A sentence that separates cases with the same code and reason. May repeat values of the request: not for logs.
    pub(super) description: String,
    /// The code to record; empty if there is none.
    pub(super) code: String,
}

impl ErrorReply {
    pub(super) fn read(body: &Body) -> Self {
        let fields = body.fields();
        // Samples hold the words "null" and "NA" in the place of nothing.
        let word = |fields: &Fields<'_>, name| {
            let word = fields.scalar(name).as_str().to_owned();
            Some(word).filter(|word| !is_nothing(word))
        };
        if !fields.holds_object("error") {
            let word =
                word(&fields, "error").filter(|word| !matches!(word.as_str(), "false" | "0"));
            return Self {
                reason: String::new(),
                description: word.unwrap_or_default(),
                code: String::new(),
            };
        }
        let error = fields.object("error");
        let [reason, code, description] =
            ["reason", "code", "description"].map(|name| word(&error, name).unwrap_or_default());
        Self {
            code: if reason.is_empty() {
                code
            } else {
                reason.clone()
            },
            reason: reason.to_ascii_lowercase(),
            description,
        }
    }

    /// Whether there is an error at all.
    pub(super) fn says_something(&self) -> bool {
        !self.code.is_empty() || !self.description.is_empty()
    }
}

/// Returns the failure of a lookup by Razorpay's id. "No such id" never means "never seen", because Razorpay gave us that id.
pub(super) fn lookup_failure(reply: &Reply) -> CallFailure {
    let body = reply.error_body();
    if codes::is_unknown_id(reply.status, &ErrorReply::read(&body).description) {
        return body.unclear("Razorpay does not know its own id");
    }
    reply.lookup_failure()
}

/// Maps an error reply by this table.
pub(super) fn error_response(
    reply: &Reply,
    table: fn(u16, &str, &str) -> Option<Meaning>,
) -> CallResult {
    let body = reply.error_body();
    let error = ErrorReply::read(&body);
    let meaning = table(reply.status, &error.reason, &error.description);
    meaning::error_response(reply, &body, meaning, &error.code)
}
