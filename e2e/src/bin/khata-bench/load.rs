//! The load: keep-alive connections that each post one bank account after another. The load does little work itself,
//! because it runs on the cores that it measures.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use base64::Engine;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

pub(crate) struct Load {
    address: String,
    authorization: String,
    connections: usize,
    customers: usize,
    /// Next unused account number; starts at the clock, so that runs use different numbers.
    next_number: u64,
    runtime: tokio::runtime::Runtime,
}

/// Accounts that the API accepted in a run.
pub(crate) struct Accepted {
    pub(crate) count: usize,
    elapsed: Duration,
    /// Sorted.
    latencies: Vec<Duration>,
}

impl Accepted {
    #[allow(clippy::cast_precision_loss)]
    pub(crate) fn count_f64(&self) -> f64 {
        self.count as f64
    }

    pub(crate) fn per_second(&self) -> f64 {
        self.count_f64() / self.elapsed.as_secs_f64()
    }

    #[allow(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss
    )]
    pub(crate) fn millis(&self, quantile: f64) -> f64 {
        let index = ((self.latencies.len() as f64 * quantile) as usize)
            .min(self.latencies.len().saturating_sub(1));
        self.latencies
            .get(index)
            .map_or(0.0, |latency| latency.as_secs_f64() * 1_000.0)
    }
}

impl Load {
    pub(crate) fn new(
        api_url: &str,
        api_key: &str,
        connections: usize,
        customers: usize,
    ) -> Result<Self> {
        let address = api_url
            .strip_prefix("http://")
            .context("KHATA_API_URL is not http")?
            .trim_end_matches('/')
            .to_owned();
        let authorization = base64::engine::general_purpose::STANDARD.encode(format!("{api_key}:"));
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let next_number = u64::try_from(chrono::Utc::now().timestamp_micros())?;
        Ok(Self {
            address,
            authorization,
            connections,
            customers,
            next_number,
            runtime,
        })
    }

    /// Posts this many accounts, one after another on one connection, to one customer after another.
    pub(crate) fn one_each(&mut self, count: usize) -> Result<()> {
        let numbers = self.next_number..;
        self.next_number += count as u64;
        let mut poster = Poster::new(self);
        self.runtime.block_on(async {
            poster.connect().await?;
            for number in numbers.take(count) {
                poster.post(number).await?;
            }
            Ok(())
        })
    }

    /// Posts on every connection for this long.
    pub(crate) fn run(&mut self, duration: Duration) -> Result<Accepted> {
        const STRIDE: u64 = 10_000_000;
        let posters: Vec<(Poster, u64)> = (0..self.connections as u64)
            .map(|index| (Poster::new(self), self.next_number + (index + 1) * STRIDE))
            .collect();
        self.next_number += (self.connections as u64 + 1) * STRIDE;
        let began = Instant::now();
        let mut latencies = self.runtime.block_on(async {
            let mut tasks = tokio::task::JoinSet::new();
            for (mut poster, first) in posters {
                tasks.spawn(async move {
                    poster.connect().await?;
                    let mut latencies = Vec::with_capacity(16_384);
                    for number in first.. {
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
            let mut all = Vec::new();
            while let Some(finished) = tasks.join_next().await {
                all.extend(finished??);
            }
            anyhow::Ok(all)
        })?;
        let elapsed = began.elapsed();
        latencies.sort_unstable();
        Ok(Accepted {
            count: latencies.len(),
            elapsed,
            latencies,
        })
    }
}

struct Poster {
    address: String,
    authorization: String,
    customers: u64,
    stream: Option<TcpStream>,
    reply: Vec<u8>,
}

impl Poster {
    fn new(load: &Load) -> Self {
        Self {
            address: load.address.clone(),
            authorization: load.authorization.clone(),
            customers: load.customers as u64,
            stream: None,
            reply: Vec::with_capacity(4_096),
        }
    }

    async fn connect(&mut self) -> Result<()> {
        let stream = TcpStream::connect(&self.address).await?;
        stream.set_nodelay(true)?;
        self.stream = Some(stream);
        Ok(())
    }

    async fn post(&mut self, number: u64) -> Result<()> {
        let body = format!(
            "ifsc=HDFC0000001&account_number={number}&beneficiary_name=Asha+Rao&bank_code=JP_HDFC"
        );
        let request = format!(
            "POST /customers/bench_{}/accounts HTTP/1.1\r\nHost: {}\r\nAuthorization: Basic {}\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{body}",
            number % self.customers,
            self.address,
            self.authorization,
            body.len(),
        );
        let stream = self.stream.as_mut().context("not connected")?;
        stream.write_all(request.as_bytes()).await?;
        self.reply.clear();
        loop {
            if stream.read_buf(&mut self.reply).await? == 0 {
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

/// The length of the whole answer, once it is there.
fn complete(reply: &[u8]) -> Result<Option<usize>> {
    let Some(head) = reply.windows(4).position(|window| window == b"\r\n\r\n") else {
        return Ok(None);
    };
    let text = std::str::from_utf8(&reply[..head])?;
    let length: usize = text
        .lines()
        .find_map(|line| {
            line.to_ascii_lowercase()
                .strip_prefix("content-length:")
                .map(|value| value.trim().to_owned())
        })
        .context("a reply without a length")?
        .parse()?;
    let whole = head + 4 + length;
    Ok((reply.len() >= whole).then_some(whole))
}
