//! Changed replies and webhooks: a field that does not decide never costs the outcome, and one that decides never turns it around.

use std::sync::{Mutex, PoisonError};

use chrono::TimeDelta;
use khata_domain::{CallFailure, Class, GatewayResponse, Recovery};
use khata_gateways::{Connector, WebhookMessage, set_canned_reply};
use serde_json::{Value, json};

use crate::conformance::changes::{Change, changes};
use crate::conformance::fixture::{Fixture, PAUSE};
use crate::conformance::mirror::{Kept, Mirror};
use crate::conformance::profile::{Profile, Reports, Webhooks};
use crate::conformance::receiver::Received;
use crate::conformance::scenario::Scenario;
use crate::conformance::story::Attempt;
use crate::conformance::webhooks::{read, webhook_received};

/// A message of a gateway.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Message {
    Call,
    Lookup,
    Webhook,
}

/// What the connector makes of a message.
type Reading = Result<Option<GatewayResponse>, CallFailure>;

/// Maximum number of lines about one connector.
const MAX_LINES: usize = 12;

/// Checks every change of every message of the connector.
pub(crate) async fn check(fixture: &Fixture<'_>) -> Result<(), String> {
    let mirror = Mirror::start(&fixture.sandbox.origin).await;
    let address = format!("{}{}", mirror.origin, fixture.profile.path);
    let connector = fixture.connector_at(&address, &fixture.profile.credentials, &json!({}));
    let connector = connector.as_ref();
    let mut faults = Vec::new();
    for scenario in [Scenario::Valid, Scenario::Invalid] {
        let payee = fixture.payee(scenario);
        let mut attempt = fixture.attempt(connector, &payee);
        attempt.verify(connector).await;
        let call = mirror.newest();
        tokio::time::sleep(PAUSE).await;
        let found = lookup(connector, &attempt).await;
        let lookup_reply = mirror.newest();
        // The acceptance of a call does not depend on the account.
        if scenario == Scenario::Valid || fixture.profile.reports == Reports::AtOnce {
            let message = (&attempt, Message::Call);
            faults.extend(changed(fixture, connector, message, &call));
        }
        if found.is_ok() {
            let message = (&attempt, Message::Lookup);
            faults.extend(changed(fixture, connector, message, &lookup_reply));
        } else if fixture.profile.recovery == Recovery::Lookup
            || fixture.profile.reports == Reports::Later
        {
            return Err(format!("a lookup: {found:?}"));
        }
    }
    faults.extend(changed_webhooks(fixture).await?);
    if faults.is_empty() {
        return Ok(());
    }
    let count = faults.len();
    faults.truncate(MAX_LINES);
    Err(format!("{count} changes:\n    {}", faults.join("\n    ")))
}

async fn lookup(connector: &dyn Connector, attempt: &Attempt<'_>) -> Reading {
    let reference = attempt.gateway_reference();
    connector.lookup(&attempt.call(), reference).await
}

async fn reading(connector: &dyn Connector, attempt: &Attempt<'_>, message: Message) -> Reading {
    match message {
        Message::Call => connector.verify(&attempt.call()).await.map(Some),
        Message::Lookup | Message::Webhook => lookup(connector, attempt).await,
    }
}

/// Returns a line for each change of a reply that the connector does not bear. The changed replies reach the connector without
/// HTTP, in a thread of their own.
fn changed(
    fixture: &Fixture<'_>,
    connector: &dyn Connector,
    (attempt, message): (&Attempt<'_>, Message),
    kept: &Kept,
) -> Vec<String> {
    // One at a time: the calls of other scenarios have time-outs.
    static TURN: Mutex<()> = Mutex::new(());
    let body: Value = serde_json::from_slice(&kept.body).expect("the sandbox replies in JSON");
    let read = || {
        let runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = { runtime }.enable_time().build().expect("a runtime");
        let read = |body: &[u8]| {
            set_canned_reply(kept.status, body);
            runtime.block_on(reading(connector, attempt, message))
        };
        let unchanged = read(&kept.body);
        assert!(
            matches!(&unchanged, Ok(Some(response)) if response.not_understood.is_empty()),
            "{}: {unchanged:?}",
            fixture.profile.name()
        );
        let fault = |change: Change| {
            let seen = read(&change.body);
            fault(fixture.profile, message, &change, &unchanged, &seen)
        };
        changes(&body).into_iter().filter_map(fault).collect()
    };
    tokio::task::block_in_place(|| {
        let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        std::thread::scope(|scope| scope.spawn(read).join().expect("no reading panics"))
    })
}

/// Describes what is wrong with the reading of a changed message, if something is.
fn fault(
    profile: &Profile,
    message: Message,
    change: &Change,
    unchanged: &Reading,
    seen: &Reading,
) -> Option<String> {
    let decides = change
        .field
        .iter()
        .any(|name| profile.decides.contains(&name.as_str()))
        || holds_a_deciding_field(profile, change);
    let (Ok(Some(expected)), seen_response) = (unchanged, seen.as_ref().ok()) else {
        return None;
    };
    let problem = match seen_response {
        Some(Some(response)) if decides && says_no(change) && response.class == Class::Valid => {
            "a yes by a no"
        }
        Some(Some(response)) if is_same(expected, response) => foreign_name(change, response)?,
        _ if !decides || change.keeps_values => "another outcome",
        Some(Some(response))
            if is_opposite(expected.class, response.class) && !change.is_statement =>
        {
            "the opposite"
        }
        Some(Some(response)) if pays_again(profile, message, change, response) => "a second rupee",
        Some(Some(_)) | None if !matches!(seen, Err(CallFailure::NotSent(_))) => return None,
        Some(None) | None => "never sent",
        Some(Some(_)) => return None,
    };
    let message = match message {
        Message::Call => "call",
        Message::Lookup => "lookup",
        Message::Webhook => "webhook",
    };
    let field = change.field.join(".");
    Some(format!(
        "{message}, {field} {}: {problem}: {seen:?}",
        change.what
    ))
}

/// Whether the field is an object around a field that decides: its name is among those that decide too.
fn holds_a_deciding_field(profile: &Profile, change: &Change) -> bool {
    change
        .field
        .last()
        .is_some_and(|name| profile.holders.contains(&name.as_str()))
}

fn is_same(one: &GatewayResponse, other: &GatewayResponse) -> bool {
    (one.class, one.failure, one.unlisted) == (other.class, other.failure, other.unlisted)
}

/// Whether the new value of a status says no.
fn says_no(change: &Change) -> bool {
    let statuses = [
        "status",
        "account_status",
        "verification",
        "success",
        "accountExists",
        "isVPAValid",
        "txnStatus",
    ];
    let last = change.field.last();
    change.what == "false" && last.is_some_and(|name| statuses.contains(&name.as_str()))
}

/// Names that are noted must be those of the changed field, or of a field that holds it.
fn foreign_name(change: &Change, response: &GatewayResponse) -> Option<&'static str> {
    let is_own = |name: &String| change.field.contains(name);
    let all_own = response.not_understood.iter().all(is_own);
    (!all_own).then_some("another field was not understood")
}

fn is_opposite(expected: Class, seen: Class) -> bool {
    match expected {
        Class::Valid => matches!(seen, Class::Invalid | Class::Review),
        Class::Invalid | Class::Review => seen == Class::Valid,
        _ => seen.is_final(),
    }
}

/// Whether another attempt follows although a lookup is possible. A text in no table is inconclusive.
fn pays_again(
    profile: &Profile,
    message: Message,
    change: &Change,
    response: &GatewayResponse,
) -> bool {
    let class = matches!(
        response.class,
        Class::Retryable | Class::Misconfigured | Class::Inconclusive
    );
    message == Message::Call
        && profile.method.moves_money()
        && profile.recovery != Recovery::None
        && class
        && !(response.unlisted && change.what.contains("text"))
}

async fn changed_webhooks(fixture: &Fixture<'_>) -> Result<Vec<String>, String> {
    let (scenarios, sign): (&[_], _) = match &fixture.profile.webhooks {
        Webhooks::None(_) => return Ok(Vec::new()),
        Webhooks::Hint => (&[Scenario::PendingThenValid], None),
        Webhooks::Signed { sign, .. } => (
            &[Scenario::PendingThenValid, Scenario::PendingThenInvalid],
            Some(*sign),
        ),
    };
    let connector = fixture.connector();
    let connector = connector.as_ref();
    let mut faults = Vec::new();
    for scenario in scenarios {
        let payee = fixture.payee(*scenario);
        let mut attempt = fixture.attempt(connector, &payee);
        let received = webhook_received(fixture, &mut attempt, connector, &json!({}), 1).await?;
        let unchanged = message(connector, &received[0])?;
        let body: Value = serde_json::from_slice(&received[0].body).expect("the event is JSON");
        for change in changes(&body) {
            let mut changed = received[0].clone();
            changed.body.clone_from(&change.body);
            if let Some(sign) = sign {
                changed.headers = sign(&changed.body);
            }
            let seen = read(connector, &changed, TimeDelta::zero());
            let seen = seen.ok().flatten();
            faults.extend(webhook_fault(fixture.profile, &change, &unchanged, seen));
        }
    }
    Ok(faults)
}

/// Describes what is wrong with the reading of a changed webhook, if something is.
fn webhook_fault(
    profile: &Profile,
    change: &Change,
    unchanged: &WebhookMessage,
    seen: Option<WebhookMessage>,
) -> Option<String> {
    let Some(expected) = unchanged.response.clone() else {
        let decides = change
            .field
            .iter()
            .any(|name| profile.decides.contains(&name.as_str()))
            || holds_a_deciding_field(profile, change);
        let holds_outcome = seen.as_ref().is_some_and(|seen| seen.response.is_some());
        let is_same = seen
            .as_ref()
            .is_some_and(|seen| seen.attempt == unchanged.attempt);
        let bad = holds_outcome || !is_same && (!decides || change.keeps_values);
        let field = change.field.join(".");
        return bad.then(|| format!("hint, {field} {}: {seen:?}", change.what));
    };
    // A webhook that is refused or ignored, or holds no outcome, leads to a lookup.
    let lost = || Err(CallFailure::ResponseLost("no outcome".into()));
    let seen = match seen {
        Some(seen) if seen.attempt == unchanged.attempt => seen
            .response
            .map_or_else(lost, |response| Ok(Some(response))),
        _ => lost(),
    };
    fault(
        profile,
        Message::Webhook,
        change,
        &Ok(Some(expected)),
        &seen,
    )
}

fn message(connector: &dyn Connector, received: &Received) -> Result<WebhookMessage, String> {
    match read(connector, received, TimeDelta::zero()) {
        Ok(Some(message)) => Ok(message),
        read => Err(format!("unchanged: {read:?}")),
    }
}
