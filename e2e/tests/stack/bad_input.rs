//! What is wrong with a call is told, all of it at once, in the documented form; nothing of the call is stored.

use anyhow::Result;
use khata_e2e::client::text;
use khata_e2e::{Answer, Setup, World};
use reqwest::Method;
use serde_json::{Value, json};

use crate::calls::{bank, banks};

const FORM: &str = "application/x-www-form-urlencoded";
const JSON: &str = "application/json";
const GOOD: &str = "ifsc=AABF0008032&account_number=026291800001191";
const GOOD_ITEM: &str = r#"{"ifsc":"AABF0008032","account_number":"026291800001191"}"#;

/// Nobody works here, so what is stored stays as it was stored.
async fn world() -> Result<World> {
    World::start(Setup {
        workers: 0,
        traces: true,
        ..Setup::default()
    })
    .await
}

/// Holds an error answer to the contract's envelope.
pub(crate) fn assert_error(what: &str, answer: &Answer, http: u16, words: [&str; 4]) {
    assert_eq!(answer.status, http, "{what}: {}", answer.text);
    let body = answer.json();
    let info = &body["error_info"];
    let [status, error_code, code, category] = words;
    assert_eq!(body["status"], status, "{what}: {body}");
    assert_eq!(body["error_code"], error_code, "{what}: {body}");
    assert_eq!(info["code"], code, "{what}: {body}");
    assert_eq!(info["category"], category, "{what}: {body}");
    for pointer in [
        "/error_message",
        "/error_info/user_message",
        "/error_info/developer_message",
    ] {
        assert!(!text(&body, pointer).is_empty(), "{what}: {body}");
    }
    assert_eq!(
        text(info, "/request_id"),
        answer.header("x-request-id").unwrap(),
        "{what}"
    );
    assert!(info["fields"].is_array(), "{what}: {body}");
    assert_eq!(answer.header("content-type"), Some(JSON), "{what}");
    assert!(answer.trace_id().is_some(), "{what}: no traceresponse");
}

const INVALID: [&str; 4] = [
    "Bad Request",
    "invalid_request_error",
    "INVALID_INPUT",
    "USER_ERROR",
];

fn assert_faults(what: &str, answer: &Answer, fields: &[&str]) {
    assert_error(what, answer, 400, INVALID);
    assert_eq!(named_fields(answer), fields, "{what}: {}", answer.text);
}

/// The names in `error_info.fields`, each with a reason.
fn named_fields(answer: &Answer) -> Vec<String> {
    let told = answer.json()["error_info"]["fields"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    assert!(
        told.iter().all(|field| !text(field, "/reason").is_empty()),
        "{}",
        answer.text
    );
    told.iter()
        .map(|field| text(field, "/field_name").to_owned())
        .collect()
}

/// Sends every body, and shows all that were not answered by exactly these fields.
async fn assert_all_faults(
    world: &World,
    content_type: &str,
    cases: Vec<(&str, Vec<u8>, Vec<&str>)>,
) -> Result<()> {
    let mut wrong = Vec::new();
    for (what, body, fields) in cases {
        let answer = post(world, content_type, body).await?;
        assert_error(what, &answer, 400, INVALID);
        let named = named_fields(&answer);
        if named != fields {
            wrong.push(format!("{what}: {named:?} instead of {fields:?}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert_eq!(world.database.stored()?, [0, 0, 0]);
    Ok(())
}

async fn post(world: &World, content_type: &str, body: impl Into<Vec<u8>>) -> Result<Answer> {
    let request = world
        .api
        .creation("bad")
        .header("content-type", content_type);
    world.api.send(request.body(body.into())).await
}

fn nested(depth: usize) -> String {
    format!("{}{}", "[".repeat(depth), "]".repeat(depth))
}

#[tokio::test]
async fn every_fault_of_a_form_is_named_by_its_field() -> Result<()> {
    let world = world().await?;
    let number = |value: &str| format!("ifsc=AABF0008032&account_number={value}");
    let ifsc = |value: &str| format!("account_number=026291800001191&ifsc={value}");
    let vpa = |value: &str| format!("vpa={value}");
    let with = |more: &str| format!("{GOOD}&{more}");
    let items = |count: usize| {
        let body = banks((0..count).map(|n| format!("{}", 10_000_000 + n)));
        format!("bank_account_details={}", body["bank_account_details"])
    };
    let cases: Vec<(&str, String, Vec<&str>)> = vec![
        ("an empty form", String::new(), vec!["bank_account_details"]),
        (
            "no account",
            "bank_code=12&metadata.a=b".into(),
            vec!["bank_account_details"],
        ),
        (
            "no ifsc",
            "account_number=026291800001191".into(),
            vec!["ifsc"],
        ),
        (
            "no account number",
            "ifsc=AABF0008032".into(),
            vec!["account_number"],
        ),
        (
            "a name only",
            "beneficiary_name=test".into(),
            vec!["ifsc", "account_number"],
        ),
        (
            "an ifsc without its zero",
            ifsc("AABF1008032"),
            vec!["ifsc"],
        ),
        ("a short ifsc", ifsc("AABF000803"), vec!["ifsc"]),
        ("an empty ifsc", ifsc(""), vec!["ifsc"]),
        (
            "an ifsc in full-width letters",
            ifsc("%EF%BC%A1ABF0008032"),
            vec!["ifsc"],
        ),
        ("a NUL in the ifsc", ifsc("AABF000803%00"), vec!["ifsc"]),
        (
            "spaces in the number",
            number("0262+9180+0001"),
            vec!["account_number"],
        ),
        (
            "a space after the number",
            number("026291800001191%20"),
            vec!["account_number"],
        ),
        (
            "Devanagari digits",
            number("%E0%A5%A6%E0%A5%A8%E0%A5%AC%E0%A5%A8%E0%A5%AF"),
            vec!["account_number"],
        ),
        (
            "a NUL in the number",
            number("026291800%00001191"),
            vec!["account_number"],
        ),
        (
            "only NULs",
            number("%00%00%00%00%00"),
            vec!["account_number"],
        ),
        (
            "a hyphen in the number",
            number("0262-9180"),
            vec!["account_number"],
        ),
        ("four characters", number("1234"), vec!["account_number"]),
        (
            "36 characters",
            number(&"1".repeat(36)),
            vec!["account_number"],
        ),
        (
            "a blank name",
            with("beneficiary_name=+++"),
            vec!["beneficiary_name"],
        ),
        (
            "121 characters of name",
            with(&format!("beneficiary_name={}", "x".repeat(121))),
            vec!["beneficiary_name"],
        ),
        (
            "a bell in the name",
            with("beneficiary_name=a%07b"),
            vec!["beneficiary_name"],
        ),
        (
            "a NUL in the name",
            with("beneficiary_name=a%00b"),
            vec!["beneficiary_name"],
        ),
        (
            "a bank code in letters",
            with("bank_code=HDFC"),
            vec!["bank_code"],
        ),
        (
            "an unfinished bank code",
            with("bank_code=JP_"),
            vec!["bank_code"],
        ),
        (
            "33 digits of bank code",
            with(&format!("bank_code={}", "1".repeat(33))),
            vec!["bank_code"],
        ),
        (
            "a NUL in the bank code",
            with("bank_code=JP_%00"),
            vec!["bank_code"],
        ),
        ("no @", vpa("asha.upi"), vec!["vpa"]),
        ("two @", vpa("asha@ok@upi"), vec!["vpa"]),
        ("nothing before the @", vpa("@upi"), vec!["vpa"]),
        ("nothing after the @", vpa("asha@"), vec!["vpa"]),
        ("one character before the @", vpa("a@upi"), vec!["vpa"]),
        (
            "a handle that starts with a digit",
            vpa("asha@1upi"),
            vec!["vpa"],
        ),
        ("a space in the address", vpa("asha+rao@upi"), vec!["vpa"]),
        ("a NUL in the address", vpa("asha%00@upi"), vec!["vpa"]),
        (
            "an address in Devanagari",
            vpa("%E0%A4%86%E0%A4%B6%E0%A4%BE@upi"),
            vec!["vpa"],
        ),
        (
            "256 characters of address",
            vpa(&format!("{}@upi", "a".repeat(252))),
            vec!["vpa"],
        ),
        ("an empty address", vpa(""), vec!["vpa"]),
        (
            "a bank account and an address",
            with("vpa=asha@upi"),
            vec!["vpa"],
        ),
        (
            "flat fields beside a list",
            with("upi_details=[{\"vpa\":\"asha@upi\"}]"),
            vec!["ifsc", "account_number"],
        ),
        (
            "broken JSON in a field",
            format!("bank_account_details=[{GOOD_ITEM}"),
            vec!["bank_account_details"],
        ),
        (
            "no JSON in a field",
            "upi_details=asha@upi".into(),
            vec!["upi_details"],
        ),
        (
            "an object for a list",
            format!("bank_account_details={GOOD_ITEM}"),
            vec!["bank_account_details"],
        ),
        (
            "an empty list",
            "bank_account_details=[]".into(),
            vec!["bank_account_details"],
        ),
        (
            "two empty lists",
            "bank_account_details=[]&upi_details=[]".into(),
            vec!["bank_account_details"],
        ),
        ("101 accounts", items(101), vec!["bank_account_details"]),
        (
            "101 of both kinds",
            format!("{}&upi_details=[{{\"vpa\":\"asha@upi\"}}]", items(100)),
            vec!["bank_account_details"],
        ),
        (
            "the same account twice",
            format!("bank_account_details=[{GOOD_ITEM},{GOOD_ITEM}]"),
            vec!["bank_account_details[1]"],
        ),
        (
            "the same account in another case",
            r#"upi_details=[{"vpa":"asha@upi"},{"vpa":"ASHA@UPI"}]"#.into(),
            vec!["upi_details[1]"],
        ),
        (
            "a list in both forms",
            format!("bank_account_details=[{GOOD_ITEM}]&bank_account_details[0][ifsc]=AABF0008032"),
            vec!["bank_account_details"],
        ),
        (
            "an index without a field",
            "upi_details[0]=asha@upi".into(),
            vec!["upi_details[0]"],
        ),
        (
            "an index in letters",
            "upi_details[x][vpa]=asha@upi".into(),
            vec!["upi_details[x][vpa]"],
        ),
        (
            "a huge index",
            "upi_details[99999999999999999999][vpa]=asha@upi".into(),
            vec!["upi_details[99999999999999999999][vpa]"],
        ),
        (
            "a field given twice",
            format!("{GOOD}&ifsc=AABF0008033"),
            vec!["ifsc"],
        ),
        (
            "no percent-encoding",
            with("beneficiary_name=100%"),
            vec!["beneficiary_name"],
        ),
        (
            "no UTF-8",
            with("beneficiary_name=%ff%fe"),
            vec!["beneficiary_name"],
        ),
        (
            "a gateway in letters",
            with("gateway_id=CASHFREE"),
            vec!["gateway_id"],
        ),
        ("gateway 0", with("gateway_id=0"), vec!["gateway_id"]),
        (
            "a negative gateway",
            with("gateway_id=-70"),
            vec!["gateway_id"],
        ),
        (
            "a gateway beyond numbers",
            with("gateway_id=70000000000000000000"),
            vec!["gateway_id"],
        ),
        (
            "a gateway reference alone",
            with("gateway_reference_id=cashfree_e2e"),
            vec!["gateway_reference_id"],
        ),
        (
            "a blank gateway reference",
            with("gateway_id=70&gateway_reference_id=+"),
            vec!["gateway_reference_id"],
        ),
        (
            "an empty metadata key",
            with("metadata.=x"),
            vec!["metadata."],
        ),
        (
            "a long metadata value",
            with(&format!("metadata.a={}", "x".repeat(501))),
            vec!["metadata.a"],
        ),
        (
            "a NUL in metadata",
            with("metadata.a=x%00y"),
            vec!["metadata.a"],
        ),
        (
            "half a consent",
            with("consent.obtained=true"),
            vec!["consent.purpose", "consent.timestamp"],
        ),
        (
            "a consent of another kind",
            with("consent.obtained=yes&consent.purpose=p&consent.timestamp=yesterday"),
            vec!["consent.obtained", "consent.timestamp"],
        ),
        (
            "a consent of tomorrow",
            with("consent.obtained=true&consent.purpose=p&consent.timestamp=2999-01-01T00:00:00Z"),
            vec!["consent.timestamp"],
        ),
        (
            "many faults at once",
            format!(
                "bank_account_details=[{GOOD_ITEM},{{\"ifsc\":\"x\",\"account_number\":\"y\"}},7]&upi_details=[{{}}]&gateway_id=x&consent.obtained=true"
            ),
            vec![
                "bank_account_details[1].ifsc",
                "bank_account_details[1].account_number",
                "bank_account_details[2]",
                "upi_details[0].vpa",
                "gateway_id",
                "consent.purpose",
                "consent.timestamp",
            ],
        ),
    ];
    let cases = cases
        .into_iter()
        .map(|(what, body, fields)| (what, body.into_bytes(), fields));
    assert_all_faults(&world, FORM, cases.collect()).await?;
    let none = world.api.send(world.api.creation("bad")).await?;
    assert_faults("no body at all", &none, &["bank_account_details"]);
    assert_eq!(world.database.stored()?, [0, 0, 0]);
    Ok(())
}

#[tokio::test]
async fn every_fault_of_a_json_body_is_named_by_its_field() -> Result<()> {
    let world = world().await?;
    let good = || -> Value { serde_json::from_str(GOOD_ITEM).unwrap_or_default() };
    let with = |name: &str, value: Value| {
        let mut body = good();
        body[name] = value;
        body.to_string()
    };
    let many: Value = (0..21)
        .map(|n| (format!("k{n}"), json!("v")))
        .collect::<serde_json::Map<_, _>>()
        .into();
    let long = format!("metadata.{}", "k".repeat(40));
    let cases: Vec<(&str, Vec<u8>, Vec<&str>)> = vec![
        ("nothing", vec![], vec!["body"]),
        ("broken JSON", b"{\"ifsc\":".to_vec(), vec!["body"]),
        ("a list", b"[]".to_vec(), vec!["body"]),
        ("a string", b"\"ifsc\"".to_vec(), vec!["body"]),
        ("nesting without end", nested(100_000).into(), vec!["body"]),
        ("no UTF-8", b"{\"ifsc\":\"\xff\xfe\"}".to_vec(), vec!["body"]),
        ("half a surrogate", br#"{"beneficiary_name":"\ud800"}"#.to_vec(), vec!["body"]),
        ("an empty object", b"{}".to_vec(), vec!["bank_account_details"]),
        ("a number for an account number", with("account_number", json!(26_291_800_001_191_u64)).into(), vec!["account_number"]),
        ("a NUL in the number", with("account_number", json!("0262\u{0}9180")).into(), vec!["account_number"]),
        ("full-width digits", with("account_number", json!("０２６２９１")).into(), vec!["account_number"]),
        ("a null ifsc", with("ifsc", Value::Null).into(), vec!["ifsc"]),
        ("a nested ifsc", with("ifsc", json!({"code": "AABF0008032"})).into(), vec!["ifsc"]),
        ("a list of strings", json!({"upi_details": ["asha@upi"]}).to_string().into(), vec!["upi_details[0]"]),
        ("a list as text", json!({"upi_details": "[]"}).to_string().into(), vec!["upi_details"]),
        ("101 addresses", json!({"upi_details": (0..101).map(|n| json!({"vpa": format!("user{n}@upi")})).collect::<Vec<_>>()}).to_string().into(), vec!["upi_details"]),
        ("a broken gateway", with("gateway_id", json!(70.5)).into(), vec!["gateway_id"]),
        ("metadata that is no object", with("metadata", json!("x")).into(), vec!["metadata"]),
        ("metadata with a number", with("metadata", json!({"n": 1})).into(), vec!["metadata.n"]),
        ("metadata with a NUL key", with("metadata", json!({"a\u{0}b": "x"})).into(), vec!["metadata.ab"]),
        ("metadata with a long key", with("metadata", json!({"k".repeat(41): "x"})).into(), vec![&long]),
        ("21 members of metadata", with("metadata", many).into(), vec!["metadata"]),
        ("a consent that is no object", with("consent", json!(true)).into(), vec!["consent"]),
        ("an empty consent timestamp", with("consent", json!({"obtained": true, "purpose": "p", "timestamp": ""})).into(), vec!["consent.timestamp"]),
    ];
    assert_all_faults(&world, JSON, cases).await
}

#[tokio::test]
async fn other_faults_have_their_own_words() -> Result<()> {
    let world = world().await?;
    let api = &world.api;
    let invalid_command = [
        "Invalid Request",
        "bad_request",
        "INVALID_ACTION",
        "USER_ERROR",
    ];
    for command in ["destroy", "delete", "", "CREATE", "create\0"] {
        let mut form = bank("026291800001191", "AABF0008032");
        form.push(("command", command));
        let answer = api.create("bad", &form).await?;
        assert_error(command, &answer, 400, invalid_command);
        assert_eq!(answer.json()["error_message"], "Invalid command");
    }
    let answer = api
        .create_json("bad", &json!({"command": ["create"]}))
        .await?;
    assert_error("a list of commands", &answer, 400, invalid_command);

    let no_gateway = [
        "Bad Request",
        "invalid_request_error",
        "GATEWAY_NOT_FOUND",
        "CONFIG_ERROR",
    ];
    for (id, reference) in [
        ("7", ""),
        ("12", ""),
        ("1001", ""),
        ("70", "elsewhere"),
        ("100", "cashfree_e2e"),
    ] {
        let mut form = bank("026291800001191", "AABF0008032");
        form.push(("gateway_id", id));
        if !reference.is_empty() {
            form.push(("gateway_reference_id", reference));
        }
        assert_error(id, &api.create("bad", &form).await?, 400, no_gateway);
    }

    let too_long = "x".repeat(129);
    for name in [
        "a%20b",
        "%00",
        "a%00b",
        "%C3%A9",
        "%ff",
        "a%0Ab",
        too_long.as_str(),
    ] {
        let answer = api
            .create(name, &bank("026291800001191", "AABF0008032"))
            .await?;
        assert_faults(name, &answer, &["customer_id"]);
        for answer in [api.list(name, "").await?, api.get(name, "banh_x").await?] {
            assert_eq!(answer.status, 404, "{name}: {}", answer.text);
        }
    }
    for (query, fields) in [
        ("?count=0", &["count"][..]),
        ("?count=101", &["count"]),
        ("?count=ten&offset=-1", &["count", "offset"]),
        ("?count=+5", &["count"]),
        ("?offset=99999999999999999999", &["offset"]),
        ("?count=", &["count"]),
        ("?count=5&count=6", &["query"]),
    ] {
        assert_faults(query, &api.list("bad", query).await?, fields);
    }
    let not_found = [
        "invalid_request_error",
        "object_not_found",
        "RESOURCE_NOT_FOUND",
        "USER_ERROR",
    ];
    for path in [
        "/",
        "/customers//accounts",
        "/customers/a/accounts/b",
        "/admin",
        "/customers/a/customer-accounts/b/c",
    ] {
        assert_error(
            path,
            &api.send(api.call(Method::GET, path)).await?,
            404,
            not_found,
        );
    }
    assert_eq!(world.database.stored()?, [0, 0, 0]);
    Ok(())
}

#[tokio::test]
async fn methods_types_and_sizes_are_refused_as_http_means_it() -> Result<()> {
    let world = world().await?;
    let api = &world.api;
    let not_allowed = [
        "error",
        "method_not_allowed",
        "METHOD_NOT_ALLOWED",
        "USER_ERROR",
    ];
    for (path, allowed, refused) in [
        (
            "/customers/a/accounts",
            "POST",
            [Method::GET, Method::PUT, Method::DELETE],
        ),
        (
            "/customers/a/customer-accounts/list",
            "GET",
            [Method::POST, Method::PATCH, Method::DELETE],
        ),
    ] {
        for method in refused {
            let answer = api.send(api.call(method.clone(), path)).await?;
            assert_error(&format!("{method} {path}"), &answer, 405, not_allowed);
            assert_eq!(answer.header("allow"), Some(allowed), "{method} {path}");
        }
    }
    let account = "/customers/a/customer-accounts/banh_x";
    let answer = api.send(api.call(Method::PUT, account)).await?;
    assert_error(account, &answer, 405, not_allowed);
    assert!(
        answer
            .header("allow")
            .is_some_and(|allow| allow.contains("GET"))
    );

    let unsupported = [
        "error",
        "unsupported_media_type",
        "UNSUPPORTED_MEDIA_TYPE",
        "USER_ERROR",
    ];
    for content_type in [
        "text/plain",
        "multipart/form-data; boundary=x",
        "application/xml",
        "application/x-www-form-urlencoded; charset=iso-8859-1",
        "application/jsonp",
        "é",
        "",
    ] {
        assert_error(
            content_type,
            &post(&world, content_type, GOOD).await?,
            415,
            unsupported,
        );
    }
    let answer = api.send(api.creation("bad").body(GOOD)).await?;
    assert_error("a body without a type", &answer, 415, unsupported);

    let too_large = [
        "error",
        "payload_too_large",
        "PAYLOAD_TOO_LARGE",
        "USER_ERROR",
    ];
    for size in [256 * 1024 + 1, 1024 * 1024] {
        let body = format!(
            "{GOOD}&beneficiary_name={}",
            "x".repeat(size - GOOD.len() - 18)
        );
        assert_eq!(body.len(), size);
        assert_error(
            "a long body",
            &post(&world, FORM, body).await?,
            413,
            too_large,
        );
    }
    let just_fits = format!(
        "{GOOD}&beneficiary_name={}",
        "x".repeat(256 * 1024 - GOOD.len() - 18)
    );
    assert_faults(
        "a body that just fits",
        &post(&world, FORM, just_fits).await?,
        &["beneficiary_name"],
    );
    assert_eq!(world.database.stored()?, [0, 0, 0]);

    // What is accepted, whatever its writing.
    for (customer, content_type) in [
        ("a", "application/x-www-form-urlencoded;charset=UTF-8"),
        ("b", "Application/X-WWW-Form-URLencoded ; charset=\"utf-8\""),
    ] {
        let request = api
            .creation(customer)
            .header("content-type", content_type)
            .body(GOOD);
        api.send(request).await?.account()?;
    }
    Ok(())
}

#[tokio::test]
async fn a_long_body_in_chunks_is_cut_off() -> Result<()> {
    let world = world().await?;
    let credentials = basic(&format!("{}:", world.api.key));
    let mut request = format!(
        "POST /customers/bad/accounts HTTP/1.1\r\nhost: khata\r\nauthorization: {credentials}\r\ncontent-type: {FORM}\r\ntransfer-encoding: chunked\r\n\r\n"
    )
    .into_bytes();
    for _ in 0..64 {
        request.extend_from_slice(b"4000\r\n");
        request.extend(std::iter::repeat_n(b'x', 0x4000));
        request.extend_from_slice(b"\r\n");
    }
    request.extend_from_slice(b"0\r\n\r\n");
    let answer = world.api.raw(&request).await?;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer:?}");
    assert!(answer.contains("PAYLOAD_TOO_LARGE"), "{answer:?}");
    // What is no HTTP at all neither.
    for junk in [
        "\x16\x03\x01\x02",
        "GET\r\n\r\n",
        "POST /customers/a/accounts HTTP/9.9\r\n\r\n",
    ] {
        let answer = world.api.raw(junk.as_bytes()).await?;
        assert!(!answer.contains(" 500 "), "{junk:?}: {answer:?}");
    }
    let headers = format!(
        "GET /health/live HTTP/1.1\r\nhost: khata\r\nx-long: {}\r\n\r\n",
        "x".repeat(1 << 20)
    );
    let answer = world.api.raw(headers.as_bytes()).await?;
    assert!(
        !answer.contains(" 200 ") && !answer.contains(" 500 "),
        "{answer:?}"
    );
    world.api.look("/health/live").await?.expect_status(200)?;
    assert_eq!(world.database.stored()?, [0, 0, 0]);
    Ok(())
}

fn basic(credential: &str) -> String {
    use base64::Engine as _;
    let encoded = base64::engine::general_purpose::STANDARD.encode(credential);
    format!("Basic {encoded}")
}

#[tokio::test]
async fn whatever_is_wrong_with_a_key_the_answer_is_the_same() -> Result<()> {
    let world = world().await?;
    let (api, key) = (&world.api, &world.api.key);
    let [revoked, expired] = [world.issue_key("e2e")?, world.issue_key("e2e")?];
    for (key, change) in [
        (&revoked, "revoked_at = now()"),
        (&expired, "expires_at = now()"),
    ] {
        // The newest key of its prefix; twelve characters do not collide among three.
        let prefix = &key[..12];
        world.database.execute(&format!(
            "update api_keys set {change} where prefix = '{prefix}'"
        ))?;
    }
    let unknown = format!("{}x", &key[..key.len() - 1]);
    let cases = [
        ("no key", None),
        ("no scheme", Some(key.clone())),
        ("another scheme", Some(format!("Bearer {key}"))),
        ("a scheme alone", Some("Basic".into())),
        ("no base64", Some("Basic !!!".into())),
        ("nothing in base64", Some("Basic ".into())),
        ("an empty key", Some(basic(":"))),
        ("an unknown key", Some(basic(&format!("{unknown}:")))),
        ("a key cut short", Some(basic(&format!("{}:", &key[..20])))),
        (
            "a key with a password",
            Some(basic(&format!("{key}:secret"))),
        ),
        ("a key as the password", Some(basic(&format!(":{key}")))),
        ("a key with a NUL", Some(basic(&format!("{key}\0:")))),
        (
            "a key of 10 kB",
            Some(basic(&format!("{}:", "k".repeat(10_240)))),
        ),
        ("a key of spaces", Some(basic("    :"))),
        ("an SQL key", Some(basic("' or '1'='1:"))),
        ("a revoked key", Some(basic(&format!("{revoked}:")))),
        ("an expired key", Some(basic(&format!("{expired}:")))),
    ];
    let mut bodies = Vec::new();
    for (what, credential) in cases {
        for (method, path) in [
            (Method::POST, "/customers/a/accounts"),
            (Method::GET, "/customers/a/customer-accounts/list"),
            (Method::GET, "/customers/a/customer-accounts/banh_x"),
        ] {
            let mut request = api.bare(method, path).header("x-request-id", "the-same");
            if let Some(credential) = &credential {
                request = request.header("authorization", credential);
            }
            let answer = api.send(request).await?;
            assert_error(
                what,
                &answer,
                401,
                ["error", "access_denied", "UNAUTHORIZED", "USER_ERROR"],
            );
            let told = answer.json();
            assert_eq!(told["error_info"]["user_message"], "Unauthorized.");
            assert_eq!(
                told["error_info"]["developer_message"],
                "Invalid API Key. Please pass a valid and active api key."
            );
            assert!(
                answer
                    .header("www-authenticate")
                    .is_some_and(|value| value.starts_with("Basic"))
            );
            bodies.push(answer.text);
        }
    }
    bodies.dedup();
    assert_eq!(bodies.len(), 1, "{bodies:#?}");
    // The scheme's name has no case, and a client may leave the colon out.
    for credential in [
        basic(&format!("{key}:")).replace("Basic", "basic"),
        basic(key),
    ] {
        let request = api.bare(Method::GET, "/customers/a/customer-accounts/list");
        let answer = api
            .send(request.header("authorization", credential))
            .await?;
        assert_eq!(answer.status, 404, "{}", answer.text);
    }
    assert_eq!(world.database.stored()?, [0, 0, 0]);
    Ok(())
}

#[tokio::test]
async fn every_answer_carries_its_request_id_and_trace() -> Result<()> {
    let world = world().await?;
    let api = &world.api;
    let list = || api.call(Method::GET, "/customers/a/customer-accounts/list");
    for given in ["a", "order-7/ü".trim_end_matches('ü'), &"x".repeat(128)] {
        let answer = api.send(list().header("x-request-id", given)).await?;
        assert_eq!(answer.header("x-request-id"), Some(given));
        assert_eq!(text(&answer.json(), "/error_info/request_id"), given);
    }
    let mut made = Vec::new();
    let too_long = "x".repeat(129);
    for unfit in ["", "a b", "é", &too_long] {
        let answer = api.send(list().header("x-request-id", unfit)).await?;
        made.push(answer.header("x-request-id").unwrap().to_owned());
    }
    for answer in [
        api.send(list()).await?,
        api.create("a", &bank("026291800001191", "AABF0008032"))
            .await?,
    ] {
        made.push(answer.header("x-request-id").unwrap().to_owned());
        let trace = answer.header("traceresponse").unwrap();
        let parts: Vec<&str> = trace.split('-').collect();
        assert_eq!(
            parts.iter().map(|part| part.len()).collect::<Vec<_>>(),
            [2, 32, 16, 2],
            "{trace}"
        );
        assert!(parts[0] == "00" && parts[3] == "01", "{trace}");
    }
    assert!(
        made.iter()
            .all(|id| id.starts_with("req_") && id.len() > 20),
        "{made:?}"
    );
    made.sort_unstable();
    made.dedup();
    assert_eq!(made.len(), 6, "every id is new");
    Ok(())
}

#[tokio::test]
async fn a_routing_id_is_taken_within_its_limits() -> Result<()> {
    let world = world().await?;
    let api = &world.api;
    let longest = "r".repeat(128);
    let too_long = "r".repeat(129);
    for unfit in ["", "a b", "é", "a\tb", &too_long] {
        for request in [
            api.creation("a")
                .form(&bank("026291800001191", "AABF0008032")),
            api.call(Method::GET, "/customers/a/customer-accounts/list"),
        ] {
            let answer = api.send(request.header("x-routing-id", unfit)).await?;
            assert_faults(unfit, &answer, &["x-routing-id"]);
        }
    }
    assert_eq!(world.database.stored()?, [0, 0, 0]);
    for given in ["customer_1122", &longest] {
        let request = api
            .creation(&given[..10])
            .form(&bank("026291800001191", "AABF0008032"));
        api.send(request.header("x-routing-id", given))
            .await?
            .account()?;
    }
    let stored = world
        .database
        .texts("select routing_id from customer_accounts order by id")?;
    assert_eq!(stored, ["customer_1122", &longest]);
    Ok(())
}
