use super::metadata::MAX_METADATA_OF_CALL;
use super::*;
use crate::decode::decode;
use crate::error::{FaultCode, FieldFault};
use crate::schema::{MAX_METADATA_BYTES, MAX_METADATA_KEY, MAX_METADATA_VALUE};

fn read(body: &str) -> Result<CreateRequest, ApiError> {
    let content_type = if body.starts_with('{') {
        "application/json"
    } else {
        "application/x-www-form-urlencoded"
    };
    let body = decode(Some(content_type), body.as_bytes())?;
    CreateRequest::read(&body, Utc::now(), false)
}

fn faults(body: &str) -> Vec<String> {
    match read(body) {
        Err(ApiError::Invalid(faults)) => faults
            .into_iter()
            .map(|fault: FieldFault| fault.field_name)
            .collect(),
        other => panic!("{body}: {other:?}"),
    }
}

#[test]
fn each_fault_has_its_code() {
    let long = format!("{BANK_FORM}&metadata.a={}", "x".repeat(501));
    let name = format!(
        "ifsc=AABF0008032&account_number=026291800001191&beneficiary_name={}",
        "x".repeat(121)
    );
    for (body, code) in [
        ("ifsc=AABF0008032", FaultCode::Required),
        ("command=create", FaultCode::Required),
        ("vpa=asha@upi&nmae=x", FaultCode::Unknown),
        ("vpa=asha@upi&vpa=asha@upi", FaultCode::Duplicate),
        (
            r#"{"vpa":"asha@upi","vpa":"asha@upi"}"#,
            FaultCode::Duplicate,
        ),
        (
            r#"upi_details=[{"vpa":"asha@upi"},{"vpa":"ASHA@upi"}]"#,
            FaultCode::Duplicate,
        ),
        (
            r#"{"ifsc":"AABF0008032","account_number":26291800001191}"#,
            FaultCode::Type,
        ),
        (r#"{"upi_details":"asha@upi"}"#, FaultCode::Type),
        ("vpa=asha", FaultCode::Format),
        ("vpa=asha@upi&fresh=yes", FaultCode::Format),
        ("vpa=asha@upi&gateway_id=DUMMY", FaultCode::Format),
        (&name, FaultCode::TooLong),
        (&long, FaultCode::TooLong),
        ("vpa=asha@upi&gateway_id=0", FaultCode::OutOfRange),
        (
            "vpa=asha@upi&consent.obtained=true&consent.purpose=p&consent.timestamp=2100-01-01T00:00:00Z",
            FaultCode::OutOfRange,
        ),
        (
            "ifsc=AABF0008032&account_number=026291800001191&beneficiary_name=undefined",
            FaultCode::Placeholder,
        ),
        ("vpa=asha@upi&wait_seconds=5", FaultCode::Conflict),
        (
            "vpa=asha@upi&gateway_reference_id=main",
            FaultCode::Conflict,
        ),
        ("upi_details=[{", FaultCode::Encoding),
        (
            "upi_details[][vpa]=asha@upi&upi_details[0][vpa]=b1@upi",
            FaultCode::Encoding,
        ),
        ("vpa=%ff", FaultCode::Encoding),
        ("{", FaultCode::Encoding),
    ] {
        match read(body) {
            Err(ApiError::Invalid(faults)) => {
                assert_eq!(faults[0].code, code, "{body}: {faults:?}");
            }
            other => panic!("{body}: {other:?}"),
        }
    }
}

const BANK_FORM: &str =
    "ifsc=AABF0008032&account_number=026291800001191&beneficiary_name=test&bank_code=12";

#[test]
fn forms_and_json_are_read_alike() {
    let form = read(BANK_FORM).unwrap();
    let json = read(r#"{"ifsc":"AABF0008032","account_number":"026291800001191","beneficiary_name":"test","bank_code":"12"}"#).unwrap();
    assert_eq!(form, json);
    assert!(form.flat && form.accounts.len() == 1);
    let form = read("bank_account_details[0][ifsc]=AABF0008032&bank_account_details[0][account_number]=026291800001191&upi_details=[{\"vpa\":\"9164326296@upi\"}]").unwrap();
    let json = read(r#"{"bank_account_details":[{"ifsc":"AABF0008032","account_number":"026291800001191"}],"upi_details":[{"vpa":"9164326296@upi"}]}"#).unwrap();
    assert_eq!(form, json);
    assert!(!form.flat && form.accounts.len() == 2);
}

#[test]
fn every_form_of_a_create_takes_a_webhook_url() {
    let url = "https://hooks.example/orders/42?token=a";
    let list = r#"[{"vpa":"9164326296@upi"}]"#;
    for body in [
        format!("{BANK_FORM}&webhook_url=https%3A%2F%2FHooks.Example%2Forders%2F42%3Ftoken%3Da"),
        format!("upi_details={list}&webhook_url=+{url}+"),
        format!(r#"{{"vpa":"9164326296@upi","webhook_url":"{url}"}}"#),
        format!(r#"{{"upi_details":{list},"webhook_url":"{url}"}}"#),
    ] {
        let request = read(&body).unwrap();
        assert_eq!(request.webhook_url.unwrap().as_str(), url, "{body}");
    }
    assert_eq!(read(BANK_FORM).unwrap().webhook_url, None);
    let empty = format!("{BANK_FORM}&webhook_url=");
    assert_eq!(read(&empty).unwrap().webhook_url, None);
    for url in [
        "http://hooks.example/",
        "https://localhost/",
        "https://10.0.0.1/",
        "https://hooks.example/%23%20a#b",
        "hooks.example",
    ] {
        let body = format!(r#"{{"vpa":"9164326296@upi","webhook_url":"{url}"}}"#);
        assert_eq!(faults(&body), ["webhook_url"], "{url}");
    }
    let body = r#"{"ifsc":"AABF0008032","account_number":"026291800001191","webhook_url":"https://hooks.example/"}"#;
    let body = decode(Some("application/json"), body.as_bytes()).unwrap();
    let request = CreateRequest::read_bank_account(&body, Utc::now(), false).unwrap();
    assert!(request.webhook_url.is_some());
}

#[test]
fn all_faults_are_reported_at_once() {
    let body = r#"{"bank_account_details":[{"ifsc":"AABF0008032","account_number":"026291800001191"},{"ifsc":"bad","account_number":12345678},7],
        "upi_details":[{"vpa":"a@@b"},{}],"gateway_reference_id":"x","metadata":{"a":1}}"#;
    assert_eq!(
        faults(body),
        [
            "bank_account_details[1].ifsc",
            "bank_account_details[1].account_number",
            "bank_account_details[2]",
            "upi_details[0].vpa",
            "upi_details[1].vpa",
            "gateway_reference_id",
            "metadata.a",
        ]
    );
}

#[test]
fn a_call_has_flat_fields_or_lists_but_not_both() {
    assert_eq!(faults(""), ["bank_account_details"]);
    assert_eq!(faults("bank_code=12"), ["bank_account_details"]);
    assert_eq!(faults("bank_account_details=[]"), ["bank_account_details"]);
    assert_eq!(
        faults("vpa=asha@upi&upi_details=[{\"vpa\":\"b1@upi\"}]"),
        ["vpa"]
    );
    assert_eq!(faults(&format!("{BANK_FORM}&vpa=asha@upi")), ["vpa"]);
    assert_eq!(
        faults("upi_details=[{\"vpa\":\"b1@upi\"},{\"vpa\":\"B1@UPI\"}]"),
        ["upi_details[1]"]
    );
}

#[test]
fn a_call_has_at_most_a_hundred_accounts() {
    let body = |count| {
        let items: Vec<_> = (0..count)
            .map(|n| serde_json::json!({"vpa": format!("user{n}@upi")}))
            .collect();
        serde_json::json!({ "upi_details": items }).to_string()
    };
    assert_eq!(read(&body(100)).unwrap().accounts.len(), 100);
    assert_eq!(faults(&body(101)), ["upi_details"]);
}

#[test]
fn bank_code_next_to_the_lists_is_their_default() {
    let request = read(r#"{"bank_code":"12","bank_account_details":[{"ifsc":"AABF0008032","account_number":"12345"},{"ifsc":"AABF0008032","account_number":"12346","bank_code":"JP_X"}]}"#).unwrap();
    let codes: Vec<_> = request
        .accounts
        .iter()
        .map(|a| a.bank_code.as_ref().unwrap().as_str())
        .collect();
    assert_eq!(codes, ["12", "JP_X"]);
}

#[test]
fn metadata_within_its_limits_is_accepted() {
    let members = |count: usize| -> Map<String, Value> {
        let (key, value) = (
            "k".repeat(MAX_METADATA_KEY - 2),
            "v".repeat(MAX_METADATA_VALUE),
        );
        (0..count)
            .map(|n| (format!("{key}{n:02}"), Value::String(value.clone())))
            .collect()
    };
    let body = |members: &Map<String, Value>| {
        serde_json::json!({ "vpa": "asha@upi", "metadata": members }).to_string()
    };
    let most = members(20);
    assert_eq!(read(&body(&most)).unwrap().metadata, most);
    assert_eq!(faults(&body(&members(21))), ["metadata"]);
    let mut longest = Map::new();
    let (key, value) = (
        "क".repeat(MAX_METADATA_KEY),
        "🙂".repeat(MAX_METADATA_VALUE),
    );
    longest.insert(key, Value::String(value));
    assert_eq!(read(&body(&longest)).unwrap().metadata, longest);
}

#[test]
fn metadata_is_bounded_in_bytes_of_its_json() {
    let body = |last: usize| {
        let value = |characters: usize| Value::String("🙂".repeat(characters));
        let mut members: Map<String, Value> = (0..6).map(|n| (n.to_string(), value(500))).collect();
        members.insert("6".to_owned(), Value::String("x".repeat(last)));
        serde_json::json!({ "vpa": "asha@upi", "metadata": members }).to_string()
    };
    // A member has four quotation marks and a colon beside key and value.
    let rest = MAX_METADATA_BYTES - 6 * (2_000 + 6) - 6 - r"{,,,,,,}".len();
    assert!(read(&body(rest)).is_ok());
    assert_eq!(faults(&body(rest + 1)), ["metadata"]);
    let quoted: Map<String, Value> = (0..20)
        .map(|n| (n.to_string(), Value::String("\"".repeat(400))))
        .collect();
    let quoted = serde_json::json!({ "vpa": "asha@upi", "metadata": quoted });
    assert_eq!(faults(&quoted.to_string()), ["metadata"]);
}

#[test]
fn metadata_has_no_control_characters() {
    for character in ["\u{0}", "\u{1}", "\n", "\u{7f}", "\u{85}"] {
        let metadata = serde_json::json!({ "a": format!("x{character}") });
        let body = serde_json::json!({ "vpa": "asha@upi", "metadata": metadata });
        assert_eq!(faults(&body.to_string()), ["metadata.a"], "{character:?}");
    }
}

#[test]
fn metadata_is_bounded_over_all_accounts_of_a_call() {
    let body = |accounts: usize, last: usize| {
        let mut members: Map<String, Value> = (0..5)
            .map(|n| (n.to_string(), Value::String("x".repeat(500))))
            .collect();
        members.insert("5".to_owned(), Value::String("x".repeat(last)));
        let items: Vec<_> = (0..accounts)
            .map(|n| serde_json::json!({"vpa": format!("user{n}@upi")}))
            .collect();
        serde_json::json!({ "upi_details": items, "metadata": members }).to_string()
    };
    // Braces, five members with a comma, and the last one without.
    let last = MAX_METADATA_OF_CALL / 100 - 2 - 5 * (500 + 7) - 6;
    assert!(read(&body(100, last)).is_ok());
    assert_eq!(faults(&body(100, last + 1)), ["metadata"]);
    assert!(read(&body(99, last + 1)).is_ok());
}

#[test]
fn consent_is_complete_or_absent() {
    let consent =
        "&consent.obtained=true&consent.purpose=payout&consent.timestamp=2025-10-27T09:24:36Z";
    assert!(
        read(&format!("vpa=asha@upi{consent}"))
            .unwrap()
            .options
            .consent
            .unwrap()
            .obtained
    );
    assert!(read(r#"{"vpa":"asha@upi","consent":{"obtained":true,"purpose":"p","timestamp":"2025-10-27T09:24:36Z"}}"#).unwrap().options.consent.is_some());
    assert_eq!(
        faults("vpa=asha@upi&consent.obtained=true"),
        ["consent.purpose", "consent.timestamp"]
    );
    assert_eq!(
        faults(
            "vpa=asha@upi&consent.obtained=yes&consent.purpose=p&consent.timestamp=2999-01-01T00:00:00Z"
        ),
        ["consent.obtained", "consent.timestamp"]
    );
}

#[test]
fn only_a_validating_call_waits() {
    let wait = |body: &str| read(body).unwrap().wait;
    assert_eq!(wait("vpa=asha@upi"), None);
    let seconds = |seconds| Some(Duration::from_secs(seconds));
    assert_eq!(wait("vpa=asha@upi&command=validate"), seconds(10));
    assert_eq!(wait("vpa=asha@upi&command=validate&wait_seconds=0"), None);
    assert_eq!(
        wait(r#"{"vpa":"asha@upi","command":"validate","wait_seconds":30}"#),
        seconds(30)
    );
    for body in [
        "vpa=asha@upi&wait_seconds=5",
        "vpa=asha@upi&command=validate&wait_seconds=31",
        "vpa=asha@upi&command=validate&wait_seconds=-1",
    ] {
        assert_eq!(faults(body), ["wait_seconds"], "{body}");
    }
}

#[test]
fn fresh_is_a_flag_in_both_encodings() {
    let fresh = |body: &str| read(body).unwrap().options.fresh;
    assert!(!fresh("vpa=asha@upi"));
    assert!(fresh("vpa=asha@upi&fresh=true"));
    assert!(!fresh("vpa=asha@upi&fresh=false&command=validate"));
    assert!(fresh(r#"{"vpa":"asha@upi","fresh":true}"#));
    assert!(fresh(r#"{"vpa":"asha@upi","fresh":"true"}"#));
    assert!(!fresh(r#"{"vpa":"asha@upi","fresh":null}"#));
    for body in [
        "vpa=asha@upi&fresh=1",
        "vpa=asha@upi&fresh=True",
        r#"{"vpa":"asha@upi","fresh":1}"#,
        r#"{"vpa":"asha@upi","fresh":[true]}"#,
    ] {
        assert_eq!(faults(body), ["fresh"], "{body}");
    }
}

#[test]
fn an_empty_text_means_that_an_optional_field_is_absent() {
    let plain = read(BANK_FORM).unwrap();
    let empty = "&vpa=&command=&wait_seconds=&gateway_id=&gateway_reference_id=&fresh=&upi_details=&consent.obtained=&consent[purpose]=&consent.timestamp=";
    assert_eq!(read(&format!("{BANK_FORM}{empty}")).unwrap(), plain);
    let given = ["ifsc", "account_number", "beneficiary_name", "bank_code"];
    let json = |fields: &[(&str, Value)]| {
        let mut body = Map::new();
        for (name, value) in given
            .iter()
            .zip(["AABF0008032", "026291800001191", "test", "12"])
        {
            body.insert((*name).to_owned(), value.into());
        }
        body.extend(
            fields
                .iter()
                .map(|(name, value)| ((*name).to_owned(), value.clone())),
        );
        Value::Object(body).to_string()
    };
    for field in CREATE_FIELDS
        .iter()
        .filter(|field| !given.contains(&field.name))
    {
        let body = json(&[(field.name, "".into())]);
        assert_eq!(read(&body).unwrap(), plain, "{body}");
    }
    let members = serde_json::json!({"obtained": "", "purpose": "", "timestamp": ""});
    for (name, value) in [
        ("consent", "".into()),
        ("consent", members),
        ("upi_details", serde_json::json!([])),
        ("bank_account_details", serde_json::json!([])),
    ] {
        let body = json(&[(name, value)]);
        assert_eq!(read(&body).unwrap(), plain, "{body}");
    }
    assert_eq!(read(&format!("{BANK_FORM}&upi_details=[]")).unwrap(), plain);
    assert_eq!(faults("ifsc=&account_number=026291"), ["ifsc"]);
    assert_eq!(faults(r#"{"ifsc":"","account_number":"026291"}"#), ["ifsc"]);
    for blank in [
        "beneficiary_name=+",
        "bank_code=+",
        "gateway_id=70&gateway_reference_id=+",
    ] {
        assert_eq!(
            faults(&format!("ifsc=AABF0008032&account_number=026291&{blank}")).len(),
            1,
            "{blank}"
        );
    }
}

#[test]
fn only_a_number_of_digits_loses_leading_zeros() {
    let reason = |body: &str| match read(body) {
        Err(ApiError::Invalid(faults)) => faults[0].reason.clone(),
        other => panic!("{body}: {other:?}"),
    };
    let number = r#"{"ifsc":"AABF0008032","account_number":26291800001191}"#;
    assert!(reason(number).contains("leading zeros"));
    let time =
        r#"{"vpa":"asha@upi","consent":{"obtained":true,"purpose":"p","timestamp":1761557076}}"#;
    assert_eq!(reason(time), "must be a string");
}

#[test]
fn blanks_around_values_are_removed() {
    let body = "ifsc=+aabf0008032%0A&account_number=%C2%A0026291800001191%E2%80%8B&beneficiary_name=+test+&bank_code=12+&command=+create+&fresh=+false";
    assert_eq!(read(body).unwrap(), read(BANK_FORM).unwrap());
}

#[test]
fn a_fault_names_the_field_that_a_program_may_have_meant() {
    let Err(ApiError::Invalid(faults)) = read("vpa=asha@upi&command=validate&waitSeconds=5") else {
        panic!("accepted");
    };
    assert_eq!(faults[0].field_name, "waitSeconds");
    assert_eq!(
        faults[0].reason,
        "is not a field of this call: did you mean wait_seconds?"
    );
}

#[test]
fn unknown_fields_of_a_call_are_bounded() {
    let fields: Vec<String> = (0..1_500).map(|n| format!("field{n}=x")).collect();
    assert_eq!(
        faults(&format!("vpa=asha@upi&{}", fields.join("&"))).len(),
        101
    );
}

#[test]
fn unknown_commands_are_invalid() {
    assert!(matches!(
        read("command=destroy&vpa=asha@upi"),
        Err(ApiError::InvalidCommand(_))
    ));
    assert!(read("command=create&vpa=asha@upi").is_ok());
}
