//! Settings and credentials of a Decentro account.

use std::time::Duration;

use khata_domain::Gateway;
use khata_gateways::{ConfigError, ConnectorConfig, connect};
use serde_json::{Value, json};

use super::credentials;

fn error(credentials: &Value, settings: &Value, sandbox_mode: bool) -> Option<ConfigError> {
    let credentials = credentials.to_string();
    let config = ConnectorConfig {
        base_url: None,
        credentials: Some(credentials.as_bytes()),
        settings,
        http: &khata_gateways::client().unwrap(),
        sandbox_mode,
        longest_call: Duration::from_secs(14),
    };
    connect(Gateway::Decentro, &config).err()
}

#[tokio::test]
async fn credentials_must_be_complete_and_are_never_shown() {
    for bad in [
        json!({}),
        json!({"client_id": "hush"}),
        json!({"client_id": "a", "client_secret": "hush", "module_secret": "hush"}),
        json!({"client_id": "a", "client_secret": "hush\r\nx-other: b"}),
    ] {
        let error = error(&bad, &json!({}), true).unwrap();
        assert!(matches!(error, ConfigError::Credentials(_)), "{bad}");
        assert!(!error.to_string().contains("hush"), "{error}");
    }
}

#[tokio::test]
async fn settings_are_checked() {
    for good in [
        json!({}),
        json!({"purpose_message": "12345"}),
        json!({"purpose_message": "x".repeat(255)}),
        json!({"hybrid": true, "methods": ["PENNY_DROP", "PENNILESS"]}),
        json!({"calls_per_minute": 30}),
    ] {
        assert_eq!(error(&credentials(), &good, true), None, "{good}");
    }
    for bad in [
        json!({"purpose": "of another name"}),
        json!({"purpose_message": "1234"}),
        json!({"purpose_message": "x".repeat(256)}),
        json!({"purpose_message": "Asha's rupee"}),
        json!({"consumer_urn": ""}),
        json!({"consumer_urn": "a b"}),
        json!({"hybrid": true, "methods": ["PENNILESS"]}),
        json!({"methods": ["VPA_LOOKUP"]}),
        json!({"methods": []}),
    ] {
        let error = error(&credentials(), &bad, true).unwrap();
        assert!(matches!(error, ConfigError::Settings(_)), "{bad}");
    }
}

#[tokio::test]
async fn only_sandbox_mode_has_a_default_consumer() {
    let own = json!({"consumer_urn": "4ac34260a0e34e4f82069e85b4a881fe"});
    assert_eq!(error(&credentials(), &own, false), None);
    let error = error(&credentials(), &json!({}), false).unwrap();
    assert!(error.to_string().contains("consumer_urn"), "{error}");
}
