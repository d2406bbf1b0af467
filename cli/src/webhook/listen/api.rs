//! `GET /events` of the API.

use std::error::Error;
use std::time::Duration;

use anyhow::Context;
use chrono::{DateTime, Utc};
use khata_crypto::ApiKey;
use khata_domain::events::{EventId, EventName};
use reqwest::{StatusCode, Url};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::output::clean;

/// Time-out of a call.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Events of a page; the API allows no more.
const LIMIT: &str = "100";

/// The API, called with a merchant's key.
pub(super) struct Api {
    http: reqwest::Client,
    url: Url,
    key: ApiKey,
}

/// Begin of a page of events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum After {
    /// The oldest event that is kept.
    Beginning,
    /// The event behind this one.
    Event(EventId),
    /// The event behind the newest one of this moment.
    Latest,
}

/// An event as the API lists it.
#[derive(Debug)]
pub(super) struct Listed {
    pub(super) id: EventId,
    pub(super) event_name: String,
    pub(super) date_created: DateTime<Utc>,
    /// The bytes that a webhook endpoint with the payload FULL gets.
    pub(super) body: String,
}

pub(super) struct Page {
    pub(super) events: Vec<Listed>,
    pub(super) has_more: bool,
    /// The event that the next page follows; `None`: there are no events.
    pub(super) cursor: Option<EventId>,
}

/// Why there is no page.
#[derive(Debug)]
pub(super) enum FetchError {
    /// The same call would be refused again.
    Refused(String),
    /// A later call may succeed.
    Failed(String),
}

#[derive(Deserialize)]
struct Reply {
    list: Vec<Box<RawValue>>,
    has_more: bool,
    cursor: Option<String>,
}

#[derive(Deserialize)]
struct Head {
    id: String,
    event_name: String,
    date_created: DateTime<Utc>,
}

impl Api {
    pub(super) fn new(url: &str, key: ApiKey, names: &[EventName]) -> anyhow::Result<Self> {
        let mut url = Url::parse(url).context("--api is not a URL: https://host")?;
        url.path_segments_mut()
            .ok()
            .context("--api is not a URL: https://host")?
            .pop_if_empty()
            .push("events");
        url.query_pairs_mut().append_pair("limit", LIMIT);
        if !names.is_empty() {
            let names: Vec<&str> = names.iter().map(|name| name.as_str()).collect();
            url.query_pairs_mut().append_pair("types", &names.join(","));
        }
        let http = khata_gateways::client()?;
        Ok(Self { http, url, key })
    }

    /// Reads the events that follow, the oldest first.
    pub(super) async fn events(&self, after: After) -> Result<Page, FetchError> {
        let mut url = self.url.clone();
        let after = match after {
            After::Beginning => None,
            After::Event(event) => Some(event.to_string()),
            After::Latest => Some("latest".to_owned()),
        };
        if let Some(after) = after {
            url.query_pairs_mut().append_pair("after", &after);
        }
        let request = self.http.get(url).timeout(TIMEOUT);
        let request = request.basic_auth(self.key.expose(), Some(""));
        let failed = |error: reqwest::Error| {
            FetchError::Failed(format!(
                "cannot read events from the API: {}",
                chain(&error)
            ))
        };
        let response = request.send().await.map_err(failed)?;
        let status = response.status();
        let body = response.text().await.map_err(failed)?;
        if status == StatusCode::OK {
            return page(&body).ok_or_else(|| {
                FetchError::Refused("the reply is no list of events: check --api".into())
            });
        }
        let why = format!("the API replied {status}: {}", explanation(&body));
        let is_for_now = status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS;
        Err(if is_for_now {
            FetchError::Failed(why)
        } else {
            FetchError::Refused(why)
        })
    }
}

impl Listed {
    /// Returns ` banh_… version 2`, or nothing for an event about an endpoint.
    pub(super) fn subject(&self) -> String {
        let event: Value = serde_json::from_str(&self.body).unwrap_or_default();
        let account = &event["content"]["customer_account"];
        match (account["id"].as_str(), account["version"].as_i64()) {
            (Some(id), Some(version)) => format!(" {} version {version}", clean(id)),
            _ => String::new(),
        }
    }
}

/// Parses a list of events; keeps the bytes of each.
fn page(body: &str) -> Option<Page> {
    let list: Reply = serde_json::from_str(body).ok()?;
    let events = list.list.into_iter().map(|raw| {
        let head: Head = serde_json::from_str(raw.get()).ok()?;
        Some(Listed {
            id: EventId::parse(&head.id)?,
            event_name: head.event_name,
            date_created: head.date_created,
            body: raw.get().to_owned(),
        })
    });
    let cursor = list.cursor.as_deref().map(EventId::parse);
    Some(Page {
        events: events.collect::<Option<_>>()?,
        has_more: list.has_more,
        // A cursor that is no id is no list of events.
        cursor: cursor.map_or(Some(None), |event| event.map(Some))?,
    })
}

/// Returns the API's explanation of an error.
fn explanation(body: &str) -> String {
    let error: Value = serde_json::from_str(body).unwrap_or_default();
    let info = &error["error_info"];
    let texts = [&info["developer_message"], &error["error_message"]];
    let text = texts.iter().find_map(|text| text.as_str());
    clean(text.unwrap_or("check --api"))
}

/// Returns the error with its causes: reqwest's own text leaves them out.
fn chain(error: &reqwest::Error) -> String {
    let first: &(dyn Error + 'static) = error;
    let causes = std::iter::successors(Some(first), |error| (*error).source());
    let texts: Vec<String> = causes.map(ToString::to_string).collect();
    texts.join(": ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_may_have_a_path_and_a_slash() {
        let key = || ApiKey::parse("kh_test_key").unwrap();
        for (url, called) in [
            (
                "https://khata.example",
                "https://khata.example/events?limit=100",
            ),
            (
                "https://khata.example/",
                "https://khata.example/events?limit=100",
            ),
            (
                "http://127.0.0.1:8080/khata/",
                "http://127.0.0.1:8080/khata/events?limit=100",
            ),
        ] {
            assert_eq!(Api::new(url, key(), &[]).unwrap().url.as_str(), called);
        }
        let names = [EventName::Active, EventName::Failure];
        let api = Api::new("https://khata.example", key(), &names).unwrap();
        assert_eq!(
            api.url.query(),
            Some("limit=100&types=CUSTOMER_ACCOUNT_ACTIVE%2CCUSTOMER_ACCOUNT_FAILURE")
        );
        assert!(Api::new("khata", key(), &[]).is_err());
        assert!(Api::new("mailto:a@b.example", key(), &[]).is_err());
    }

    #[test]
    fn an_event_keeps_its_bytes() {
        // Blanks, an escape and the order of the members: a parsed and rewritten body would differ.
        let event = r#"{"id":"evt_01k82u7s7aeqraoh1tia1a3hc8", "event_name":"CUSTOMER_ACCOUNT_ACTIVE","date_created":"2026-11-29T10:00:00Z",
            "content":{"customer_account":{"version":3,"id":"banh_1","name":"\u0906"}}}"#;
        let cursor = "evt_01k82u7s7aeqraoh1tia1a3hc8";
        let body = format!(
            r#"{{"object":"list","count":1,"has_more":true,"cursor":"{cursor}","list":[{event}]}}"#
        );
        let page = page(&body).unwrap();
        assert!(page.has_more);
        assert_eq!(page.cursor, EventId::parse(cursor));
        assert_eq!(page.events[0].body, event);
        assert_eq!(page.events[0].subject(), " banh_1 version 3");
        for body in [
            "",
            "{}",
            r#"{"has_more":false,"list":[{"id":"evt_1"}]}"#,
            r#"{"has_more":false,"cursor":"evt_1","list":[]}"#,
        ] {
            assert!(super::page(body).is_none(), "{body}");
        }
    }

    #[test]
    fn a_refusal_is_explained() {
        let body = r#"{"error_message":"m","error_info":{"developer_message":"Invalid API Key."}}"#;
        assert_eq!(explanation(body), "Invalid API Key.");
        assert_eq!(explanation("<html>"), "check --api");
    }
}
