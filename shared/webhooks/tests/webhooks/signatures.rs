//! Signatures as the published library verifies them.

use bytes::Bytes;
use chrono::Utc;
use khata_webhooks::{
    BasicCredentials, DeliveryRequest, OutgoingMessage, WebhookClient, WebhookSecret,
    WebhookSecrets,
};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use standardwebhooks::Webhook;

use crate::receiver::{Behaviour, Received, Receiver};
use crate::{BODY, message, url};

fn headers(arrived: &Received) -> HeaderMap {
    let lines = arrived.head.lines().skip(1);
    lines
        .map(|line| {
            let (name, value) = line.split_once(": ").unwrap();
            let name: HeaderName = name.parse().unwrap();
            (name, HeaderValue::from_str(value).unwrap())
        })
        .collect()
}

#[tokio::test]
async fn the_published_library_verifies_each_secret_of_a_rotation() {
    let mut receiver = Receiver::http(Behaviour::reply("200 OK", "", "")).await;
    let url = url(&receiver.url("/hooks"));
    let client = WebhookClient::new(true).unwrap();
    let (newest, older) = (
        WebhookSecret::generate_symmetric(),
        WebhookSecret::generate_symmetric(),
    );
    let verifiers = [&newest, &older].map(|secret| Webhook::new(&secret.expose()).unwrap());
    let secrets = WebhookSecrets::new(newest, vec![WebhookSecret::generate_asymmetric(), older]);
    let credentials = BasicCredentials::new("khata", "password").unwrap();
    for attempt in [1, 2] {
        let request = DeliveryRequest {
            message: &message(),
            attempt,
            secrets: &secrets,
            credentials: Some(&credentials),
        };
        assert_eq!(client.send(&url, &request).await.unwrap().status, 200);
        let arrived = receiver.received().await;
        let headers = headers(&arrived);
        for verifier in &verifiers {
            verifier.verify(&arrived.body, &headers).unwrap();
            assert!(
                verifier
                    .verify(BODY.trim_end_matches('}').as_bytes(), &headers)
                    .is_err()
            );
        }
        let stranger = Webhook::new(&WebhookSecret::generate_symmetric().expose()).unwrap();
        assert!(stranger.verify(&arrived.body, &headers).is_err());
        assert_eq!(arrived.header("webhook-id"), Some("evt_1"));
        assert_eq!(
            arrived.header("khata-attempt"),
            Some(attempt.to_string().as_str())
        );
        assert_eq!(
            arrived.header("authorization"),
            Some("Basic a2hhdGE6cGFzc3dvcmQ=")
        );
    }
}

#[tokio::test]
async fn the_published_library_refuses_an_old_webhook() {
    let mut receiver = Receiver::http(Behaviour::reply("200 OK", "", "")).await;
    let secret = WebhookSecret::generate_symmetric();
    let verifier = Webhook::new(&secret.expose()).unwrap();
    let secrets = WebhookSecrets::new(secret, Vec::new());
    let sent_at = Utc::now() - chrono::TimeDelta::minutes(6);
    let old = OutgoingMessage::new("evt_1", sent_at, Bytes::from_static(BODY.as_bytes())).unwrap();
    let request = DeliveryRequest {
        message: &old,
        attempt: 1,
        secrets: &secrets,
        credentials: None,
    };
    let client = WebhookClient::new(true).unwrap();
    client
        .send(&url(&receiver.url("/")), &request)
        .await
        .unwrap();
    let arrived = receiver.received().await;
    let refused = verifier
        .verify(&arrived.body, &headers(&arrived))
        .unwrap_err();
    assert!(refused.to_string().contains("too old"), "{refused}");
}
