//! Scenarios in which the gateway works, and only the account is special.

use serde_json::json;

use crate::conformance::fixture::{Fixture, PAUSE};
use crate::conformance::scenario::Scenario;
use crate::conformance::story::Story;

/// Runs a scenario that the account alone selects.
pub(crate) async fn story(fixture: &Fixture<'_>, scenario: Scenario) -> Story {
    if scenario == Scenario::UnknownCode {
        fixture.behave(json!({"unknown_code": true})).await;
    }
    let connector = fixture.connector();
    let payee = fixture.payee(scenario);
    let rupees = fixture.rupees().await;
    let mut attempt = fixture.attempt(connector.as_ref(), &payee);
    attempt.strict = scenario == Scenario::OtherName;
    if scenario == Scenario::InvalidRetried {
        attempt.set_number(2);
    }
    attempt.verify(connector.as_ref()).await;
    attempt.go_on_to_the_end(connector.as_ref(), 1, PAUSE).await;
    let story = rupees.story(&attempt).await;
    if scenario == Scenario::UnknownCode {
        fixture.behave(json!({})).await;
    }
    story
}
