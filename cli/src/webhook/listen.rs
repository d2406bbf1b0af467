//! `khata webhook listen`: for a developer, who has a key of the API and a program on the same machine.

mod api;

use std::fs::File;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use chrono::{DateTime, SubsecRound, Utc};
use khata_crypto::{ApiKey, secret_buf};
use khata_domain::events::{EventId, EventName};
use khata_webhooks::{
    CallError, DeliveryRequest, EndpointUrl, OutgoingMessage, WebhookClient, WebhookSecret,
    WebhookSecrets,
};
use serde_json::{Value, json};

use crate::options::{parse_event, parse_event_name};
use crate::output::{clean, note, print, time};
use crate::times::parse_past;
use api::{After, Api, FetchError, Listed};

/// Maximum size of a file with a key.
const MAX_KEY: usize = 1024;
/// Pause after the newest event was read.
const POLL_INTERVAL: Duration = Duration::from_secs(1);
/// Pause after a call of the API that failed for a time.
const ERROR_PAUSE: Duration = Duration::from_secs(3);

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Listen {
    /// Address of the API
    #[arg(long, env = "KHATA_API_URL", value_name = "URL")]
    api: String,
    /// File with an API key, `-` for standard input; the scope read is enough
    #[arg(long, value_name = "FILE")]
    key_file: PathBuf,
    /// Address of the program that gets the events, on this machine: http://localhost:3000/webhooks
    #[arg(long, value_name = "URL", value_parser = parse_target)]
    forward_to: EndpointUrl,
    /// Secret that signs the requests, whsec_…; without it the command generates one and prints it
    #[arg(long, env = "KHATA_WEBHOOK_SECRET", hide_env_values = true)]
    secret: Option<String>,
    /// Only events of these types
    #[arg(long = "type", value_name = "EVENT,…", value_delimiter = ',', value_parser = parse_event_name)]
    event_names: Vec<EventName>,
    /// Begin with the events since then, instead of now: 2h (also 30m, 7d), "2026-11-29 15:30 IST", or a time in RFC 3339
    #[arg(long, value_name = "TIME", value_parser = parse_past)]
    since: Option<DateTime<Utc>>,
    /// Begin behind this event, instead of now
    #[arg(long, value_name = "EVENT", value_parser = parse_event, conflicts_with = "since")]
    after: Option<EventId>,
}

fn parse_target(text: &str) -> Result<EndpointUrl, String> {
    // The developer's machine is a sandbox: http and loopback addresses.
    EndpointUrl::parse(text, true).map_err(|error| error.to_string())
}

impl Listen {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let secret = match &self.secret {
            Some(secret) => WebhookSecret::parse(secret).context("--secret")?,
            None => WebhookSecret::generate_symmetric(),
        };
        let first = if self.secret.is_none() {
            let text = format!("The secret of this session: {}", secret.expose().as_str());
            Some((json!({ "secret": secret.expose().as_str() }), text))
        } else {
            None
        };
        let api = Api::new(&self.api, self.key()?, &self.event_names)?;
        if let Some((document, text)) = first {
            print(&document, &text)?;
        }
        let target = Target {
            client: WebhookClient::new(true)?,
            url: self.forward_to.clone(),
            secrets: WebhookSecrets::new(secret, Vec::new()),
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        runtime.block_on(self.forward(&api, &target))
    }

    fn key(&self) -> anyhow::Result<ApiKey> {
        let path = &self.key_file;
        let bytes = if path.as_os_str() == "-" {
            secret_buf::read(std::io::stdin(), MAX_KEY)?
        } else {
            let file =
                File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
            secret_buf::read(file, MAX_KEY)?
        };
        let key = bytes.as_ref().and_then(|bytes| {
            let text = std::str::from_utf8(bytes).ok()?;
            ApiKey::parse(text.trim())
        });
        key.context("--key-file holds no API key: one line, kh_live_… or kh_test_…")
    }

    /// Reads events and posts them, until the API refuses the calls.
    async fn forward(&self, api: &Api, target: &Target) -> anyhow::Result<()> {
        let mut after = match (self.after, self.since) {
            (Some(event), _) => After::Event(event),
            (None, Some(_)) => After::Beginning,
            (None, None) => After::Latest,
        };
        // Both in whole seconds.
        let mut since = self.since.map(|since| since.trunc_subsecs(0));
        let (mut is_waiting, mut skipped) = (false, 0_u64);
        loop {
            let page = match api.events(after).await {
                Ok(page) => page,
                Err(FetchError::Refused(why)) => bail!(why),
                Err(FetchError::Failed(why)) => {
                    note(&format!("{why}; trying again"));
                    tokio::time::sleep(ERROR_PAUSE).await;
                    continue;
                }
            };
            for event in &page.events {
                if since.is_some_and(|since| event.date_created < since) {
                    skipped += 1;
                    continue;
                }
                since = None;
                let (document, text) = target.post(event).await?;
                print(&document, &text)?;
            }
            // The merchant has no events yet if there is no cursor.
            after = page.cursor.map_or(After::Beginning, After::Event);
            if !page.has_more {
                if !is_waiting {
                    is_waiting = true;
                    let more = match (self.after, self.since) {
                        (None, None) => "; --since or --after begins earlier".to_owned(),
                        (None, Some(_)) => format!("; {skipped} older ones were skipped"),
                        (Some(_), _) => String::new(),
                    };
                    note(&format!("waiting for events{more}"));
                }
                since = None;
                tokio::time::sleep(POLL_INTERVAL).await;
            }
        }
    }
}

/// The program that gets the events.
struct Target {
    client: WebhookClient,
    url: EndpointUrl,
    secrets: WebhookSecrets,
}

impl Target {
    /// Posts an event. Returns what happened, as JSON and as a line.
    async fn post(&self, event: &Listed) -> anyhow::Result<(Value, String)> {
        let id = event.id.to_string();
        let message = OutgoingMessage::new(&id, Utc::now(), event.body.clone().into())?;
        let request = DeliveryRequest {
            message: &message,
            attempt: 1,
            secrets: &self.secrets,
            credentials: None,
        };
        let began = Instant::now();
        let result = self.client.send(&self.url, &request).await;
        let duration_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        let (status, failure) = match &result {
            Ok(reply) => (Some(reply.status), reply.failure()),
            Err(error) => (None, Some(error.clone())),
        };
        let outcome = match (&failure, status) {
            (None, Some(status)) => status.to_string(),
            (Some(error), Some(status)) => {
                let excerpt = result.as_ref().map_or("", |reply| reply.excerpt.as_str());
                format!("{status}, {}: {error}; the reply: {excerpt}", error.word())
            }
            (Some(error @ CallError::Refused), None) => {
                let (host, port) = (self.url.host(), self.url.port());
                format!(
                    "{}: nothing listens on {host}:{port}: start your receiver",
                    error.word()
                )
            }
            (Some(error), None) => format!("{}: {error}", error.word()),
            (None, None) => String::new(),
        };
        let name = &event.event_name;
        let line = format!(
            "{} {id} {name}{} -> {} ({duration_ms} ms)",
            time(Utc::now()),
            event.subject(),
            clean(&outcome)
        );
        let document = json!({
            "event_id": id,
            "event_name": name,
            "status": status,
            "failure": failure.map(|error| error.word()),
            "duration_ms": duration_ms,
        });
        Ok((document, line))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_target_is_on_this_machine_or_public() {
        for url in [
            "http://localhost:3000/hooks",
            "http://127.0.0.1:8080",
            "https://hooks.example/",
        ] {
            assert!(parse_target(url).is_ok(), "{url}");
        }
        for url in [
            "localhost:3000",
            "http://10.0.0.1:3000/",
            "ftp://localhost/",
        ] {
            assert!(parse_target(url).is_err(), "{url}");
        }
    }
}
