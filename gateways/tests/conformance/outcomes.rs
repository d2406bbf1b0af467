//! What gateways say of accounts: in a good answer, at once or later.

use serde_json::json;

use crate::bench::{Bench, PAUSE};
use crate::row::Row;
use crate::story::Story;

/// One row that the account alone asks for.
pub(crate) async fn story(bench: &Bench<'_>, row: Row) -> Story {
    if row == Row::UnknownCode {
        bench.behave(json!({"unknown_code": true})).await;
    }
    let connector = bench.connector();
    let payee = bench.payee(row);
    let rupees = bench.rupees().await;
    let mut attempt = bench.attempt(connector.as_ref(), &payee);
    attempt.strict = row == Row::OtherName;
    if row == Row::InvalidAgain {
        attempt.set_number(2);
    }
    attempt.verify(connector.as_ref()).await;
    attempt.go_on_to_the_end(connector.as_ref(), 1, PAUSE).await;
    let story = rupees.story(&attempt).await;
    if row == Row::UnknownCode {
        bench.behave(json!({})).await;
    }
    story
}
