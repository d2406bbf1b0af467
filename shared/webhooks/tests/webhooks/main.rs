//! Webhooks over real connections, to receivers on this machine.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod addresses;
mod calls;
mod receiver;
mod signatures;
mod spans;

use std::sync::LazyLock;

use bytes::Bytes;
use chrono::Utc;
use khata_webhooks::{
    CallError, DeliveryRequest, EndpointReply, EndpointUrl, OutgoingMessage, WebhookClient,
    WebhookSecret, WebhookSecrets,
};

/// A body that JSON libraries would write in another way.
const BODY: &str = "{ \"id\":\"evt_1\",\"amount\":1.00,\n \"name\":\"\\u0905 अ\" }";

static SECRETS: LazyLock<WebhookSecrets> =
    LazyLock::new(|| WebhookSecrets::new(WebhookSecret::generate_symmetric(), Vec::new()));

/// Parses a URL of sandbox mode.
fn url(text: &str) -> EndpointUrl {
    EndpointUrl::parse(text, true).unwrap()
}

fn message() -> OutgoingMessage {
    OutgoingMessage::new("evt_1", Utc::now(), Bytes::from_static(BODY.as_bytes())).unwrap()
}

/// Sends a first attempt.
async fn send(client: &WebhookClient, url: &EndpointUrl) -> Result<EndpointReply, CallError> {
    let request = DeliveryRequest {
        message: &message(),
        attempt: 1,
        secrets: &SECRETS,
        credentials: None,
    };
    client.send(url, &request).await
}
