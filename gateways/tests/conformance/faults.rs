//! Calls that go wrong: what was sent and what was not, what may have paid and is found out, who is turned away.

use std::net::TcpListener;

use khata_domain::CallFailure;
use khata_gateways::{Check, Connector};
use serde_json::{Value, json};

use crate::bench::{Bench, PAUSE};
use crate::row::{Row, STAY_AWAY};
use crate::story::Story;

/// Calls made after the first one, at most.
const FURTHER: usize = 4;

/// One row of a gateway that misbehaves, or that we misuse.
pub(crate) async fn story(bench: &Bench<'_>, row: Row) -> Result<Story, String> {
    Ok(match row {
        Row::NobodyListens => nobody_listens(bench).await,
        Row::ErrorBefore => lost(bench, json!({"error_rate": 1.0, "errors": "before_work"})).await,
        Row::ErrorAfter => lost(bench, json!({"error_rate": 1.0, "errors": "after_work"})).await,
        Row::Reset => lost(bench, json!({"reset_rate": 1.0})).await,
        Row::Hang => lost(bench, json!({"hang_rate": 1.0})).await,
        Row::Malformed => lost(bench, json!({"malformed_rate": 1.0})).await,
        Row::Killed => killed(bench).await,
        Row::TooMany => at_first(bench, too_many()).await,
        Row::AddressRefused => at_first(bench, json!({"refuse_ip": true})).await,
        Row::Balance => at_first(bench, json!({"insufficient_balance": true})).await,
        Row::TooManyRecoveries | Row::CredentialsGone => recovery_refused(bench, row).await,
        Row::TooManyLooks => look_turned_away(bench).await?,
        Row::Credentials => stranger(bench).await,
        _ => return Err("nobody tries it".into()),
    })
}

/// The check of credentials: whether it tells the good from the bad.
pub(crate) async fn check(bench: &Bench<'_>) -> Result<(), String> {
    let rupees = bench.rupees().await;
    let known = bench.connector().check().await;
    let unknown = bench.stranger().check().await;
    match (&known, &unknown, rupees.dropped().await) {
        (Ok(Check::Accepted(_)), Ok(Check::Refused(_)), 0) => Ok(()),
        (_, _, dropped) => Err(format!(
            "good credentials: {known:?}, bad ones: {unknown:?}, {dropped} rupees dropped"
        )),
    }
}

fn too_many() -> Value {
    json!({"reject_rate": 1.0, "retry_after_s": STAY_AWAY.as_secs()})
}

async fn nobody_listens(bench: &Bench<'_>) -> Story {
    // Bound and let go: nobody else is given the port so soon.
    let closed = TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .expect("a port that is free");
    let address = format!("http://{closed}");
    let connector = bench.connector_at(&address, &bench.subject.credentials, &json!({}));
    let payee = bench.payee(Row::Valid);
    let rupees = bench.rupees().await;
    let mut attempt = bench.attempt(connector.as_ref(), &payee);
    attempt.verify(connector.as_ref()).await;
    rupees.story(&attempt).await
}

/// The answer to the first call is lost; then the gateway is well again, and another worker goes on.
async fn lost(bench: &Bench<'_>, behaviour: Value) -> Story {
    // Long enough for a call that is answered, on a busy machine too; only the one that hangs waits for it.
    let hasty = json!({"call_timeout_ms": 600});
    let more = if behaviour.get("hang_rate").is_some() {
        hasty
    } else {
        json!({})
    };
    let first = bench.connector_with(&bench.subject.credentials, &more);
    bench.warm(first.as_ref()).await;
    let payee = bench.payee(Row::Valid);
    let rupees = bench.rupees().await;
    let mut attempt = bench.attempt(first.as_ref(), &payee);
    bench.behave(behaviour).await;
    attempt.verify(first.as_ref()).await;
    bench.behave(json!({})).await;
    let second = bench.connector();
    attempt
        .go_on_to_the_end(second.as_ref(), FURTHER, PAUSE)
        .await;
    rupees.story(&attempt).await
}

/// The call is made and answered, and whoever made it is no more.
async fn killed(bench: &Bench<'_>) -> Story {
    let first = bench.connector();
    let payee = bench.payee(Row::Valid);
    let rupees = bench.rupees().await;
    let mut forgotten = bench.attempt(first.as_ref(), &payee);
    forgotten.verify(first.as_ref()).await;
    let second = bench.connector();
    let mut attempt = bench.attempt(second.as_ref(), &payee);
    attempt
        .go_on_to_the_end(second.as_ref(), FURTHER, PAUSE)
        .await;
    rupees.story(&attempt).await
}

async fn at_first(bench: &Bench<'_>, behaviour: Value) -> Story {
    let connector = bench.connector();
    bench.warm(connector.as_ref()).await;
    let payee = bench.payee(Row::Valid);
    let rupees = bench.rupees().await;
    let mut attempt = bench.attempt(connector.as_ref(), &payee);
    bench.behave(behaviour).await;
    attempt.verify(connector.as_ref()).await;
    attempt
        .go_on_to_the_end(connector.as_ref(), FURTHER, PAUSE)
        .await;
    bench.behave(json!({})).await;
    rupees.story(&attempt).await
}

/// The answer is lost, and what should find out about it is refused at first: as one too many, or by credentials that
/// were changed meanwhile.
async fn recovery_refused(bench: &Bench<'_>, row: Row) -> Story {
    let connector = bench.connector();
    bench.warm(connector.as_ref()).await;
    let payee = bench.payee(Row::Valid);
    let rupees = bench.rupees().await;
    let mut attempt = bench.attempt(connector.as_ref(), &payee);
    bench.behave(json!({"reset_rate": 1.0})).await;
    attempt.verify(connector.as_ref()).await;
    if row == Row::TooManyRecoveries {
        bench.behave(too_many()).await;
        attempt.go_on(connector.as_ref()).await;
        bench.behave(json!({})).await;
    } else {
        bench.behave(json!({})).await;
        let stranger = bench.stranger();
        attempt.go_on(stranger.as_ref()).await;
    }
    attempt
        .go_on_to_the_end(connector.as_ref(), FURTHER, PAUSE)
        .await;
    rupees.story(&attempt).await
}

async fn look_turned_away(bench: &Bench<'_>) -> Result<Story, String> {
    let connector = bench.connector();
    let payee = bench.payee(Row::TooManyLooks);
    let rupees = bench.rupees().await;
    let mut attempt = bench.attempt(connector.as_ref(), &payee);
    attempt.verify(connector.as_ref()).await;
    bench.behave(too_many()).await;
    attempt.go_on(connector.as_ref()).await;
    // One that has no token yet is turned away where it asks for it, and has nothing else to say.
    let other = bench.connector();
    let told = other
        .lookup(&attempt.call(), attempt.gateway_reference())
        .await;
    bench.behave(json!({})).await;
    let retry_after = Some(STAY_AWAY);
    if told != Err(CallFailure::Rejected { retry_after }) {
        return Err(format!("before it has a token: {told:?}"));
    }
    Ok(rupees.story(&attempt).await)
}

async fn stranger(bench: &Bench<'_>) -> Story {
    let stranger: Box<dyn Connector> = bench.stranger();
    let payee = bench.payee(Row::Valid);
    let rupees = bench.rupees().await;
    let mut attempt = bench.attempt(stranger.as_ref(), &payee);
    attempt.verify(stranger.as_ref()).await;
    rupees.story(&attempt).await
}
