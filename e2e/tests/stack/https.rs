//! HTTPS before a service, like a load balancer: for clients that use only HTTPS.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;

/// Listens on a port of 127.0.0.1 until it is dropped.
pub(crate) struct Https {
    port: u16,
    certificate: PathBuf,
    serving: JoinHandle<()>,
}

impl Https {
    /// Starts an HTTPS server for a host of this name, with a certificate that only the test trusts.
    pub(crate) async fn in_front_of(service: SocketAddr, name: &str) -> Result<Self> {
        let pem = self_signed(name)?;
        let certificate = CertificateDer::from_pem_slice(&pem)?;
        let key = PrivateKeyDer::from_pem_slice(&pem)?;
        let config = ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)?;
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let port = listener.local_addr()?.port();
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{port}.pem"));
        std::fs::write(&path, without_key(&pem))?;
        let acceptor = TlsAcceptor::from(Arc::new(config));
        Ok(Self {
            port,
            certificate: path,
            serving: tokio::spawn(serve(listener, acceptor, service)),
        })
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Returns the file with the certificate, for clients.
    pub(crate) fn certificate(&self) -> &Path {
        &self.certificate
    }
}

impl Drop for Https {
    fn drop(&mut self) {
        self.serving.abort();
        let _ = std::fs::remove_file(&self.certificate);
    }
}

async fn serve(listener: TcpListener, acceptor: TlsAcceptor, service: SocketAddr) {
    let mut connections = JoinSet::new();
    while let Ok((outer, _)) = listener.accept().await {
        let acceptor = acceptor.clone();
        connections.spawn(async move {
            let mut outer = acceptor.accept(outer).await?;
            let mut inner = TcpStream::connect(service).await?;
            tokio::io::copy_bidirectional(&mut outer, &mut inner).await
        });
    }
}

/// Creates a certificate and its key, valid for a day. The key is in memory only.
fn self_signed(name: &str) -> Result<Vec<u8>> {
    let output = Command::new("openssl")
        .args(["req", "-x509", "-nodes", "-days", "1", "-newkey", "ec"])
        .args(["-pkeyopt", "ec_paramgen_curve:prime256v1"])
        .args(["-addext", "basicConstraints=critical,CA:FALSE"])
        .args(["-subj", &format!("/CN={name}")])
        .args(["-addext", &format!("subjectAltName=DNS:{name}")])
        .args(["-keyout", "-", "-out", "-"])
        .stdin(Stdio::null())
        .output()
        .context("cannot run openssl (Debian: openssl)")?;
    if !output.status.success() {
        bail!("openssl: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(output.stdout)
}

fn without_key(pem: &[u8]) -> String {
    let pem = String::from_utf8_lossy(pem);
    let begin = pem.find("-----BEGIN CERTIFICATE").unwrap_or_default();
    pem[begin..].to_owned()
}
