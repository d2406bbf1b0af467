use khata_domain::MerchantId;

use super::*;
use crate::decode::decode;

const FORM: &str = "application/x-www-form-urlencoded";
const JSON: &str = "application/json";
const URL: &str = "https://hooks.example.com/khata";

fn create(content_type: &str, body: &str) -> Result<CreateRequest, Vec<String>> {
    let body = decode(Some(content_type), body.as_bytes()).map_err(faults)?;
    CreateRequest::read(&body, false).map_err(faults)
}

fn change(body: &str) -> Result<ChangeRequest, Vec<String>> {
    let body = decode(Some(JSON), body.as_bytes()).map_err(faults)?;
    ChangeRequest::read(&body, false).map_err(faults)
}

fn faults(error: ApiError) -> Vec<String> {
    match error {
        ApiError::Invalid(faults) => faults
            .into_iter()
            .map(|fault| format!("{}: {}", fault.field_name, fault.reason))
            .collect(),
        other => panic!("{other:?}"),
    }
}

fn endpoint() -> Endpoint {
    let at = DateTime::from_timestamp(1_686_058_100, 0).unwrap();
    Endpoint {
        merchant: MerchantId::new(),
        id: EndpointId::new(),
        url: URL.to_owned(),
        sealed_settings: Vec::new(),
        event_names: vec!["CUSTOMER_ACCOUNT_ACTIVE".to_owned()],
        payload: Payload::Thin,
        is_ordered: false,
        concurrency: 4,
        calls_per_second: Some(7),
        allows_url_per_account: false,
        version: 1,
        created_at: at,
        updated_at: at,
        disabled_at: None,
        disabled_by: None,
        failing_since: None,
        last_success_at: None,
    }
}

#[test]
fn a_form_and_json_make_the_same_endpoint() {
    let form = "url=https%3A%2F%2FHooks.Example.com%2Fkhata&event_names=CUSTOMER_ACCOUNT_ACTIVE,+CUSTOMER_ACCOUNT_FAILURE\
        &payload=THIN&is_ordered=false&concurrency=4&calls_per_second=9&allow_url_per_account=true&signature=v1a&basic_user=asha&basic_password=p+w";
    let json = r#"{"url":"https://hooks.example.com/khata","event_names":["CUSTOMER_ACCOUNT_ACTIVE","CUSTOMER_ACCOUNT_FAILURE"],
        "payload":"THIN","is_ordered":false,"concurrency":4,"calls_per_second":9,"allow_url_per_account":true,"signature":"v1a","basic_user":"asha",
        "basic_password":"p w"}"#;
    let mut secrets = Vec::new();
    for (content_type, body) in [(FORM, form), (JSON, json)] {
        let request = create(content_type, body).unwrap_or_else(|faults| panic!("{faults:?}"));
        let new = request.to_store(EndpointId::new(), "", b"");
        assert_eq!(new.event_names, [EventName::Active, EventName::Failure]);
        assert_eq!((new.payload, new.is_ordered), (Payload::Thin, false));
        assert_eq!((new.concurrency, new.calls_per_second), (4, Some(9)));
        assert!(new.allows_url_per_account);
        let settings = request.settings();
        assert_eq!(settings.url, URL);
        let credentials = settings.credentials.as_ref().unwrap();
        assert_eq!(
            (credentials.user.as_str(), credentials.password.as_str()),
            ("asha", "p w")
        );
        assert!(settings.signing_key.as_ref().unwrap().starts_with("whsk_"));
        assert!(settings.secret.starts_with("whsec_"));
        secrets.push(settings.secret.clone());
    }
    assert_ne!(secrets[0], secrets[1]);
}

#[test]
fn an_endpoint_has_these_defaults() {
    let request =
        create(FORM, "url=https://hooks.example.com").unwrap_or_else(|faults| panic!("{faults:?}"));
    let new = request.to_store(EndpointId::new(), "", b"");
    assert!(new.event_names.is_empty() && new.is_ordered && !new.allows_url_per_account);
    assert_eq!(
        (new.payload, new.concurrency, new.calls_per_second),
        (Payload::Full, 32, None)
    );
    let settings = request.settings();
    assert!(settings.signing_key.is_none() && settings.credentials.is_none());
}

#[test]
fn a_bad_endpoint_is_refused_with_its_field() {
    for (content_type, body, part) in [
        (FORM, "payload=FULL", "url: is required"),
        (
            FORM,
            "url=hooks.example.com",
            "url: is refused: the URL must be absolute",
        ),
        (
            FORM,
            "url=http://hooks.example.com",
            "url: is refused: the URL must begin with https://",
        ),
        (FORM, "url=https://10.0.0.1/", "url: "),
        (
            FORM,
            "url=https://a.example/&payload=full",
            "payload: must be FULL",
        ),
        (
            FORM,
            "url=https://a.example/&event_names=ACTIVE",
            "event_names: has ACTIVE, which is not the name of an event: did you mean CUSTOMER_ACCOUNT_ACTIVE?",
        ),
        (
            FORM,
            "url=https://a.example/&event_names[0]=ALL",
            "event_names[0]: is one name of a list",
        ),
        (
            FORM,
            "url=https://a.example/&event_names=ALL,CUSTOMER_ACCOUNT_ACTIVE",
            "event_names: has ALL beside names",
        ),
        (
            FORM,
            "url=https://a.example/&event_names=WEBHOOK_ENDPOINT_TEST",
            "event_names: has WEBHOOK_ENDPOINT_TEST",
        ),
        (
            JSON,
            r#"{"url":"https://a.example/","event_names":[1]}"#,
            "event_names: must be a list of names",
        ),
        (
            FORM,
            "url=https://a.example/&concurrency=0",
            "concurrency: must be a whole number from 1 to 256",
        ),
        (
            FORM,
            "url=https://a.example/&calls_per_second=10001",
            "calls_per_second: must be a whole number from 0 to 10000",
        ),
        (
            FORM,
            "url=https://a.example/&signature=v2",
            "signature: must be v1 or v1a",
        ),
        (
            FORM,
            "url=https://a.example/&basic_password=x",
            "basic_password: requires basic_user",
        ),
        (
            FORM,
            "url=https://a.example/&basic_user=&basic_password=x",
            "basic_password: requires basic_user",
        ),
        (
            FORM,
            "url=https://a.example/&basic_user=a:b",
            "basic_user: must be at most 256 characters without colons",
        ),
        (
            FORM,
            "url=https://a.example/&secret=x",
            "secret: is not a field of this call",
        ),
        (
            FORM,
            "url=https://a.example/&eventNames=ALL",
            "eventNames: is not a field of this call: did you mean event_names?",
        ),
    ] {
        let faults = create(content_type, body).err().unwrap_or_default();
        assert_eq!(faults.len(), 1, "{body}: {faults:?}");
        assert!(faults[0].starts_with(part), "{body}: {faults:?}");
    }
    let long = format!(
        "url=https://a.example/&basic_user={}&basic_password={}",
        "u".repeat(256),
        "p".repeat(257)
    );
    assert_eq!(create(FORM, &long).err().unwrap_or_default().len(), 1);
}

#[test]
fn a_change_keeps_what_it_does_not_name() {
    let (mut now, mut settings) = (
        endpoint(),
        create(FORM, &format!("url={URL}&basic_user=u&basic_password=p"))
            .ok()
            .unwrap()
            .settings(),
    );
    let secret = settings.secret.clone();
    let nothing = change("{}").ok().unwrap();
    assert!(nothing.apply(&mut now, &mut settings).is_empty());
    let before = endpoint();
    assert_eq!(
        (now.payload, now.concurrency, now.calls_per_second),
        (before.payload, before.concurrency, before.calls_per_second)
    );
    assert_eq!(now.event_names, before.event_names);
    let all = r#"{"url":"https://b.example/?token=t","event_names":["ALL"],"payload":"MASKED","is_ordered":true,"concurrency":8,
        "calls_per_second":0,"signature":"v1a","basic_user":""}"#;
    let all = change(all).unwrap_or_else(|faults| panic!("{faults:?}"));
    assert_eq!(
        all.apply(&mut now, &mut settings),
        ["signing_key", "credentials"]
    );
    assert_eq!(
        (now.url.as_str(), settings.url.as_str()),
        ("https://b.example/?***", "https://b.example/?token=t")
    );
    assert!(now.event_names.is_empty() && now.is_ordered && settings.credentials.is_none());
    assert_eq!(
        (now.payload, now.concurrency, now.calls_per_second),
        (Payload::Masked, 8, None)
    );
    let key = settings.signing_key.clone().unwrap();
    // The same again changes nothing; the key stays.
    assert!(all.apply(&mut now, &mut settings).is_empty());
    assert_eq!(settings.signing_key.as_ref(), Some(&key));
    let other = change(r#"{"url":"https://b.example/?token=u"}"#)
        .ok()
        .unwrap();
    assert_eq!(other.apply(&mut now, &mut settings), ["url"]);
    assert_eq!(settings.url, "https://b.example/?token=u");
    let v1 = change(r#"{"signature":"v1"}"#).ok().unwrap();
    assert_eq!(v1.apply(&mut now, &mut settings), ["signing_key"]);
    assert_eq!(settings.signing_key, None);
    assert_eq!(settings.secret, secret);
}

#[test]
fn a_replaced_secret_signs_until_its_time() {
    let mut settings = create(FORM, &format!("url={URL}")).ok().unwrap().settings();
    let now = DateTime::from_timestamp(1_686_058_100, 0).unwrap();
    for (body, hours) in [
        ("", Some(24)),
        ("previous_secret_hours=168", Some(168)),
        ("previous_secret_hours=0", None),
    ] {
        let before = settings.secret.clone();
        let body = decode(Some(FORM), body.as_bytes()).unwrap();
        let new = NewSecret::read(&body, now).unwrap();
        assert_eq!(new.apply(&mut settings).ok().unwrap(), ["secret"]);
        assert_ne!(settings.secret, before);
        let previous = settings.previous.as_ref();
        let kept = previous.map(|previous| (previous.secret.as_str(), previous.until));
        assert_eq!(
            kept,
            hours.map(|hours| (before.as_str(), now + TimeDelta::hours(hours)))
        );
    }
    let body = decode(Some(FORM), b"previous_secret_hours=169").unwrap();
    assert!(NewSecret::read(&body, now).is_err());
}

#[test]
fn a_key_pair_is_replaced_in_place_of_the_secret() {
    let now = Utc::now();
    let read = |body: &str| {
        let body = decode(Some(FORM), body.as_bytes()).unwrap();
        NewSecret::read(&body, now)
    };
    let new = read("signature=v1a&previous_secret_hours=48").unwrap();
    let body = format!("url={URL}");
    let mut settings = create(FORM, &body).unwrap().settings();
    let problems = faults(new.apply(&mut settings).unwrap_err());
    assert!(
        problems[0].starts_with("signature: must be v1"),
        "{problems:?}"
    );
    let mut settings = create(FORM, &format!("{body}&signature=v1a"))
        .unwrap()
        .settings();
    let before = settings.clone();
    assert_eq!(new.apply(&mut settings).ok().unwrap(), ["signing_key"]);
    assert_eq!(settings.secret, before.secret);
    assert_ne!(settings.signing_key, before.signing_key);
    let previous = settings.previous_signing_key.as_ref().unwrap();
    assert_eq!(Some(&previous.secret), before.signing_key.as_ref());
    assert_eq!(previous.until, now + TimeDelta::hours(48));
    assert!(read("signature=v2").is_err());
    // Without v1a no key pair is left.
    let v1 = change(r#"{"signature":"v1"}"#).unwrap();
    assert_eq!(v1.apply(&mut endpoint(), &mut settings), ["signing_key"]);
    assert!(settings.signing_key.is_none() && settings.previous_signing_key.is_none());
}

#[test]
fn a_call_without_fields_refuses_every_field() {
    assert!(read_nothing(&Map::new()).is_ok());
    let body = decode(Some(FORM), b"command=delete").unwrap();
    let faults = faults(read_nothing(&body).unwrap_err());
    assert_eq!(
        faults,
        ["command: is not a field of this call, which has none"]
    );
}
