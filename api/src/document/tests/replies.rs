//! Tests of the replies in the document: errors with examples, named variants, keys; and of the guide that errors refer to.

use super::*;
use crate::error::{ErrorCode, FaultCode};

#[test]
fn the_call_that_was_probably_meant_is_found() {
    let calls = likely_call::calls(&Document::openapi());
    for (method, path, expected) in [
        ("POST", "/customers/", Some("POST /customers")),
        ("POST", "/v1/customers", Some("POST /customers")),
        (
            "POST",
            "/customer/c1/accounts",
            Some("POST /customers/{customer_id}/accounts"),
        ),
        (
            "POST",
            "/customers/c1/account",
            Some("POST /customers/{customer_id}/accounts"),
        ),
        (
            "GET",
            "/customers/c1/customer-accounts",
            Some("GET /customers/{customer_id}/customer-accounts/list"),
        ),
        (
            "GET",
            "/customers/c1/customer_accounts/banh_1",
            Some("GET or POST /customers/{customer_id}/customer-accounts/{account_id}"),
        ),
        (
            "POST",
            "/customers/c1/customer-accounts/banh_1/revalidate",
            Some("POST /customers/{customer_id}/customer-accounts/{account_id}/validate"),
        ),
        (
            "POST",
            "/webhooks-endpoints",
            Some("GET or POST /webhook-endpoints"),
        ),
        (
            "GET",
            "/bank/ifsc/HDFC0000001",
            Some("GET /banks/ifsc/{ifsc}"),
        ),
        ("GET", "/health", Some("GET /health/live")),
        ("GET", "/", None),
        ("GET", "/wp-login.php", None),
        ("POST", "/payouts/x/y/z", None),
    ] {
        let found = likely_call::nearest(&calls, method, path);
        assert_eq!(found.as_deref(), expected, "{method} {path}");
    }
}

#[test]
fn every_variant_and_every_word_of_the_document_is_named() {
    let document = document();
    let schemas = document["components"]["schemas"].as_object().unwrap();
    let mut variants = 0;
    for (name, schema) in schemas {
        let properties = schema["properties"].as_object().into_iter().flatten();
        let of_properties = properties.map(|(_, property)| property);
        for part in std::iter::once(schema).chain(of_properties) {
            for variant in ["oneOf", "anyOf"]
                .iter()
                .filter_map(|of| part[*of].as_array())
            {
                for variant in variant {
                    let is_named = variant["$ref"].is_string() || variant["type"] == "null";
                    assert!(is_named, "{name}: {variant}");
                    variants += 1;
                }
            }
        }
    }
    assert!(variants > 20, "{variants} variants");
    let code = &document["components"]["schemas"]["ErrorInfo"]["properties"]["code"];
    assert_eq!(code["$ref"], "#/components/schemas/ErrorCodeWord");
}

#[test]
fn every_error_has_an_example_of_its_status() {
    let document = document();
    let mut examples = 0;
    for (name, response) in document["components"]["responses"].as_object().unwrap() {
        let example = &response["content"]["application/json"]["example"];
        let info = &example["error_info"];
        let code = info["code"].as_str().unwrap_or_default();
        let status = &name[name.len() - 3..];
        let expected = match status {
            "400" => "INVALID_INPUT",
            "401" => "UNAUTHORIZED",
            "403" => "INSUFFICIENT_SCOPE",
            "404" => "RESOURCE_NOT_FOUND",
            "408" => "REQUEST_TIMEOUT",
            "409" => "DUPLICATE_REQUEST",
            "413" => "PAYLOAD_TOO_LARGE",
            "415" => "UNSUPPORTED_MEDIA_TYPE",
            "422" => "IDEMPOTENCY_KEY_REUSED",
            "429" if name.starts_with("Account") => "TOO_MANY_VALIDATIONS",
            "429" => "TOO_MANY_REQUESTS",
            _ => "SERVER_ERROR",
        };
        assert_eq!(code, expected, "{name}: {example}");
        examples += 1;
    }
    assert!(examples > 18, "{examples} examples");
}

#[test]
fn calls_without_a_key_and_deprecated_calls_are_marked() {
    for (path, item) in document()["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let is_public = ["/health", "/version", "/.well-known"]
                .iter()
                .any(|start| path.starts_with(start));
            let keys = operation["security"].as_array().unwrap();
            assert_eq!(keys.is_empty(), is_public, "{method} {path}");
            let is_legacy = path.contains("/bank-accounts");
            assert_eq!(
                operation["deprecated"] == true,
                is_legacy,
                "{method} {path}"
            );
        }
    }
}

#[test]
fn every_error_refers_to_a_section_of_the_guide() {
    let sections = &*guide::SECTIONS;
    for code in ErrorCode::ALL {
        let section = crate::error::section(*code);
        assert!(
            sections.iter().any(|one| one == section),
            "{code}: {section}"
        );
    }
}

/// Checks that the example is a value of the schema: members, types, patterns and words.
fn assert_fits(document: &Value, schema: &Value, example: &Value, place: &str) {
    if let Some(reference) = schema["$ref"].as_str() {
        let name = reference.rsplit('/').next().unwrap();
        return assert_fits(
            document,
            &document["components"]["schemas"][name],
            example,
            place,
        );
    }
    for choices in ["oneOf", "anyOf"] {
        if let Some(choices) = schema[choices].as_array() {
            let is_null = |one: &&Value| (one["type"] == "null") == example.is_null();
            let named = |one: &&Value| {
                let required = one["required"].as_array();
                required
                    .into_iter()
                    .flatten()
                    .all(|name| example.get(name.as_str().unwrap()).is_some())
            };
            let fitting = choices.iter().filter(is_null).find(named);
            return assert_fits(document, fitting.unwrap(), example, place);
        }
    }
    if let Some(words) = schema["enum"].as_array() {
        assert!(words.contains(example), "{place}: {example}");
    }
    if let (Some(pattern), Some(text)) = (schema["pattern"].as_str(), example.as_str()) {
        assert!(
            Regex::new(pattern).unwrap().is_match(text),
            "{place}: {text}"
        );
    }
    let Some(properties) = schema["properties"].as_object() else {
        return;
    };
    for name in schema["required"].as_array().into_iter().flatten() {
        assert!(
            example.get(name.as_str().unwrap()).is_some(),
            "{place}: no {name}"
        );
    }
    for (name, value) in example.as_object().unwrap() {
        let schema = properties
            .get(name)
            .unwrap_or_else(|| panic!("{place}: {name}"));
        assert_fits(document, schema, value, &format!("{place}.{name}"));
    }
}

#[test]
fn the_example_of_an_account_is_whole_and_that_of_the_guide() {
    let guide = include_str!("../../../../docs/api.md");
    let (_, guide) = guide.split_once("## The account\n\n```json\n").unwrap();
    let guide: Value = serde_json::from_str(guide.split("```").next().unwrap()).unwrap();
    let document = document();
    let schemas = &document["components"]["schemas"];
    assert_eq!(schemas["CustomerAccount"]["example"], guide);
    assert_eq!(schemas["Validation"]["example"], guide["validation"]);
    for name in ["CustomerAccount", "Validation"] {
        let example = &schemas[name]["example"];
        let members = schemas[name]["properties"].as_object().unwrap();
        assert_eq!(example.as_object().unwrap().len(), members.len(), "{name}");
        assert_fits(&document, &schemas[name], example, name);
    }
}

/// A form on the page shows the examples together: they make one call that is accepted.
#[test]
fn the_fields_of_a_form_have_the_examples_of_the_whole_form() {
    let document = document();
    for (name, schema) in document["components"]["schemas"].as_object().unwrap() {
        if !name.ends_with("Form") {
            continue;
        }
        for (field, property) in schema["properties"].as_object().unwrap() {
            let whole = schema["example"].get(field);
            assert_eq!(property.get("example"), whole, "{name}.{field}");
        }
        for required in schema["required"].as_array().into_iter().flatten() {
            assert!(
                schema["example"].get(required.as_str().unwrap()).is_some(),
                "{name}"
            );
        }
    }
}

#[test]
fn the_guide_has_every_code_of_errors_and_of_fields() {
    let guide = include_str!("../../../../docs/api.md");
    for code in ErrorCode::ALL {
        assert!(guide.contains(&format!("| `{code}` |")), "{code}");
    }
    for code in FaultCode::ALL {
        assert!(guide.contains(&format!("\n| `{code}` | ")), "{code}");
    }
}
