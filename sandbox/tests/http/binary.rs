//! The program: its port file, its ledger over a restart, its stop.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::{Sandbox, wait_for};

struct Running {
    child: Child,
    port: u16,
}

impl Running {
    fn start(folder: &Path) -> Self {
        let port_file = folder.join("port");
        let _ = fs::remove_file(&port_file);
        let mut child = Command::new(env!("CARGO_BIN_EXE_khata-sandbox"))
            .env("KHATA_SANDBOX_LISTEN", "127.0.0.1:0")
            .env("KHATA_PORT_FILE", &port_file)
            .env("KHATA_SANDBOX_LEDGER", folder.join("ledger.jsonl"))
            .spawn()
            .unwrap();
        let deadline = Instant::now() + Duration::from_mins(1);
        let port = loop {
            if let Ok(port) = fs::read_to_string(&port_file) {
                break port.parse().unwrap();
            }
            assert!(child.try_wait().unwrap().is_none(), "it ended");
            assert!(Instant::now() < deadline, "no port file");
            std::thread::sleep(Duration::from_millis(10));
        };
        Self { child, port }
    }

    /// Sends SIGTERM and returns the time until the program ended in order.
    fn stop(mut self) -> Duration {
        let began = Instant::now();
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").arg(pid).status().unwrap().success());
        assert!(self.child.wait().unwrap().success());
        began.elapsed()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn scratch(name: &str) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    folder
}

#[actix_web::test]
async fn a_restart_keeps_the_ledger() {
    let folder = scratch("restart");
    let first = Running::start(&folder);
    let sandbox = Sandbox::at(first.port);
    let synced = sandbox.sync("123456", "HDFC0000001", "Asha Rao").await;
    for user_id in ["a", "b", "a"] {
        sandbox.send_async("123456", "HDFC0000001", user_id).await;
    }
    let before = sandbox.drops().await;
    // Connections are still open: they must not delay the stop.
    assert!(first.stop() < Duration::from_secs(5));

    let second = Running::start(&folder);
    let sandbox = Sandbox::at(second.port);
    assert_eq!(sandbox.counted().await, (4, 3));
    assert_eq!(sandbox.drops().await, before);
    let again = sandbox.sync("123456", "HDFC0000001", "Asha Rao").await;
    assert!(again["reference_id"].as_u64() > synced["reference_id"].as_u64());
    assert_eq!(sandbox.counted().await, (5, 4), "ids are not given twice");
    second.stop();
}

#[actix_web::test]
async fn a_stop_finishes_the_calls_in_progress() {
    let running = Running::start(&scratch("stop"));
    let sandbox = Sandbox::at(running.port);
    sandbox
        .set_behaviour(&json!({"gateway": "CASHFREE", "latency_ms": 1_000}))
        .await;
    let slow =
        actix_web::rt::spawn(
            async move { sandbox.sync("123456", "HDFC0000001", "Asha Rao").await },
        );
    let observer = Sandbox::at(running.port);
    wait_for("the call", async || {
        observer.calls("CASHFREE").await["total"] == 1
    })
    .await;
    let stopped = actix_web::rt::task::spawn_blocking(move || running.stop());
    assert_eq!(slow.await.unwrap()["account_status"], "VALID");
    stopped.await.unwrap();
}

#[test]
fn help_lists_every_setting() {
    let output = Command::new(env!("CARGO_BIN_EXE_khata-sandbox"))
        .arg("--help")
        .output()
        .unwrap();
    let help = String::from_utf8(output.stdout).unwrap();
    for variable in [
        "KHATA_SANDBOX_LISTEN",
        "KHATA_SANDBOX_LEDGER",
        "KHATA_SANDBOX_THREADS",
        "KHATA_SANDBOX_PUBLISHED_PENDING_MS",
        "KHATA_SANDBOX_HANG_MS",
        "KHATA_SANDBOX_SEED",
        "KHATA_PORT_FILE",
    ] {
        assert!(help.contains(variable), "{variable}");
    }
}
