//! No merchant can see another's data: every operation of the OpenAPI document is called with another merchant's ids, and
//! without a key.

use anyhow::{Context, Result};
use khata_e2e::client::text;
use khata_e2e::{Setup, TestStack};
use reqwest::Method;
use serde_json::Value;

use crate::events::events;
use crate::requests::bank;

/// Returns every row except the counts of encryptions, which the API stores in the background.
fn records(stack: &TestStack) -> Result<Vec<String>> {
    let mut rows = stack.database.dump()?;
    rows.retain(|row| !row.starts_with("encryption_counts"));
    Ok(rows)
}

#[tokio::test]
async fn every_operation_answers_404_to_another_merchants_ids() -> Result<()> {
    let stack = TestStack::start(Setup {
        workers: 0,
        ..Setup::default()
    })
    .await?;
    let account = stack
        .api
        .create("mine", &bank("026291800001191", "AABF0008032"))
        .await?;
    let account = account.account()?;
    let (id, customer) = (text(&account, "/id"), text(&account, "/customer_id"));
    let stranger = stack.api.with_key(&stack.issue_key("stranger")?);
    // The other merchant has a customer of the same reference, with an account of the same details.
    let theirs = stranger
        .create("mine", &bank("026291800001191", "AABF0008032"))
        .await?;
    assert_ne!(text(&theirs.account()?, "/id"), id);
    let endpoint = stack
        .api
        .call(Method::POST, "/webhook-endpoints")
        .form(&[("url", "https://hooks.example.com/1191")]);
    let endpoint = stack.api.send(endpoint).await?.expect_status(200)?.json();
    let event = text(&events(&stack.api, 1).await?[0], "/id").to_owned();
    let before = records(&stack)?;

    let document = stack
        .api
        .get_path("/openapi.json")
        .await?
        .expect_status(200)?
        .json();
    let mut asked = 0;
    for (path, item) in document["paths"].as_object().context("no paths")? {
        if !["{customer_id}", "{event_id}", "{endpoint_id}"]
            .iter()
            .any(|id| path.contains(id))
        {
            continue;
        }
        for (method, operation) in item.as_object().context("no operations")? {
            let method: Method = method.to_uppercase().parse()?;
            for name in [customer, "mine"] {
                // A path with only a reference that both merchants use names the other merchant's own customer.
                if name == "mine" && !path.contains("{account_id}") {
                    continue;
                }
                let path = path
                    .replace("{customer_id}", name)
                    .replace("{account_id}", id)
                    .replace("{event_id}", &event)
                    .replace("{endpoint_id}", text(&endpoint, "/id"));
                // A random request id in the reply could hold the digits that the reply must not hold.
                let mut call = stranger
                    .call(method.clone(), &path)
                    .header("x-request-id", "stranger");
                if method == Method::POST {
                    call = call.form(&body_of(&document, operation));
                }
                let reply = stranger.send(call).await?;
                assert_eq!(reply.status, 404, "{method} {path}: {}", reply.text);
                assert!(!reply.text.contains("1191"), "{}", reply.text);
                asked += 1;
            }
        }
    }
    assert!(
        asked >= 28,
        "{asked} operations asked: is the document whole?"
    );
    assert_eq!(records(&stack)?, before, "nothing was changed");
    Ok(())
}

#[tokio::test]
async fn every_operation_needs_a_key() -> Result<()> {
    let stack = TestStack::start(Setup {
        workers: 0,
        ..Setup::default()
    })
    .await?;
    let api = &stack.api;
    let document = api
        .get_path("/openapi.json")
        .await?
        .expect_status(200)?
        .json();
    let mut asked = 0;
    for (path, item) in document["paths"].as_object().context("no paths")? {
        let prefixes = ["/health/", "/version", "/.well-known/"];
        if prefixes.iter().any(|prefix| path.starts_with(prefix)) {
            continue;
        }
        for method in item.as_object().context("no operations")?.keys() {
            let method: Method = method.to_uppercase().parse()?;
            let path = path
                .replace("{customer_id}", "a")
                .replace("{account_id}", "banh_x")
                .replace("{event_id}", "evt_x")
                .replace("{endpoint_id}", "whe_x");
            let reply = api.send(api.bare(method.clone(), &path)).await?;
            assert_eq!(reply.status, 401, "{method} {path}: {}", reply.text);
            assert_eq!(reply.json()["error_info"]["code"], "UNAUTHORIZED");
            asked += 1;
        }
    }
    assert!(
        asked >= 27,
        "{asked} operations asked: is the document whole?"
    );
    Ok(())
}

/// Returns the example of the operation's form, or its required fields.
fn body_of(document: &Value, operation: &Value) -> Vec<(String, String)> {
    let form = "/requestBody/content/application~1x-www-form-urlencoded/schema/$ref";
    let name = text(operation, form).rsplit('/').next().unwrap_or_default();
    let schema = &document["components"]["schemas"][name];
    if name == "DeleteBody" {
        return vec![("command".into(), "delete".into())];
    }
    schema["example"]
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, value)| (name.clone(), value.as_str().unwrap_or_default().to_owned()))
        .collect()
}
