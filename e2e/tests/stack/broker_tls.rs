//! RabbitMQ over TLS with `amqps://`.

use std::net::ToSocketAddrs;
use std::time::Duration;

use anyhow::{Context, Result};
use khata_e2e::client::text;
use khata_e2e::{Setup, TIMEOUT, TestStack};

use crate::https::Https;
use crate::requests::bank;

#[tokio::test]
async fn amqps_connects_only_to_a_broker_with_a_valid_certificate() -> Result<()> {
    let mut stack = TestStack::start(Setup {
        workers: 0,
        ..Setup::default()
    })
    .await?;
    let mut url: reqwest::Url = std::env::var("KHATA_TEST_AMQP_URL")?.parse()?;
    let plain_port = url.port().context("no port")?;
    let broker = (url.host_str().context("no host")?, plain_port)
        .to_socket_addrs()?
        .next();
    let tls = Https::in_front_of(broker.context("no address")?, "localhost").await?;
    let mut amqps = |port: u16| -> Result<String> {
        url.set_host(Some("localhost"))?;
        url.set_port(Some(port)).ok().context("no port")?;
        Ok(url.as_str().replacen("amqp://", "amqps://", 1))
    };
    let trusted = tls.certificate().to_string_lossy().into_owned();
    // First a service that does not trust the certificate, and one whose broker does not use TLS.
    let (secured, plain) = (amqps(tls.port())?, amqps(plain_port)?);
    let listen = ("KHATA_WORKER_LISTEN", Some("127.0.0.1:0"));
    let mut begin = |broker: &str, certificates: Option<&str>| {
        let own = [
            ("KHATA_AMQP_URL", Some(broker)),
            ("SSL_CERT_FILE", certificates),
            listen,
        ];
        stack.start_program("khata-worker", &[], &own)
    };
    let strangers = [begin(&secured, None)?, begin(&plain, Some(&trusted))?];
    let form = bank("026291800001191", "YESB0000262");
    let account = stack.api.create("customer_1122", &form).await?.account()?;
    let id = text(&account, "/id");
    tokio::time::sleep(Duration::from_secs(4)).await;
    let seen = stack.api.get("customer_1122", id).await?.account()?;
    assert_eq!(seen["status"], "CREATED", "a worker runs without TLS");
    for stranger in &strangers {
        assert!(!stranger.log().contains("connected"), "{}", stranger.log());
    }
    drop(strangers);
    let own = [
        ("KHATA_AMQP_URL", Some(secured.as_str())),
        ("SSL_CERT_FILE", Some(trusted.as_str())),
        listen,
    ];
    let _worker = stack.start_program("khata-worker", &[], &own)?;
    stack
        .api
        .wait_for("customer_1122", id, &["ACTIVE"], TIMEOUT)
        .await?;
    Ok(())
}
