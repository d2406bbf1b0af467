//! Asks a running API whether it is ready, without needing curl in the image.

use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use anyhow::{Context, bail};

const PATIENCE: Duration = Duration::from_secs(4);

/// An error unless `/health/ready` at this address answers 200.
pub fn healthcheck(listen: &str) -> anyhow::Result<()> {
    let address = listen
        .to_socket_addrs()?
        .next()
        .with_context(|| format!("{listen} is no address"))?;
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)
        .with_context(|| format!("nobody listens on {listen}"))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    write!(
        stream,
        "GET /health/ready HTTP/1.1\r\nHost: {listen}\r\nConnection: close\r\n\r\n"
    )?;
    let mut answer = String::new();
    stream.take(16 * 1024).read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    if head.starts_with("HTTP/1.1 200 ") {
        println!("{body}");
        Ok(())
    } else {
        bail!("not ready: {body}")
    }
}
