//! Settings and credentials of a Setu account.

use khata_domain::Gateway;
use khata_gateways::ConfigError;
use serde_json::{Value, json};

use super::{ULID, credentials, setu};
use crate::scripted::ScriptedServer;
use crate::support::{call, connector, reference, upi};

fn error(credentials: &Value, settings: &Value) -> Option<ConfigError> {
    connector(Gateway::Setu, "https://setu.example", credentials, settings).err()
}

#[tokio::test]
async fn credentials_must_be_complete_and_are_never_shown() {
    assert_eq!(error(&credentials(), &json!({})), None);
    let with = |name: &str, value: Value| {
        let mut credentials = credentials();
        credentials[name] = value;
        credentials
    };
    let merchant = |umap: Value| {
        let mut umap = umap;
        umap["merchant_id"] = ULID.into();
        with("umap", umap)
    };
    for bad in [
        json!({}),
        json!({"client_id": "a", "client_secret": "hush"}),
        with("other", "hush".into()),
        with("client_secret", "hush\r\nx-other: b".into()),
        with("product_instance_id", "आशा".into()),
        with("umap", json!({"token": "hush"})),
        merchant(json!({})),
        merchant(json!({"token": ""})),
        merchant(json!({"token": "hush\n"})),
        merchant(json!({"client_id": "hush"})),
        merchant(json!({"client_id": "a", "client_secret": "b", "token": "hush"})),
    ] {
        let error = error(&bad, &json!({})).unwrap();
        assert!(matches!(error, ConfigError::Credentials(_)), "{bad}");
        assert!(!error.to_string().contains("hush"), "{error}");
    }
    for good in [
        json!({"client_id": "a", "client_secret": "b", "product_instance_id": "c"}),
        merchant(json!({"client_id": "a", "client_secret": "b"})),
    ] {
        assert_eq!(error(&good, &json!({})), None);
    }
}

#[tokio::test]
async fn settings_are_checked() {
    for good in [
        json!({"bank_flow": "sync", "methods": ["VPA_LOOKUP"], "poll_ms": [1]}),
        json!({"umap_base_url": "https://umap.example/", "umap_login_url": "https://login.example/x"}),
        json!({"narration": "x".repeat(50)}),
        json!({"methods": ["PENNILESS"]}),
    ] {
        assert_eq!(error(&credentials(), &good), None, "{good}");
    }
    for bad in [
        json!({"umap_url": "https://umap.example"}),
        json!({"umap_base_url": "ftp://umap.example"}),
        json!({"umap_base_url": "https://user:hush@umap.example"}),
        json!({"umap_login_url": "login"}),
        json!({"narration": ""}),
        json!({"narration": "Asha's rupee"}),
        json!({"narration": "x".repeat(51)}),
        json!({"methods": ["PENILESS"]}),
    ] {
        let error = error(&credentials(), &bad).unwrap();
        assert!(matches!(error, ConfigError::Settings(_)), "{bad}");
    }
}

#[tokio::test]
async fn the_address_of_umap_can_be_set() {
    let server = ScriptedServer::responding(200, "", r#"{"status":"valid"}"#).await;
    let settings = json!({"umap_base_url": format!("{}/elsewhere/", server.origin)});
    let setu = setu("http://127.0.0.1:9", &settings);
    let (details, reference) = (upi("asha@okhdfc"), reference());
    let call = call(setu.as_ref(), &reference, &details, None);
    setu.verify(&call).await.unwrap();
    let (head, _) = server.request();
    assert!(
        head.starts_with("post /elsewhere/api/v1/merchants/customer-vpas/verify "),
        "{head}"
    );
}
