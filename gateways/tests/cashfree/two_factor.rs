//! The signature that replaces the IP allow-list.

use chrono::Utc;
use data_encoding::BASE64;
use khata_domain::Gateway;
use khata_gateways::{ConfigError, Connector};
use rsa::pkcs8::{EncodePublicKey, LineEnding};
use rsa::{Oaep, PrivateKey};
use serde_json::json;
use sha1::Sha1;

use crate::scripted::ScriptedServer;
use crate::support::connector;

/// The shortest key that the crate makes, quickly even in a debug build.
const BITS: usize = 1024;

fn pem(key: &PrivateKey) -> String {
    let key = key.to_public_key();
    key.to_public_key_pem(LineEnding::LF).unwrap()
}

fn cashfree(
    base_url: &str,
    client_id: &str,
    public_key: &str,
) -> Result<Box<dyn Connector>, ConfigError> {
    let credentials =
        json!({"client_id": client_id, "client_secret": "secret", "public_key": public_key});
    connector(Gateway::Cashfree, base_url, &credentials, &json!({}))
}

#[tokio::test]
async fn calls_are_signed_and_the_signature_is_reused() {
    let key = PrivateKey::new(&mut rand::rng(), BITS).unwrap();
    let server = ScriptedServer::responding(404, "", "{}").await;
    let cashfree = cashfree(&server.origin, "sandbox_client", &pem(&key)).unwrap();
    for _ in 0..2 {
        cashfree.check().await.unwrap();
    }
    let signatures: Vec<String> = server
        .requests()
        .iter()
        .map(|request| {
            let line = request
                .lines()
                .find(|line| line.starts_with("x-cf-signature: "));
            line.unwrap()["x-cf-signature: ".len()..].to_owned()
        })
        .collect();
    assert!(signatures.len() == 2 && signatures[0] == signatures[1]);
    let encrypted = BASE64.decode(signatures[0].as_bytes()).unwrap();
    let text = key.decrypt(Oaep::<Sha1>::new(), &encrypted).unwrap();
    let text = String::from_utf8(text).unwrap();
    let (client, time) = text.rsplit_once('.').unwrap();
    assert_eq!(client, "sandbox_client");
    let age = Utc::now().timestamp() - time.parse::<i64>().unwrap();
    assert!((0..60).contains(&age), "{time}");
}

#[tokio::test]
async fn without_a_public_key_nothing_is_signed() {
    let server = ScriptedServer::responding(404, "", "{}").await;
    let cashfree = super::cashfree(&server.origin, "secret", &json!({}));
    cashfree.check().await.unwrap();
    assert!(!server.request().0.contains("x-cf-signature"));
}

#[test]
fn an_invalid_public_key_is_a_configuration_error() {
    let key = PrivateKey::new(&mut rand::rng(), BITS).unwrap();
    let pem = pem(&key);
    let base_url = "http://127.0.0.1:9";
    assert!(cashfree(base_url, "client", &format!("\n{pem}\n")).is_ok());
    let long_client = "c".repeat(90);
    for (client, key) in [
        ("client", ""),
        ("client", "secret"),
        ("client", &pem[..pem.len() / 2]),
        (&long_client, &pem),
    ] {
        let refused = cashfree(base_url, client, key).err().unwrap();
        let text = refused.to_string();
        assert!(matches!(refused, ConfigError::Credentials(_)), "{text}");
        assert!(
            text.contains("public_key") && !text.contains("MII"),
            "{text}"
        );
    }
}
