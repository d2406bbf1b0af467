//! The load: keep-alive connections that each post one bank account after another. The load does little work itself,
//! because it runs on the cores that it measures.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use base64::Engine;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Interval, interval_at};

use crate::CONNECTIONS;

pub(crate) struct Load {
    target: Target,
    /// Next unused account number; starts at the clock, so that runs use different numbers.
    next_number: u64,
}

/// Accounts that the API accepted in a run.
pub(crate) struct Accepted {
    elapsed: Duration,
    /// Sorted.
    latencies: Vec<Duration>,
}

impl Accepted {
    #[allow(clippy::cast_precision_loss)]
    pub(crate) fn count(&self) -> f64 {
        self.latencies.len() as f64
    }

    pub(crate) fn per_second(&self) -> f64 {
        self.count() / self.elapsed.as_secs_f64()
    }

    pub(crate) fn millis(&self, quantile: f64) -> f64 {
        quantile_ms(&self.latencies, quantile)
    }
}

/// Returns a quantile of sorted times in milliseconds; 0 if there are none.
#[allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss
)]
pub(crate) fn quantile_ms(sorted: &[Duration], quantile: f64) -> f64 {
    let index = (sorted.len() as f64 * quantile) as usize;
    let time = sorted.get(index.min(sorted.len().saturating_sub(1)));
    time.map_or(0.0, |time| time.as_secs_f64() * 1_000.0)
}

/// Returns the median; 0 if there are no values.
pub(crate) fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

impl Load {
    /// The merchants of these keys take turns.
    pub(crate) fn new(api_url: &str, api_keys: &[String], customers: u64) -> Result<Self> {
        let address = api_url
            .strip_prefix("http://")
            .context("KHATA_API_URL is not http")?
            .trim_end_matches('/')
            .to_owned();
        let encode = |key| base64::engine::general_purpose::STANDARD.encode(format!("{key}:"));
        Ok(Self {
            target: Target {
                address,
                authorizations: api_keys.iter().map(encode).collect(),
                customers,
                gateway: "",
            },
            next_number: u64::try_from(chrono::Utc::now().timestamp_micros())?,
        })
    }

    /// Asks for the gateway DUMMY, which a new merchant of the sandbox calls only when a call names it.
    pub(crate) fn at_dummy(mut self) -> Self {
        self.target.gateway = "&gateway_id=100";
        self
    }

    /// Posts this many accounts, one after another on one connection, to one customer after another.
    pub(crate) async fn one_each(&mut self, count: u64) -> Result<()> {
        let mut poster = Poster::connect(self.target.clone()).await?;
        for _ in 0..count {
            poster.post(self.next_number).await?;
            self.next_number += 1;
        }
        Ok(())
    }

    /// Posts on every connection for this long.
    pub(crate) async fn run(&mut self, duration: Duration) -> Result<Accepted> {
        self.post(duration, |_| None).await
    }

    /// Posts this many accounts a second, at an even rate, for this long.
    pub(crate) async fn run_at(&mut self, per_second: u32, duration: Duration) -> Result<Accepted> {
        let interval = Duration::from_secs(1) / per_second;
        let began = tokio::time::Instant::now();
        let pace = |index| interval_at(began + interval * index, interval * CONNECTIONS);
        self.post(duration, |index| Some(pace(index))).await
    }

    /// Posts on every connection for this long; a connection with a pace posts at its ticks.
    async fn post(
        &mut self,
        duration: Duration,
        pace: impl Fn(u32) -> Option<Interval>,
    ) -> Result<Accepted> {
        const STRIDE: u64 = 10_000_000;
        let began = Instant::now();
        let mut tasks = tokio::task::JoinSet::new();
        for index in 0..CONNECTIONS {
            self.next_number += STRIDE;
            let (target, first) = (self.target.clone(), self.next_number);
            let mut pace = pace(index);
            tasks.spawn(async move {
                let mut poster = Poster::connect(target).await?;
                let mut latencies = Vec::with_capacity(16_384);
                for number in first.. {
                    if let Some(pace) = &mut pace {
                        pace.tick().await;
                    }
                    let sent = Instant::now();
                    if sent - began >= duration {
                        break;
                    }
                    poster.post(number).await?;
                    latencies.push(sent.elapsed());
                }
                anyhow::Ok(latencies)
            });
        }
        self.next_number += STRIDE;
        let mut latencies = Vec::new();
        while let Some(finished) = tasks.join_next().await {
            latencies.extend(finished??);
        }
        let elapsed = began.elapsed();
        latencies.sort_unstable();
        Ok(Accepted { elapsed, latencies })
    }
}

/// The API, the merchants and their customers.
#[derive(Clone)]
struct Target {
    address: String,
    /// One for each merchant.
    authorizations: Arc<[String]>,
    customers: u64,
    /// The parameter that names the gateway; empty: Khata chooses it.
    gateway: &'static str,
}

impl Target {
    fn authorization(&self, number: u64) -> &str {
        let index = number % self.authorizations.len() as u64;
        &self.authorizations[usize::try_from(index).unwrap_or_default()]
    }
}

/// A connection to the API.
struct Poster {
    target: Target,
    stream: TcpStream,
    reply: Vec<u8>,
}

impl Poster {
    async fn connect(target: Target) -> Result<Self> {
        let stream = TcpStream::connect(&target.address).await?;
        stream.set_nodelay(true)?;
        Ok(Self {
            target,
            stream,
            reply: Vec::with_capacity(4_096),
        })
    }

    async fn post(&mut self, number: u64) -> Result<()> {
        // Every gateway finds accounts with this ending valid.
        let body = format!(
            "ifsc=HDFC0000001&account_number={number}00&beneficiary_name=Asha+Rao&bank_code=JP_HDFC{}",
            self.target.gateway,
        );
        let request = format!(
            "POST /customers/bench_{}/accounts HTTP/1.1\r\nHost: {}\r\nAuthorization: Basic {}\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{body}",
            number % self.target.customers,
            self.target.address,
            self.target.authorization(number),
            body.len(),
        );
        self.stream.write_all(request.as_bytes()).await?;
        self.reply.clear();
        loop {
            if self.stream.read_buf(&mut self.reply).await? == 0 {
                bail!("the API closed the connection");
            }
            if let Some(length) = complete(&self.reply)? {
                if !self.reply.starts_with(b"HTTP/1.1 200 ") {
                    bail!(
                        "not accepted: {}",
                        String::from_utf8_lossy(&self.reply[..length])
                    );
                }
                return Ok(());
            }
        }
    }
}

/// Returns the length of a whole message, once it has arrived.
pub(crate) fn complete(message: &[u8]) -> Result<Option<usize>> {
    let Some(head) = message.windows(4).position(|window| window == b"\r\n\r\n") else {
        return Ok(None);
    };
    let text = std::str::from_utf8(&message[..head])?;
    let length: usize = text
        .lines()
        .find_map(|line| {
            line.to_ascii_lowercase()
                .strip_prefix("content-length:")
                .map(|value| value.trim().to_owned())
        })
        .context("a message without a length")?
        .parse()?;
    let whole = head + 4 + length;
    Ok((message.len() >= whole).then_some(whole))
}
