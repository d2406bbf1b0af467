//! The span of a call.

use std::io;
use std::sync::{Arc, Mutex};

use khata_webhooks::WebhookClient;
use tracing::{Instrument, Level};
use tracing_subscriber::fmt::format::FmtSpan;

use crate::receiver::{Behaviour, Receiver};
use crate::{send, url};

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_span_holds_the_host_and_no_token() {
    let reply = Behaviour::reply("500 Oops", "", "reply-of-the-merchant");
    let receiver = Receiver::http(reply).await;
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(Level::TRACE)
        .with_span_events(FmtSpan::CLOSE)
        .with_writer(move || writer.clone())
        .finish();
    let guard = tracing::subscriber::set_default(subscriber);
    let url = url(&receiver.url("/path-token?key=query-token"));
    let client = WebhookClient::new(true).unwrap();
    let failed = WebhookClient::new(false).unwrap();
    let calls = async {
        send(&client, &url).await.unwrap();
        send(&failed, &url).await.unwrap_err();
    };
    calls.instrument(tracing::info_span!("delivery")).await;
    drop(guard);

    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    for shown in [
        "webhook call",
        "127.0.0.1",
        &receiver.address.port().to_string(),
        "http.response.status_code=500",
        r#"error.type="status""#,
        r#"error.type="forbidden_url""#,
    ] {
        assert!(log.contains(shown), "{shown} is missing: {log}");
    }
    for hidden in [
        "path-token",
        "query-token",
        "reply-of-the-merchant",
        "v1,",
        "amount",
    ] {
        assert!(!log.contains(hidden), "{hidden}: {log}");
    }
}
