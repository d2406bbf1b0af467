//! Outgoing webhooks, by the Standard Webhooks specification 1.0.0
//! (https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md): what Khata sends to an
//! endpoint, when it tries again, and the client that sends it.
//!
//! Merchants choose the URLs. The client therefore connects to public addresses only, so that no URL reaches a service in
//! Khata's own network, and reads little of a reply.

mod address;
mod call_error;
mod client;
mod connector;
mod endpoint_url;
mod reply;
mod request;
mod resolver;
mod schedule;
mod signature;

pub use address::AddressError;
pub use call_error::CallError;
pub use client::{CALL_TIMEOUT, MAX_BODY, WebhookClient};
pub use connector::{CONNECT_TIMEOUT, MAX_REPLY};
pub use endpoint_url::{EndpointUrl, MAX_URL_LENGTH, UrlError};
pub use reply::{EXCERPT_LENGTH, EndpointReply};
pub use request::{
    ATTEMPT_HEADER, BasicCredentials, CredentialsError, DeliveryRequest, ID_HEADER,
    SIGNATURE_HEADER, TIMESTAMP_HEADER,
};
pub use schedule::{AfterAttempt, LAST_ATTEMPT, MAX_RETRY_AFTER, after_attempt};
pub use signature::{
    MessageIdError, OutgoingMessage, SecretError, WebKey, WebhookSecret, WebhookSecrets,
};
