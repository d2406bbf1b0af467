//! The addresses that a call connects to.

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use khata_webhooks::{
    CALL_TIMEOUT, CONNECT_TIMEOUT, CallError, EndpointUrl, UrlError, WebhookClient,
};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use tokio::net::TcpListener;

use crate::receiver::{Behaviour, Receiver};
use crate::{send, url};

/// A name server with planned answers: the addresses of one answer have spaces between them. An empty list of answers, or an
/// answer without addresses, is the error of a name that does not exist.
#[derive(Default)]
struct Answers(Mutex<VecDeque<&'static str>>);

impl Answers {
    fn new(answers: &[&'static str]) -> Arc<Self> {
        Arc::new(Self(Mutex::new(answers.iter().copied().collect())))
    }

    /// Number of answers that the client has not requested yet.
    fn left(&self) -> usize {
        self.0.lock().unwrap().len()
    }
}

impl Resolve for Answers {
    fn resolve(&self, _: Name) -> Resolving {
        let answer = self.0.lock().unwrap().pop_front().unwrap_or_default();
        Box::pin(async move {
            let addresses: Vec<SocketAddr> = answer
                .split_whitespace()
                .map(|address| SocketAddr::new(address.parse::<IpAddr>().unwrap(), 1))
                .collect();
            if addresses.is_empty() {
                return Err(io::Error::other("no such name").into());
            }
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}

/// A name server that does not reply.
struct Silent;

impl Resolve for Silent {
    fn resolve(&self, _: Name) -> Resolving {
        Box::pin(std::future::pending())
    }
}

#[tokio::test]
async fn a_lookup_without_a_reply_holds_a_call_for_five_seconds() {
    let client = WebhookClient::with_resolver(true, Arc::new(Silent)).unwrap();
    let started = Instant::now();
    let failed = send(&client, &url("http://hooks.example/")).await;
    assert_eq!(failed.unwrap_err(), CallError::Connect);
    let took = started.elapsed();
    assert!(took >= CONNECT_TIMEOUT && took < CALL_TIMEOUT, "{took:?}");
}

#[tokio::test]
async fn a_name_server_that_changes_its_answer_gets_no_connection() {
    let mut receiver = Receiver::http(Behaviour::reply("200 OK", "", "")).await;
    // Loopback addresses are permitted in sandbox mode, like public ones.
    let answers = Answers::new(&[
        "127.0.0.1",
        "10.0.0.1",
        "169.254.169.254",
        "::ffff:127.0.0.1",
    ]);
    let client = WebhookClient::with_resolver(true, answers.clone()).unwrap();
    let url = url(&format!(
        "http://hooks.example:{}/",
        receiver.address.port()
    ));

    // One lookup for a connection: the checked address is the one that the client connects to.
    assert_eq!(send(&client, &url).await.unwrap().status, 200);
    assert_eq!(answers.left(), 3);
    receiver.received().await;
    for left in [2, 1, 0] {
        let failed = send(&client, &url).await.unwrap_err();
        assert_eq!(failed.word(), "forbidden_address", "{failed}");
        assert_eq!(answers.left(), left);
    }
    assert!(receiver.is_unused());
}

#[tokio::test]
async fn forbidden_addresses_of_an_answer_are_left_out() {
    let mut receiver = Receiver::http(Behaviour::reply("200 OK", "", "")).await;
    let answers = Answers::new(&["10.0.0.1 fd00:ec2::254 127.0.0.1 0.0.0.0"]);
    let client = WebhookClient::with_resolver(true, answers).unwrap();
    let url = url(&format!(
        "http://hooks.example:{}/",
        receiver.address.port()
    ));
    assert_eq!(send(&client, &url).await.unwrap().status, 200);
    receiver.received().await;
}

#[tokio::test]
async fn a_name_without_an_address_is_a_failure_of_dns() {
    let client = WebhookClient::with_resolver(false, Answers::new(&[])).unwrap();
    let url = EndpointUrl::parse("https://hooks.example/", false).unwrap();
    assert_eq!(send(&client, &url).await.unwrap_err(), CallError::Dns);
}

/// A name server that does not answer.
struct Silence;

impl Resolve for Silence {
    fn resolve(&self, _: Name) -> Resolving {
        Box::pin(std::future::pending())
    }
}

#[tokio::test]
async fn a_lookup_that_takes_too_long_is_no_slow_reply() {
    let client = WebhookClient::with_resolver(false, Arc::new(Silence)).unwrap();
    let url = EndpointUrl::parse("https://hooks.example/", false).unwrap();
    assert_eq!(send(&client, &url).await.unwrap_err(), CallError::Connect);
}

#[tokio::test]
async fn loopback_is_forbidden_outside_sandbox_mode() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    // As the address of a name.
    let planned = WebhookClient::with_resolver(false, Answers::new(&["127.0.0.1 ::1"])).unwrap();
    let named = EndpointUrl::parse(&format!("https://hooks.example:{port}/"), false).unwrap();
    let failed = send(&planned, &named).await.unwrap_err();
    assert_eq!(failed.word(), "forbidden_address");
    assert_eq!(
        failed.to_string(),
        "the endpoint's address is a loopback address: webhooks go to public addresses only"
    );
    // As an address or a local name, in URLs that were stored in sandbox mode.
    let system = WebhookClient::new(false).unwrap();
    let localhost = url(&format!("https://localhost:{port}/"));
    let failed = send(&system, &localhost).await.unwrap_err();
    assert_eq!(failed, CallError::Url(UrlError::Host));
    for host in ["127.0.0.1", "[::1]"] {
        let failed = send(&system, &url(&format!("https://{host}:{port}/")))
            .await
            .unwrap_err();
        assert_eq!(failed.word(), "forbidden_address");
    }
    let failed = send(&system, &url(&format!("http://localhost:{port}/")))
        .await
        .unwrap_err();
    assert_eq!(failed, CallError::Url(UrlError::Scheme));
    // No call has connected.
    let listener = listener.into_std().unwrap();
    let accepted = listener.accept().map(|(_, peer)| peer);
    assert_eq!(accepted.unwrap_err().kind(), io::ErrorKind::WouldBlock);
}
