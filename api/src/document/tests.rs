mod replies;

use chrono::Utc;
use khata_domain::text::trim;
use proptest::prelude::*;
use proptest::test_runner::{Config as TestConfig, TestRunner};
use regex::Regex;
use serde_json::{Value, json};

use super::*;
use crate::accounts::request::{CreateRequest, ValidateRequest};
use crate::decode::decode;
use crate::schema::{
    BANK_ACCOUNT_FIELDS, BANK_FIELDS, CONTACT_FIELDS, CREATE_FIELDS, CUSTOMER_FIELDS,
    DELETE_FIELDS, ENDPOINT_FIELDS, Field, IGNORED_PARAMETERS, REPLAY_FIELDS, ROTATE_FIELDS,
    UPI_FIELDS, VALIDATE_FIELDS, query_parameters,
};

#[test]
fn the_committed_document_is_current() {
    let committed = include_str!("../../../docs/openapi.json");
    assert!(
        committed == print().unwrap(),
        "run: cargo run -p khata-api -- openapi > docs/openapi.json"
    );
}

fn document() -> Value {
    serde_json::from_str(&print().unwrap()).unwrap()
}

/// Names of the properties of these schemas together, `consent` with the names of its members.
fn published(document: &Value, schemas: &[&str]) -> Vec<String> {
    let properties = |schema: &str| {
        let schema = &document["components"]["schemas"][schema];
        schema["properties"].as_object().unwrap().clone()
    };
    let mut names = Vec::new();
    for (name, _) in schemas.iter().flat_map(|schema| properties(schema)) {
        if name == "consent" {
            let members = properties("ConsentBody").into_iter();
            names.extend(members.map(|(member, _)| format!("consent.{member}")));
        } else {
            names.push(name);
        }
    }
    names.sort_unstable();
    names.dedup();
    names
}

#[test]
fn a_call_knows_the_fields_that_the_document_publishes() {
    let document = document();
    let known = |fields: &[&Field], open: bool| {
        let names = fields.iter().map(|field| field.name.to_owned());
        // A form has a field for each member of metadata, which no property names.
        let mut names: Vec<String> = names.filter(|name| !open || name != "metadata").collect();
        names.sort_unstable();
        names
    };
    for (schemas, fields, open) in [
        (&["CreateAccountsForm"][..], &CREATE_FIELDS[..], true),
        (
            &["OneBankAccount", "OneUpiAddress", "ManyAccounts"],
            &CREATE_FIELDS,
            false,
        ),
        (&["BankItem"], &BANK_FIELDS, false),
        (&["UpiItem"], &UPI_FIELDS, false),
        (&["BankAccountForm"], &BANK_ACCOUNT_FIELDS, true),
        (&["OneBankAccount"], &BANK_ACCOUNT_FIELDS, false),
        (&["ValidateForm"], &VALIDATE_FIELDS, false),
        (&["ValidateJson"], &VALIDATE_FIELDS, false),
        (&["DeleteBody"], &DELETE_FIELDS, false),
        (&["CreateCustomer"], &CUSTOMER_FIELDS, false),
        (&["Contact"], &CONTACT_FIELDS, false),
        (&["CreateEndpointForm"], &ENDPOINT_FIELDS, false),
        (&["CreateEndpointJson"], &ENDPOINT_FIELDS, false),
        (&["ChangeEndpointForm"], &ENDPOINT_FIELDS, false),
        (&["ChangeEndpointJson"], &ENDPOINT_FIELDS, false),
        (&["RotateSecretBody"], &ROTATE_FIELDS, false),
        (&["ReplayBody"], &REPLAY_FIELDS, false),
    ] {
        assert_eq!(
            published(&document, schemas),
            known(fields, open),
            "{schemas:?}"
        );
        for schema in schemas {
            let is_closed =
                document["components"]["schemas"][schema]["additionalProperties"] == false;
            assert_eq!(is_closed, !open, "{schema}");
        }
    }
}

#[test]
fn a_call_knows_the_query_parameters_that_the_document_publishes() {
    for (path, item) in document()["paths"].as_object().unwrap() {
        let parameters = item["get"]["parameters"].as_array();
        let published: Vec<&str> = parameters
            .into_iter()
            .flatten()
            .filter(|parameter| parameter["in"] == "query")
            .map(|parameter| parameter["name"].as_str().unwrap())
            .collect();
        let known = query_parameters(&actix_web::http::Method::GET, path);
        let is_published = |name: &&str| !IGNORED_PARAMETERS.contains(name);
        let known: Vec<&str> = known.iter().copied().filter(is_published).collect();
        assert_eq!(published, known, "{path}");
        assert!(query_parameters(&actix_web::http::Method::POST, path).is_empty());
    }
}

#[test]
fn every_reference_of_the_document_leads_to_a_component() {
    let document = document();
    let text = document.to_string();
    let references = text.split(r##""$ref":"#"##).skip(1);
    let references: Vec<&str> = references
        .filter_map(|rest| rest.split('"').next())
        .collect();
    assert!(references.len() > 100, "{}", references.len());
    for reference in references {
        assert!(document.pointer(reference).is_some(), "{reference}");
    }
}

#[test]
fn the_document_describes_the_webhook_of_an_event() {
    let document = document();
    let post = &document["webhooks"]["event"]["post"];
    let body = &post["requestBody"]["content"]["application/json"]["schema"];
    assert_eq!(body["$ref"], "#/components/schemas/Event");
    let headers = post["parameters"].as_array().unwrap().iter();
    let headers: Vec<&Value> = headers.map(|header| &header["name"]).collect();
    assert_eq!(
        headers,
        [
            "webhook-id",
            "webhook-timestamp",
            "webhook-signature",
            "khata-attempt"
        ]
    );
    let objects = &document["components"]["schemas"]["EventContent"]["oneOf"];
    let objects: Vec<&Value> = objects
        .as_array()
        .unwrap()
        .iter()
        .map(|one| &one["required"][0])
        .collect();
    assert_eq!(objects, ["customer_account", "webhook_endpoint"]);
}

#[test]
fn the_path_of_a_branch_has_the_rule_of_an_ifsc() {
    let document = document();
    let parameter = &document["paths"]["/banks/ifsc/{ifsc}"]["get"]["parameters"][0];
    assert_eq!(parameter["schema"]["pattern"], khata_domain::Ifsc::PATTERN);
}

/// A published text field: its rule, and the call that has it.
struct Published {
    schema: &'static str,
    name: String,
    pattern: Regex,
    most: Option<u64>,
}

/// Every text field with a pattern.
fn text_fields(document: &Value) -> Vec<Published> {
    let schemas = [
        "OneBankAccount",
        "OneUpiAddress",
        "BankItem",
        "UpiItem",
        "ConsentBody",
        "ValidateJson",
        "CreateCustomer",
        "Contact",
    ];
    let mut fields = Vec::new();
    for schema in schemas {
        let properties = &document["components"]["schemas"][schema]["properties"];
        for (name, property) in properties.as_object().unwrap() {
            if let Some(pattern) = property["pattern"].as_str() {
                fields.push(Published {
                    schema,
                    name: name.clone(),
                    pattern: Regex::new(pattern).unwrap(),
                    most: property["maxLength"].as_u64(),
                });
            }
        }
    }
    fields
}

/// Whether the field's value is accepted by the decoder and the reader of the call that has the field.
fn is_accepted(field: &Published, text: &str) -> Result<(), String> {
    let mut bank = json!({"ifsc": "AABF0008032", "account_number": "026291800001191"});
    let upi = json!({"vpa": "asha@upi"});
    let consent = json!({"obtained": true, "purpose": "p", "timestamp": "2025-10-27T09:24:36Z"});
    let with = |mut object: Value| {
        object[&field.name] = json!(text);
        if field.name == "gateway_reference_id" {
            object["gateway_id"] = json!(70);
        }
        object
    };
    let body = match field.schema {
        "OneBankAccount" => with(bank),
        "OneUpiAddress" => with(upi),
        "BankItem" => json!({ "bank_account_details": [with(bank)] }),
        "UpiItem" => json!({ "upi_details": [with(upi)] }),
        "ConsentBody" => {
            bank["consent"] = with(consent);
            bank
        }
        "CreateCustomer" if field.name != "object_reference_id" => {
            with(json!({"object_reference_id": "customer_1122"}))
        }
        _ => with(json!({})),
    };
    let object = decode(Some("application/json"), body.to_string().as_bytes());
    let object = object.map_err(|error| format!("{error:?}"))?;
    let fault = |error: crate::error::ApiError| format!("{error:?}");
    match field.schema {
        "ValidateJson" => ValidateRequest::read(&object, Utc::now())
            .map(|_| ())
            .map_err(fault),
        "CreateCustomer" => customers::read_new(&object).map(|_| ()).map_err(fault),
        "Contact" => customers::read_changes(&object).map(|_| ()).map_err(fault),
        _ => CreateRequest::read(&object, Utc::now(), false)
            .map(|_| ())
            .map_err(fault),
    }
}

/// Texts near the rules of all fields, with and without blanks around them.
fn texts() -> impl Strategy<Value = String> {
    const INNER: [&str; 11] = [
        "[A-Za-z]{4}0[A-Za-z0-9]{6}",
        "[A-Z0O]{11}",
        "[A-Za-z0-9]{4,36}",
        "[0-9]{0,18}",
        "(JP_)?[A-Z0-9_]{0,33}",
        "[a-z0-9._-]{1,4}@[A-Za-z0-9][a-z0-9.-]{0,4}",
        "[a-zé ]{1,3}@{1,2}[a-zé.]{1,4}",
        "[!-~]{0,129}",
        "[a é\u{93e}\u{200d}\u{200b}\u{0}\u{7f}🙂]{0,8}",
        "[a-z ]{60,66}|[a-z ]{118,122}|[a-z ]{248,252}",
        ".{0,20}",
    ];
    let blanks = "[ \t\u{a0}\u{200b}\u{feff}]{0,2}";
    let inner = proptest::sample::select(&INNER[..]).prop_flat_map(|pattern| {
        proptest::string::string_regex(pattern).expect("the patterns are constants of this file")
    });
    (blanks, inner, blanks).prop_map(|(before, inner, after)| format!("{before}{inner}{after}"))
}

/// The text without the invisible characters around it, which the API removes and no pattern names; `None` if a text has
/// nothing else.
fn without_invisible_ends(text: &str) -> Option<String> {
    let bare = trim(text);
    if bare.is_empty() {
        return text.is_empty().then(String::new);
    }
    let (before, after) = text.split_once(bare)?;
    let blanks = |ends: &str| {
        ends.chars()
            .filter(|c| c.is_whitespace())
            .collect::<String>()
    };
    Some(format!("{}{bare}{}", blanks(before), blanks(after)))
}

/// Reasons of faults that no schema can say, because they are about the meaning of a value.
const MEANINGS: [&str; 6] = [
    "masked",
    "e-mail address by the domain",
    "placeholder",
    "question marks",
    "invisible",
    "form of a Khata customer id",
];

#[test]
fn the_published_schemas_accept_what_the_api_accepts() {
    let fields = text_fields(&document());
    assert!(fields.len() >= 18, "{} fields", fields.len());
    let (mut accepted, mut refused) = (vec![0; fields.len()], vec![0; fields.len()]);
    let mut runner = TestRunner::new(TestConfig {
        failure_persistence: None,
        ..TestConfig::with_cases(2_000)
    });
    let counts = std::cell::RefCell::new((&mut accepted, &mut refused));
    let done = runner.run(&texts(), |text| {
        let shown = without_invisible_ends(&text);
        for (place, field) in fields.iter().enumerate() {
            let length = text.chars().count();
            let fits = shown
                .as_ref()
                .is_some_and(|shown| field.pattern.is_match(shown))
                && field.most.is_none_or(|most| length as u64 <= most);
            let outcome = is_accepted(field, &text);
            if outcome
                .as_ref()
                .is_err_and(|fault| MEANINGS.iter().any(|meaning| fault.contains(meaning)))
            {
                continue;
            }
            prop_assert_eq!(
                outcome.is_ok(),
                fits,
                "{}.{} {:?}: {:?}",
                field.schema,
                field.name,
                text,
                outcome
            );
            let (accepted, refused) = &mut *counts.borrow_mut();
            if fits {
                accepted[place] += 1;
            } else {
                refused[place] += 1;
            }
        }
        Ok(())
    });
    if let Err(error) = done {
        panic!("{error}");
    }
    for (place, field) in fields.iter().enumerate() {
        let (accepted, refused) = (accepted[place], refused[place]);
        let name = format!("{}.{}", field.schema, field.name);
        assert!(
            accepted > 0 && refused > 0,
            "{name}: {accepted} accepted, {refused} refused"
        );
    }
}
