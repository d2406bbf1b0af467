//! Call-backs: the sandbox sends the real thing to a receiver, and what came, byte for byte, is read; then bent.

use std::time::Duration;

use chrono::{TimeDelta, Utc};
use khata_domain::{Class, GatewayResponse};
use khata_gateways::{AttemptName, Connector, WebhookError, WebhookMessage, WebhookRequest};
use serde_json::{Value, json};

use crate::bench::{Bench, PAUSE};
use crate::receiver::{Came, Receiver};
use crate::row::Row;
use crate::story::Attempt;
use crate::subject::CallBacks;

/// Whether the connector believes what the gateway sends, and nothing else.
pub(crate) async fn check(bench: &Bench<'_>) -> Result<(), String> {
    match &bench.subject.gateway_webhooks {
        CallBacks::None(_) => unbelieved(bench),
        CallBacks::Hint => hints(bench).await,
        CallBacks::Signed {
            header,
            good_for,
            remember,
        } => signed(bench, header, *good_for, *remember).await,
    }
}

/// Where there is none, nothing that comes is taken for one.
fn unbelieved(bench: &Bench<'_>) -> Result<(), String> {
    let connector = bench.connector();
    let body = br#"{"status":"SUCCESS","code":"ACCOUNT_IS_VALID"}"#;
    let read = connector.webhook(&WebhookRequest {
        headers: &[],
        body,
        received_at: Utc::now(),
    });
    ensure(read.is_err(), || format!("an empty call-back: {read:?}"))
}

async fn signed(
    bench: &Bench<'_>,
    header: &'static str,
    good_for: Option<Duration>,
    remember: fn(&mut Value, &str),
) -> Result<(), String> {
    let connector = bench.connector();
    let connector = connector.as_ref();
    for row in [Row::PendingThenValid, Row::PendingThenInvalid] {
        let payee = bench.payee(row);
        let mut attempt = bench.attempt(connector, &payee);
        // Three times, and what it was before its end once more.
        let more = json!({"duplicates": 2, "out_of_order": true});
        let came = webhook_received(bench, &mut attempt, connector, &more, 4).await?;
        tells_what_a_look_tells(connector, &attempt, &came[..3]).await?;
        let older = read(connector, &came[3], TimeDelta::zero());
        let is_final = |notice: &WebhookMessage| {
            let answer = notice.response.as_ref();
            answer.is_some_and(|answer| answer.class != Class::Pending)
        };
        match older {
            Ok(Some(notice)) if !is_final(&notice) => {}
            older => return Err(format!("its older state: {older:?}")),
        }
        bent(connector, &came[0], header)?;
        aged(connector, &came[0], good_for)?;
    }
    let payee = bench.payee(Row::PendingThenValid);
    let mut attempt = bench.attempt(connector, &payee);
    let old = json!({"old_secret": "the old secret", "old_secret_rate": 1.0});
    let came = webhook_received(bench, &mut attempt, connector, &old, 1).await?;
    let mut credentials = bench.subject.credentials.clone();
    remember(&mut credentials, "the old secret");
    let remembering = bench.connector_with(&credentials, &json!({}));
    let believed = read(remembering.as_ref(), &came[0], TimeDelta::zero());
    ensure(matches!(believed, Ok(Some(_))), || {
        format!("under the old secret, which is configured: {believed:?}")
    })?;
    let unbelieved = read(connector, &came[0], TimeDelta::zero());
    ensure(unbelieved == Err(WebhookError::BadSignature), || {
        format!("under a secret that is not configured: {unbelieved:?}")
    })
}

/// Under no signature it is a reason to ask, whoever sent it, and never an outcome.
async fn hints(bench: &Bench<'_>) -> Result<(), String> {
    let connector = bench.connector();
    let connector = connector.as_ref();
    let payee = bench.payee(Row::PendingThenValid);
    let mut attempt = bench.attempt(connector, &payee);
    let more = json!({"duplicates": 1});
    let came = webhook_received(bench, &mut attempt, connector, &more, 2).await?;
    for one in &came {
        let notice = notice(connector, one)?;
        ensure(notice.response.is_none(), || "it tells an outcome".into())?;
        is_about(&attempt, &notice)?;
    }
    for place in 0..came[0].body.len() {
        let read = read(connector, &changed(&came[0], place), TimeDelta::zero());
        let tells = matches!(&read, Ok(Some(notice)) if notice.response.is_some());
        ensure(!tells, || {
            format!("changed at byte {place}, it tells an outcome")
        })?;
    }
    Ok(())
}

/// Verifies, and waits for so many call-backs.
async fn webhook_received(
    bench: &Bench<'_>,
    attempt: &mut Attempt<'_>,
    connector: &dyn Connector,
    more: &Value,
    count: usize,
) -> Result<Vec<Came>, String> {
    let receiver = Receiver::start().await;
    let mut webhook = more.clone();
    webhook["url"] = receiver.url.clone().into();
    bench.webhook(webhook).await;
    attempt.verify(connector).await;
    let waited = tokio::time::timeout(Duration::from_secs(20), receiver.came(count)).await;
    waited.map_err(|_| format!("fewer than {count} call-backs came"))
}

/// The same notice each time, about this attempt, and the outcome that a look finds.
async fn tells_what_a_look_tells(
    connector: &dyn Connector,
    attempt: &Attempt<'_>,
    came: &[Came],
) -> Result<(), String> {
    tokio::time::sleep(PAUSE).await;
    let looked = connector
        .lookup(&attempt.call(), attempt.gateway_reference())
        .await;
    let Ok(Some(found)) = looked else {
        return Err(format!("a look after the call-back: {looked:?}"));
    };
    for one in came {
        let notice = notice(connector, one)?;
        is_about(attempt, &notice)?;
        let told = notice.response.ok_or("no outcome is told")?;
        ensure(told == found, || {
            format!(
                "called back: {}; looked up: {}",
                spelt(&told),
                spelt(&found)
            )
        })?;
    }
    // Replayed: byte for byte what came before.
    let again = [notice(connector, &came[0])?, notice(connector, &came[0])?];
    ensure(again[0] == again[1], || {
        "replayed, it is another notice".into()
    })
}

fn is_about(attempt: &Attempt<'_>, notice: &WebhookMessage) -> Result<(), String> {
    let ours = match &notice.attempt {
        AttemptName::Reference(reference) => reference == attempt.call().reference,
        AttemptName::GatewayReference(id) => Some(id.as_str()) == attempt.gateway_reference(),
    };
    ensure(ours, || format!("it is about {:?}", notice.attempt))
}

/// No byte of the body may differ, no header may be gone.
fn bent(connector: &dyn Connector, came: &Came, header: &'static str) -> Result<(), String> {
    for place in 0..came.body.len() {
        let read = read(connector, &changed(came, place), TimeDelta::zero());
        ensure(read == Err(WebhookError::BadSignature), || {
            format!("changed at byte {place}: {read:?}")
        })?;
    }
    let mut bare = came.clone();
    bare.headers.retain(|(name, _)| name != header);
    let read = read(connector, &bare, TimeDelta::zero());
    ensure(read == Err(WebhookError::MissingHeader(header)), || {
        format!("without {header}: {read:?}")
    })
}

/// What was signed too long ago is not believed; where no time is signed, age proves nothing.
fn aged(connector: &dyn Connector, came: &Came, good_for: Option<Duration>) -> Result<(), String> {
    let Some(good_for) = good_for else {
        let read = read(connector, came, TimeDelta::days(2));
        return ensure(matches!(read, Ok(Some(_))), || {
            format!("two days later: {read:?}")
        });
    };
    let good_for = TimeDelta::from_std(good_for).expect("hours at most");
    let within = read(connector, came, good_for / 2);
    ensure(matches!(within, Ok(Some(_))), || {
        format!("within its time: {within:?}")
    })?;
    let late = read(connector, came, good_for + TimeDelta::minutes(1));
    ensure(late == Err(WebhookError::Stale), || {
        format!("after its time: {late:?}")
    })
}

fn notice(connector: &dyn Connector, came: &Came) -> Result<WebhookMessage, String> {
    match read(connector, came, TimeDelta::zero()) {
        Ok(Some(notice)) => Ok(notice),
        read => Err(format!("as it came: {read:?}")),
    }
}

fn read(
    connector: &dyn Connector,
    came: &Came,
    later: TimeDelta,
) -> Result<Option<WebhookMessage>, WebhookError> {
    let headers: Vec<_> = came
        .headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    connector.webhook(&WebhookRequest {
        headers: &headers,
        body: &came.body,
        received_at: Utc::now() + later,
    })
}

fn changed(came: &Came, place: usize) -> Came {
    let mut changed = came.clone();
    changed.body[place] ^= 1;
    changed
}

/// All of an answer, names too: they are the sandbox's.
fn spelt(answer: &GatewayResponse) -> String {
    String::from_utf8_lossy(&answer.to_plaintext()).into_owned()
}

fn ensure(holds: bool, else_say: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(else_say()) }
}
