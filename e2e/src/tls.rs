//! TLS of the HTTP clients.

/// Installs the cryptography that HTTP clients need. Repeated calls change nothing.
pub fn install_tls() {
    // An error means that it is installed already.
    let _ = rustls::crypto::ring::default_provider().install_default();
}
