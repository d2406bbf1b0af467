use serde_json::{Value, json};

use super::*;

fn body(error: &ApiError, has_guide: bool) -> Value {
    serde_json::to_value(error.envelope("req_1", has_guide)).unwrap()
}

fn invalid(faults: usize) -> ApiError {
    let mut all = Faults::default();
    for number in 0..faults {
        let name = format!("bank_account_details[{number}].ifsc");
        all.push(name, FaultCode::Required, "is required");
    }
    ApiError::from(all.check().unwrap_err())
}

#[test]
fn the_message_says_the_first_fault_and_how_many_more_there_are() {
    for (faults, more) in [
        (1, "."),
        (2, "; 1 more field error."),
        (3, "; 2 more field errors."),
        (100, "; 99 more field errors."),
        (101, "; more than 99 more field errors."),
        (500, "; more than 99 more field errors."),
    ] {
        let body = body(&invalid(faults), true);
        let expected = format!("bank_account_details[0].ifsc is required{more}");
        assert_eq!(body["error_message"], expected);
        let listed = body["error_info"]["fields"].as_array().unwrap().len();
        assert_eq!(listed, faults.min(100));
    }
}

#[test]
fn a_question_needs_no_full_stop() {
    let mut faults = Faults::default();
    faults.push(
        "typs",
        FaultCode::Unknown,
        "is unknown: did you mean types?",
    );
    let error = ApiError::from(faults.check().unwrap_err());
    let message = body(&error, true)["error_message"].clone();
    assert_eq!(message, "typs is unknown: did you mean types?");
}

#[test]
fn a_field_error_has_a_code_and_the_error_a_section_of_the_guide() {
    let served = body(&invalid(1), true);
    let field = json!({"field_name": "bank_account_details[0].ifsc", "code": "required", "reason": "is required"});
    assert_eq!(served["error_info"]["fields"], json!([field]));
    assert_eq!(
        served["error_info"]["doc_url"],
        "/docs/api#codes-of-field-errors"
    );
    // Where the guide is not served, no error refers to it.
    assert!(body(&invalid(1), false)["error_info"]["doc_url"].is_null());
}

#[test]
fn a_405_names_the_methods_that_the_path_has() {
    let error = ApiError::MethodNotAllowed {
        allowed: "GET, HEAD, POST",
    };
    let message = body(&error, true)["error_info"]["developer_message"].clone();
    let message = message.as_str().unwrap();
    assert!(message.starts_with("This endpoint supports GET, HEAD, POST. "));
}
