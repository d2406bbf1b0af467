//! Queues of the test's own, deleted when it ends.

use khata_shared::broker::Broker;
use lapin::options::QueueDeleteOptions;
use lapin::{Connection, ConnectionProperties};
use uuid::Uuid;

/// A queue prefix that nobody else has.
pub(crate) struct Queues {
    url: String,
    prefix: String,
}

impl Queues {
    pub(crate) fn new() -> Self {
        let url = std::env::var("KHATA_TEST_AMQP_URL").expect(
            "KHATA_TEST_AMQP_URL is not set: say `make test`, or start `deploy/local/stack services` and set it to \
             that KHATA_AMQP_URL",
        );
        let prefix = format!("khata-test-{}", Uuid::now_v7().simple());
        Self { url, prefix }
    }

    /// The broker with these queues.
    pub(crate) fn broker(&self) -> Broker {
        Broker::new(&self.url, &self.prefix)
    }

    /// The same, seen through a proxy on this port.
    pub(crate) fn broker_through(&self, port: u16) -> Broker {
        let url = self
            .url
            .replacen(&self.address(), &format!("127.0.0.1:{port}"), 1);
        Broker::new(&url, &self.prefix)
    }

    /// Host and port of the broker.
    pub(crate) fn address(&self) -> String {
        let authority = self.url.split("://").nth(1).unwrap();
        let authority = authority.split('/').next().unwrap();
        authority.rsplit('@').next().unwrap().to_owned()
    }
}

impl Drop for Queues {
    fn drop(&mut self) {
        let (url, broker) = (self.url.clone(), self.broker());
        // A runtime of its own: this may run inside the test's.
        let deleted = std::thread::spawn(move || {
            tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap()
                .block_on(delete(&url, &[broker.queue(), broker.dead_letters()]))
        });
        if !matches!(deleted.join(), Ok(Ok(()))) {
            eprintln!("the test's queues {} are left behind", self.prefix);
        }
    }
}

async fn delete(url: &str, queues: &[String]) -> lapin::Result<()> {
    let connection = Connection::connect(url, ConnectionProperties::default()).await?;
    let channel = connection.create_channel().await?;
    for queue in queues {
        channel
            .queue_delete(queue.as_str().into(), QueueDeleteOptions::default())
            .await?;
    }
    connection.close(200, "done".into()).await
}
