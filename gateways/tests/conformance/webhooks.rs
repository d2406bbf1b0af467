//! Webhooks: the sandbox sends events to a receiver, and the connector reads them, unchanged and changed.

use std::time::Duration;

use chrono::{TimeDelta, Utc};
use khata_domain::{Class, GatewayResponse};
use khata_gateways::{AttemptName, Connector, WebhookError, WebhookMessage, WebhookRequest};
use serde_json::{Value, json};

use crate::conformance::fixture::{Fixture, PAUSE};
use crate::conformance::profile::Webhooks;
use crate::conformance::receiver::{Received, Receiver};
use crate::conformance::scenario::Scenario;
use crate::conformance::story::Attempt;

/// Checks that the connector accepts the gateway's webhooks and nothing else.
pub(crate) async fn check(fixture: &Fixture<'_>) -> Result<(), String> {
    match &fixture.profile.webhooks {
        Webhooks::None(_) => rejected(fixture),
        Webhooks::Hint => hints(fixture).await,
        Webhooks::Signed {
            header,
            max_age,
            add_old_secret,
            ..
        } => signed(fixture, header, *max_age, *add_old_secret).await,
    }
}

/// Checks that a connector without webhooks accepts none.
fn rejected(fixture: &Fixture<'_>) -> Result<(), String> {
    let connector = fixture.connector();
    let body = br#"{"status":"SUCCESS","code":"ACCOUNT_IS_VALID"}"#;
    let read = connector.webhook(&WebhookRequest {
        headers: &[],
        body,
        received_at: Utc::now(),
    });
    ensure(read.is_err(), || format!("an empty webhook: {read:?}"))
}

async fn signed(
    fixture: &Fixture<'_>,
    header: &'static str,
    max_age: Option<Duration>,
    add_old_secret: fn(&mut Value, &str),
) -> Result<(), String> {
    let connector = fixture.connector();
    let connector = connector.as_ref();
    for scenario in [Scenario::PendingThenValid, Scenario::PendingThenInvalid] {
        let payee = fixture.payee(scenario);
        let mut attempt = fixture.attempt(connector, &payee);
        // Three times, and the state before the outcome once.
        let more = json!({"duplicates": 2, "out_of_order": true});
        let received = webhook_received(fixture, &mut attempt, connector, &more, 4).await?;
        holds_the_outcome_of_a_lookup(connector, &attempt, &received[..3]).await?;
        let older = read(connector, &received[3], TimeDelta::zero());
        let is_final = |message: &WebhookMessage| {
            let response = message.response.as_ref();
            response.is_some_and(|response| response.class != Class::Pending)
        };
        match older {
            Ok(Some(message)) if !is_final(&message) => {}
            older => return Err(format!("the older state: {older:?}")),
        }
        tampered(connector, &received[0], header)?;
        aged(connector, &received[0], max_age)?;
    }
    let payee = fixture.payee(Scenario::PendingThenValid);
    let mut attempt = fixture.attempt(connector, &payee);
    let old = json!({"old_secret": "the old secret", "old_secret_rate": 1.0});
    let received = webhook_received(fixture, &mut attempt, connector, &old, 1).await?;
    let mut credentials = fixture.profile.credentials.clone();
    add_old_secret(&mut credentials, "the old secret");
    let with_old_secret = fixture.connector_with(&credentials, &json!({}));
    let accepted = read(with_old_secret.as_ref(), &received[0], TimeDelta::zero());
    ensure(matches!(accepted, Ok(Some(_))), || {
        format!("under the old secret, which is configured: {accepted:?}")
    })?;
    let rejected = read(connector, &received[0], TimeDelta::zero());
    ensure(rejected == Err(WebhookError::BadSignature), || {
        format!("under a secret that is not configured: {rejected:?}")
    })
}

/// Checks that an unsigned event is only a reason to look up the outcome, from any sender.
async fn hints(fixture: &Fixture<'_>) -> Result<(), String> {
    let connector = fixture.connector();
    let connector = connector.as_ref();
    let payee = fixture.payee(Scenario::PendingThenValid);
    let mut attempt = fixture.attempt(connector, &payee);
    let more = json!({"duplicates": 1});
    let received = webhook_received(fixture, &mut attempt, connector, &more, 2).await?;
    for one in &received {
        let message = message(connector, one)?;
        ensure(message.response.is_none(), || {
            "an unsigned event holds an outcome".into()
        })?;
        is_about(&attempt, &message)?;
    }
    for place in 0..received[0].body.len() {
        let read = read(connector, &changed(&received[0], place), TimeDelta::zero());
        let reports = matches!(&read, Ok(Some(message)) if message.response.is_some());
        ensure(!reports, || {
            format!("changed at byte {place}, the event holds an outcome")
        })?;
    }
    Ok(())
}

/// Verifies, and waits for this number of webhooks.
pub(crate) async fn webhook_received(
    fixture: &Fixture<'_>,
    attempt: &mut Attempt<'_>,
    connector: &dyn Connector,
    more: &Value,
    count: usize,
) -> Result<Vec<Received>, String> {
    let receiver = Receiver::start().await;
    let mut webhook = more.clone();
    webhook["url"] = receiver.url.clone().into();
    fixture.webhook(webhook).await;
    attempt.verify(connector).await;
    let waited = tokio::time::timeout(Duration::from_secs(20), receiver.received(count)).await;
    waited.map_err(|_| format!("fewer than {count} webhooks were received"))
}

/// Checks that each event concerns this attempt and holds the outcome that a lookup returns.
async fn holds_the_outcome_of_a_lookup(
    connector: &dyn Connector,
    attempt: &Attempt<'_>,
    received: &[Received],
) -> Result<(), String> {
    tokio::time::sleep(PAUSE).await;
    let found = connector
        .lookup(&attempt.call(), attempt.gateway_reference())
        .await;
    let Ok(Some(found)) = found else {
        return Err(format!("a lookup after the webhook: {found:?}"));
    };
    for one in received {
        let message = message(connector, one)?;
        is_about(attempt, &message)?;
        let response = message.response.ok_or("the event holds no outcome")?;
        ensure(response == found, || {
            format!(
                "webhook: {}; lookup: {}",
                plaintext(&response),
                plaintext(&found)
            )
        })?;
    }
    // A replay of the same bytes.
    let again = [
        message(connector, &received[0])?,
        message(connector, &received[0])?,
    ];
    ensure(again[0] == again[1], || {
        "a replay is read as another message".into()
    })
}

fn is_about(attempt: &Attempt<'_>, message: &WebhookMessage) -> Result<(), String> {
    let ours = match &message.attempt {
        AttemptName::Reference(reference) => reference == attempt.call().reference,
        AttemptName::GatewayReference(id) => Some(id.as_str()) == attempt.gateway_reference(),
    };
    ensure(ours, || format!("the event is about {:?}", message.attempt))
}

/// Checks that a changed byte or a missing header is rejected.
fn tampered(
    connector: &dyn Connector,
    received: &Received,
    header: &'static str,
) -> Result<(), String> {
    for place in 0..received.body.len() {
        let read = read(connector, &changed(received, place), TimeDelta::zero());
        ensure(read == Err(WebhookError::BadSignature), || {
            format!("changed at byte {place}: {read:?}")
        })?;
    }
    let mut bare = received.clone();
    bare.headers.retain(|(name, _)| name != header);
    let read = read(connector, &bare, TimeDelta::zero());
    ensure(read == Err(WebhookError::MissingHeader(header)), || {
        format!("without {header}: {read:?}")
    })
}

/// Checks that an event that was signed too long ago is rejected; if no time is signed, age proves nothing.
fn aged(
    connector: &dyn Connector,
    received: &Received,
    max_age: Option<Duration>,
) -> Result<(), String> {
    let Some(max_age) = max_age else {
        let read = read(connector, received, TimeDelta::days(2));
        return ensure(matches!(read, Ok(Some(_))), || {
            format!("two days later: {read:?}")
        });
    };
    let max_age = TimeDelta::from_std(max_age).expect("the maximum age is a few hours");
    let within = read(connector, received, max_age / 2);
    ensure(matches!(within, Ok(Some(_))), || {
        format!("within the maximum age: {within:?}")
    })?;
    let late = read(connector, received, max_age + TimeDelta::minutes(1));
    ensure(late == Err(WebhookError::Stale), || {
        format!("after the maximum age: {late:?}")
    })
}

fn message(connector: &dyn Connector, received: &Received) -> Result<WebhookMessage, String> {
    match read(connector, received, TimeDelta::zero()) {
        Ok(Some(message)) => Ok(message),
        read => Err(format!("unchanged: {read:?}")),
    }
}

pub(crate) fn read(
    connector: &dyn Connector,
    received: &Received,
    later: TimeDelta,
) -> Result<Option<WebhookMessage>, WebhookError> {
    let headers: Vec<_> = received
        .headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    connector.webhook(&WebhookRequest {
        headers: &headers,
        body: &received.body,
        received_at: Utc::now() + later,
    })
}

fn changed(received: &Received, place: usize) -> Received {
    let mut changed = received.clone();
    changed.body[place] ^= 1;
    changed
}

/// Returns all of a response, also the names, which are the sandbox's.
fn plaintext(response: &GatewayResponse) -> String {
    String::from_utf8_lossy(&response.to_plaintext()).into_owned()
}

fn ensure(holds: bool, else_say: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(else_say()) }
}
