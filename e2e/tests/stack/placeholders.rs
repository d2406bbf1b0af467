//! Every field of the OpenAPI document refuses the texts that programs put in place of a value which they do not have.

use anyhow::{Context, Result};
use khata_e2e::TestStack;
use khata_e2e::client::text;
use reqwest::Method;
use serde_json::{Map, Value, json};

use crate::bad_values::stack;
use crate::errors::{assert_faults, assert_invalid};
use crate::requests::bank;

const PLACEHOLDERS: [&str; 18] = [
    "undefined",
    "Undefined",
    "UNDEFINED",
    "null",
    "NULL",
    "None",
    "nil",
    "<nil>",
    "NaN",
    "Array",
    "string",
    "[object Object]",
    "[object object]",
    "System.String[]",
    "{account_number}",
    "${account.number}",
    "%s",
    " undefined ",
];
/// Fields whose value the API ignores, and the word that chooses what a call does, which has an error of its own.
const OTHERS: [&str; 4] = ["id", "options.get_client_auth_token", "command", "metadata"];
/// Fields that one call cannot have beside those of the example.
const ALONE: [&str; 3] = ["vpa", "bank_account_details", "upi_details"];
const FORM: &str = "application/x-www-form-urlencoded";
const ENDPOINT: &str = "/webhook-endpoints/{endpoint_id}";

/// Returns the schema that a form of this operation has.
fn form<'a>(document: &'a Value, operation: &Value) -> Option<&'a Value> {
    let reference = operation["requestBody"]["content"][FORM]["schema"]["$ref"].as_str()?;
    document.pointer(reference.strip_prefix('#')?)
}

/// Returns the code and the reason of the fault of this field.
fn fault<'a>(body: &'a Value, field: &str) -> Option<(&'a str, &'a str)> {
    let faults = body["error_info"]["fields"].as_array()?;
    let fault = faults.iter().find(|fault| fault["field_name"] == field)?;
    Some((text(fault, "/code"), text(fault, "/reason")))
}

/// Returns the path with ids that exist.
async fn existing(stack: &TestStack, path: &str) -> Result<String> {
    let mut path = path
        .replace("{customer_id}", "asha")
        .replace("{account_id}", "banh_01k82u7s7aeqraoh1tia1a3hc8")
        .replace("{event_id}", "evt_01k82u7s7aeqraoh1tia1a3hc8");
    if path.starts_with(ENDPOINT) {
        let url = json!({ "url": "http://127.0.0.1:9999/hooks" });
        let call = stack
            .api
            .call(Method::POST, "/webhook-endpoints")
            .json(&url);
        let endpoint = stack.api.send(call).await?.expect_status(200)?.json();
        path = path.replace("{endpoint_id}", text(&endpoint, "/id"));
    }
    Ok(path)
}

#[tokio::test]
async fn every_field_refuses_placeholders() -> Result<()> {
    let stack = stack().await?;
    let api = &stack.api;
    let document = api.get_path("/openapi.json").await?.json();
    let (mut fields, mut wrong) = (0, Vec::new());
    for (path, item) in document["paths"].as_object().context("no paths")? {
        let Some(schema) = form(&document, &item["post"]) else {
            continue;
        };
        let called = existing(&stack, path).await?;
        let properties = schema["properties"].as_object().context("no properties")?;
        for (field, property) in properties {
            // An update ignores the reference.
            let is_ignored = property.get("type").is_none() && property.get("enum").is_none();
            if OTHERS.contains(&field.as_str()) || is_ignored {
                continue;
            }
            fields += 1;
            for placeholder in PLACEHOLDERS {
                let is_alone = ALONE.contains(&field.as_str());
                let example = schema["example"].as_object().filter(|_| !is_alone);
                let mut body: Map<String, Value> = example.cloned().unwrap_or_default();
                body.insert(field.clone(), placeholder.into());
                let reply = api
                    .send(api.call(Method::POST, &called).form(&body))
                    .await?;
                let reply = reply.json();
                let found = fault(&reply, field);
                // A template in braces may be meant as JSON, in which null is no value, and a password may look like one.
                let is_other = field.ends_with("_details")
                    && (placeholder == "null" || placeholder.contains(['{', '%', '<']))
                    || field == "basic_password" && !placeholder.chars().all(char::is_alphabetic);
                match found {
                    Some(("placeholder", reason)) if reason.contains("placeholder") || is_alone => {
                    }
                    _ if is_other => {}
                    _ => wrong.push(format!("{path}: {field}={placeholder}: {found:?}")),
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(fields > 35, "{fields} fields");
    assert_eq!(stack.database.row_counts()?, [0, 0, 0]);
    Ok(())
}

#[tokio::test]
async fn parameters_items_and_headers_refuse_placeholders() -> Result<()> {
    let stack = stack().await?;
    let api = &stack.api;
    for (path, field) in [
        (
            "/customers/asha/customer-accounts/list?count=undefined",
            "count",
        ),
        (
            "/customers/asha/customer-accounts/list?offset=NaN",
            "offset",
        ),
        ("/events?after=null", "after"),
        ("/events?types=CUSTOMER_ACCOUNT_ACTIVE,undefined", "types"),
        ("/events?limit=undefined", "limit"),
        ("/events/undefined", "event_id"),
        ("/events/%7Bevent_id%7D/deliveries", "event_id"),
        ("/webhook-endpoints/null", "endpoint_id"),
        ("/banks/ifsc/undefined", "ifsc"),
        ("/customers/asha/customer-accounts/undefined", "account_id"),
    ] {
        let reply = api.send(api.call(Method::GET, path)).await?;
        assert_faults(path, &reply, &[field]);
        let (code, reason) = fault(&reply.json(), field)
            .map(|(code, reason)| (code.to_owned(), reason.to_owned()))
            .context("no fault")?;
        assert_eq!(code, "placeholder", "{path}: {reason}");
    }
    for (body, field) in [
        (
            json!({"bank_account_details": [{"ifsc": "AABF0008032", "account_number": "undefined"}]}),
            "bank_account_details[0].account_number",
        ),
        (
            json!({"upi_details": [{"vpa": "undefined@upi"}]}),
            "upi_details[0].vpa",
        ),
        (json!({"vpa": "asha@undefined"}), "vpa"),
        (
            json!({"ifsc": "AABF0008032", "account_number": "accountNumber"}),
            "account_number",
        ),
        (
            json!({"vpa": "asha@upi", "consent": {"obtained": "undefined", "purpose": "Purpose", "timestamp": "2025-10-27T09:24:36Z"}}),
            "consent.obtained",
        ),
        (
            json!({"vpa": "asha@upi", "metadata": {"order": "undefined"}}),
            "metadata.order",
        ),
        (
            json!({"vpa": "asha@upi", "webhook_url": "https://hooks.example.com/orders/undefined"}),
            "webhook_url",
        ),
    ] {
        let reply = api.create_json("asha", &body).await?;
        assert_faults(field, &reply, &[field]);
        assert_eq!(
            fault(&reply.json(), field).map(|(code, _)| code == "placeholder"),
            Some(true),
            "{}",
            reply.text
        );
    }
    // Programs without a key of their own would get each other's replies.
    let good = bank("026291800001191", "AABF0008032");
    let call = api
        .creation("asha")
        .form(&good)
        .header("idempotency-key", "undefined");
    let reply = api.send(call).await?;
    assert_invalid("Idempotency-Key", &reply);
    assert_eq!(stack.database.row_counts()?, [0, 0, 0]);
    // People's names, and data of the merchant's own.
    let form = [
        &good[..],
        &[("beneficiary_name", "Null"), ("metadata.card", "None")],
    ]
    .concat();
    api.create("asha", &form).await?.account()?;
    Ok(())
}
