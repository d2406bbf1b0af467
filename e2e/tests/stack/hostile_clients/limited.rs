//! A stack whose API runs under the memory limit of its pod, and the connections of clients that attack it.

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use anyhow::{Context, Result};
use base64::Engine as _;
use futures_util::future::try_join_all;
use khata_e2e::{Api, Setup, TestStack, eventually};
use reqwest::Url;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpSocket, TcpStream};

use super::control_group::{self, ControlGroup};

/// The number of connections that the API derives from the memory limit of its pod.
pub(super) const CONNECTIONS: usize = 1_024;
/// Three quarters of that limit; the sockets' buffers use the rest.
const MAX_RESIDENT: u64 = 384 << 20;
/// A little longer than the API waits for a client that does not go on.
pub(super) const PATIENCE: Duration = Duration::from_secs(15);
/// Time limit of a merchant's call while clients attack.
pub(super) const AT_ONCE: Duration = Duration::from_secs(3);

/// A stack whose API runs under the memory limit of its pod.
pub(super) struct Limited {
    pub(super) stack: TestStack,
    /// Dropped last: it can be removed only when the API has ended. `None` where the machine permits no control group: then
    /// the API has the pod's number of connections, and its resident memory is checked.
    group: Option<ControlGroup>,
}

pub(super) async fn start() -> Result<Limited> {
    rlimit::increase_nofile_limit(8_192)?;
    let mut stack = TestStack::start(Setup {
        apis: 0,
        workers: 0,
        alone: true,
        ..Setup::default()
    })
    .await?;
    let group = ControlGroup::create();
    let enter = match &group {
        Some(group) => format!("echo $$ > '{}' || exit 1", group.processes().display()),
        None => format!("export KHATA_API_CONNECTIONS={CONNECTIONS}"),
    };
    let program = stack.shell("command -v khata-api", &[])?.stdout;
    let folder = stack.folder().join("limited");
    let script = folder.join("khata-api");
    std::fs::create_dir(&folder)?;
    let lines = format!("#!/bin/sh\n{enter}\nexec '{}' \"$@\"\n", program.trim());
    std::fs::write(&script, lines)?;
    std::fs::set_permissions(&script, PermissionsExt::from_mode(0o755))?;
    stack.start_api_of(Some(&folder)).await?;
    let url = stack.api.url.clone();
    stack.wait_until_ready(&url).await?;
    Ok(Limited { stack, group })
}

impl Limited {
    pub(super) fn assert_memory_is_bounded(&mut self, what: &str) -> Result<()> {
        let api = &mut self.stack.apis[0].process;
        assert!(api.ended().is_none(), "{what}: the API has ended");
        let resident = peak_memory(api.pid())?;
        let sockets = self.group.as_ref().map(ControlGroup::sockets).transpose()?;
        let sockets = sockets.unwrap_or_default();
        println!(
            "{what}: {} MiB resident, sockets {} MiB",
            resident >> 20,
            sockets >> 20
        );
        assert!(resident < MAX_RESIDENT, "{what}: {} MiB", resident >> 20);
        let all = resident + sockets;
        assert!(
            all < control_group::LIMIT,
            "{what}: {} MiB in all",
            all >> 20
        );
        Ok(())
    }

    /// Opens connections that take few bytes of a reply, and sends these bytes on each, as far as the API takes them.
    pub(super) async fn attack(&self, connections: usize, bytes: &[u8]) -> Result<Vec<TcpStream>> {
        self.attack_with(2_048, connections, bytes).await
    }

    /// Opens connections with receive buffers of this size.
    pub(super) async fn attack_with(
        &self,
        receive_buffer: u32,
        connections: usize,
        bytes: &[u8],
    ) -> Result<Vec<TcpStream>> {
        let url: Url = self.stack.api.url.parse()?;
        let address = *url.socket_addrs(|| None)?.first().context("no address")?;
        let connect = async || {
            let socket = TcpSocket::new_v4()?;
            socket.set_recv_buffer_size(receive_buffer)?;
            let mut client = socket.connect(address).await?;
            let sending = client.write_all(bytes);
            // The API stops reading, or has closed the connection.
            let _ = tokio::time::timeout(Duration::from_secs(5), sending).await;
            anyhow::Ok(client)
        };
        try_join_all((0..connections).map(|_| connect())).await
    }

    /// Waits until new clients of a merchant get replies at once: no other client holds a connection for long.
    pub(super) async fn assert_it_serves(&self) -> Result<()> {
        eventually(PATIENCE, "the API serving a new client", async || {
            let served = self.serves().await?;
            anyhow::Ok(served.then_some(()))
        })
        .await
    }

    /// Whether a new client of the merchant gets a reply at once.
    pub(super) async fn serves(&self) -> Result<bool> {
        let client = Api::new(&self.stack.api.url, &self.stack.api.key)?;
        let reply = tokio::time::timeout(AT_ONCE, client.list("unknown", "")).await;
        Ok(matches!(reply, Ok(Ok(reply)) if reply.status == 404))
    }

    /// Returns a request head with the merchant's key.
    pub(super) fn head(&self, line: &str, more: &str) -> String {
        let key =
            base64::engine::general_purpose::STANDARD.encode(format!("{}:", self.stack.api.key));
        format!("{line} HTTP/1.1\r\nHost: x\r\nAuthorization: Basic {key}\r\n{more}\r\n")
    }
}

/// Returns the largest resident memory that a process has had, in bytes.
fn peak_memory(pid: u32) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes = line
        .and_then(|line| line.trim().strip_suffix(" kB"))
        .context("no VmHWM")?;
    Ok(kilobytes.trim().parse::<u64>()? << 10)
}
