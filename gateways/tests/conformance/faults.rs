//! Scenarios in which calls fail: not sent, lost and recovered, rejected.

use khata_domain::CallFailure;
use khata_gateways::{Check, Connector};
use serde_json::{Value, json};

use crate::conformance::fixture::{Fixture, PAUSE};
use crate::conformance::scenario::{RETRY_AFTER, Scenario};
use crate::conformance::story::Story;
use crate::support::CLOSED_PORT;

/// Maximum number of calls after the first one.
const FURTHER: usize = 4;

/// Runs a scenario in which the gateway fails or rejects us.
pub(crate) async fn story(fixture: &Fixture<'_>, scenario: Scenario) -> Result<Story, String> {
    Ok(match scenario {
        Scenario::RefusedConnection => refused_connection(fixture).await,
        Scenario::ErrorBefore => {
            lost(fixture, json!({"error_rate": 1.0, "errors": "before_work"})).await
        }
        Scenario::ErrorAfter => {
            lost(fixture, json!({"error_rate": 1.0, "errors": "after_work"})).await
        }
        Scenario::Reset => lost(fixture, json!({"reset_rate": 1.0})).await,
        Scenario::Hang => lost(fixture, json!({"hang_rate": 1.0})).await,
        Scenario::Malformed => lost(fixture, json!({"malformed_rate": 1.0})).await,
        Scenario::WorkerKilled => killed(fixture).await,
        Scenario::TooMany => at_first(fixture, too_many()).await,
        Scenario::IpRejected => at_first(fixture, json!({"refuse_ip": true})).await,
        Scenario::Balance => at_first(fixture, json!({"insufficient_balance": true})).await,
        Scenario::TooManyRecoveries | Scenario::CredentialsRevoked => {
            recovery_refused(fixture, scenario).await
        }
        Scenario::TooManyPolls => lookup_rejected(fixture).await?,
        Scenario::Credentials => with_wrong_secret(fixture).await,
        _ => return Err("no test runs this scenario".into()),
    })
}

/// Checks that the connector separates good credentials from bad ones.
pub(crate) async fn check(fixture: &Fixture<'_>) -> Result<(), String> {
    let rupees = fixture.rupees().await;
    let known = fixture.connector().check().await;
    let unknown = fixture.with_wrong_secret().check().await;
    match (&known, &unknown, rupees.dropped().await) {
        (Ok(Check::Accepted(_)), Ok(Check::Refused(_)), 0) => Ok(()),
        (_, _, dropped) => Err(format!(
            "good credentials: {known:?}, bad ones: {unknown:?}, {dropped} rupees dropped"
        )),
    }
}

fn too_many() -> Value {
    json!({"reject_rate": 1.0, "retry_after_s": RETRY_AFTER.as_secs()})
}

async fn refused_connection(fixture: &Fixture<'_>) -> Story {
    let connector = fixture.connector_at(CLOSED_PORT, &fixture.profile.credentials, &json!({}));
    let payee = fixture.payee(Scenario::Valid);
    let rupees = fixture.rupees().await;
    let mut attempt = fixture.attempt(connector.as_ref(), &payee);
    attempt.verify(connector.as_ref()).await;
    rupees.story(&attempt).await
}

/// Loses the response to the first call; then the gateway works again, and another worker goes on.
async fn lost(fixture: &Fixture<'_>, behaviour: Value) -> Story {
    // Long enough for a call that gets a reply, also on a busy machine; only a hanging call takes that long.
    let short_timeout = json!({"call_timeout_ms": 4_000});
    let more = if behaviour.get("hang_rate").is_some() {
        short_timeout
    } else {
        json!({})
    };
    let first = fixture.connector_with(&fixture.profile.credentials, &more);
    fixture.warm(first.as_ref()).await;
    let payee = fixture.payee(Scenario::Valid);
    let rupees = fixture.rupees().await;
    let mut attempt = fixture.attempt(first.as_ref(), &payee);
    fixture.behave(behaviour).await;
    attempt.verify(first.as_ref()).await;
    fixture.behave(json!({})).await;
    let second = fixture.connector();
    attempt
        .go_on_to_the_end(second.as_ref(), FURTHER, PAUSE)
        .await;
    rupees.story(&attempt).await
}

/// Makes the call, and drops the worker that made it.
async fn killed(fixture: &Fixture<'_>) -> Story {
    let first = fixture.connector();
    let payee = fixture.payee(Scenario::Valid);
    let rupees = fixture.rupees().await;
    let mut killed_attempt = fixture.attempt(first.as_ref(), &payee);
    killed_attempt.verify(first.as_ref()).await;
    let second = fixture.connector();
    let mut attempt = fixture.attempt(second.as_ref(), &payee);
    attempt
        .go_on_to_the_end(second.as_ref(), FURTHER, PAUSE)
        .await;
    rupees.story(&attempt).await
}

async fn at_first(fixture: &Fixture<'_>, behaviour: Value) -> Story {
    let connector = fixture.connector();
    fixture.warm(connector.as_ref()).await;
    let payee = fixture.payee(Scenario::Valid);
    let rupees = fixture.rupees().await;
    let mut attempt = fixture.attempt(connector.as_ref(), &payee);
    fixture.behave(behaviour).await;
    attempt.verify(connector.as_ref()).await;
    attempt
        .go_on_to_the_end(connector.as_ref(), FURTHER, PAUSE)
        .await;
    fixture.behave(json!({})).await;
    rupees.story(&attempt).await
}

/// The answer is lost, and what should find out about it is refused at first: as one too many, or by credentials that
/// were changed meanwhile.
async fn recovery_refused(fixture: &Fixture<'_>, scenario: Scenario) -> Story {
    let connector = fixture.connector();
    fixture.warm(connector.as_ref()).await;
    let payee = fixture.payee(Scenario::Valid);
    let rupees = fixture.rupees().await;
    let mut attempt = fixture.attempt(connector.as_ref(), &payee);
    fixture.behave(json!({"reset_rate": 1.0})).await;
    attempt.verify(connector.as_ref()).await;
    if scenario == Scenario::TooManyRecoveries {
        fixture.behave(too_many()).await;
        attempt.go_on(connector.as_ref()).await;
        fixture.behave(json!({})).await;
    } else {
        fixture.behave(json!({})).await;
        let with_wrong_secret = fixture.with_wrong_secret();
        attempt.go_on(with_wrong_secret.as_ref()).await;
    }
    attempt
        .go_on_to_the_end(connector.as_ref(), FURTHER, PAUSE)
        .await;
    rupees.story(&attempt).await
}

async fn lookup_rejected(fixture: &Fixture<'_>) -> Result<Story, String> {
    let connector = fixture.connector();
    let payee = fixture.payee(Scenario::TooManyPolls);
    let rupees = fixture.rupees().await;
    let mut attempt = fixture.attempt(connector.as_ref(), &payee);
    attempt.verify(connector.as_ref()).await;
    fixture.behave(too_many()).await;
    attempt.go_on(connector.as_ref()).await;
    // A connector without a token is rejected when it fetches one, with the same result.
    let other = fixture.connector();
    let without_token = other
        .lookup(&attempt.call(), attempt.gateway_reference())
        .await;
    fixture.behave(json!({})).await;
    let retry_after = Some(RETRY_AFTER);
    if without_token != Err(CallFailure::Rejected { retry_after }) {
        return Err(format!("without a token: {without_token:?}"));
    }
    Ok(rupees.story(&attempt).await)
}

async fn with_wrong_secret(fixture: &Fixture<'_>) -> Story {
    let with_wrong_secret: Box<dyn Connector> = fixture.with_wrong_secret();
    let payee = fixture.payee(Scenario::Valid);
    let rupees = fixture.rupees().await;
    let mut attempt = fixture.attempt(with_wrong_secret.as_ref(), &payee);
    attempt.verify(with_wrong_secret.as_ref()).await;
    rupees.story(&attempt).await
}
