//! Encryption of the keyring by a key that never leaves a transit engine, that of OpenBao or of HashiCorp Vault. The keyring's file or
//! secret then holds ciphertext alone:
//!
//! ```json
//! {"ciphertext":"vault:v1:…"}
//! ```
//!
//! A process decrypts its keyring at its start, by one call of the engine
//! (<https://openbao.org/api-docs/secret/transit/#decrypt-data>).

use std::error::Error;
use std::fmt::Write;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use reqwest::{Client, Url, redirect};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::keyring_file::KeyringError;
use super::secret_buf;

/// Time-out of a call, with the connection.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Maximum length of the token's file; the longest tokens have some hundred bytes.
const MAX_TOKEN: usize = 16 * 1024;

/// Settings of the transit engine that encrypts the keyring.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct TransitSettings {
    /// URL of the OpenBao or Vault server whose transit engine encrypts the keyring, as https://vault.example.com:8200; http only for a
    /// server or agent on this machine
    #[arg(
        id = "vault_url",
        long = "vault-url",
        env = "KHATA_VAULT_URL",
        value_name = "URL",
        requires = "vault_token_file"
    )]
    server: Option<String>,
    /// Path of the transit engine, and name of its key
    #[arg(
        id = "vault_transit_key",
        long = "vault-transit-key",
        env = "KHATA_VAULT_TRANSIT_KEY",
        value_name = "PATH/KEY",
        default_value = "transit/khata"
    )]
    key: String,
    /// File with a token for that server, as its agent writes it
    #[arg(
        id = "vault_token_file",
        long = "vault-token-file",
        env = "KHATA_VAULT_TOKEN_FILE",
        value_name = "FILE"
    )]
    token_file: Option<PathBuf>,
}

/// The JSON of an encrypted keyring.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Encrypted {
    ciphertext: String,
}

/// Returns the ciphertext of an encrypted keyring; `None` if the JSON is none.
pub(super) fn ciphertext(json: &[u8]) -> Option<String> {
    let encrypted: Encrypted = serde_json::from_slice(json).ok()?;
    Some(encrypted.ciphertext)
}

/// The body of a call.
#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum Body<'a> {
    /// Base64
    Plaintext(&'a str),
    Ciphertext(&'a str),
}

#[derive(Deserialize)]
struct Reply {
    data: Data,
}

/// The result of a call. Each call has one of the two.
#[derive(Deserialize)]
struct Data {
    /// Base64
    #[serde(default)]
    plaintext: Zeroizing<String>,
    #[serde(default)]
    ciphertext: String,
}

/// The body of a reply with an error.
#[derive(Deserialize)]
struct Refusal {
    errors: Vec<String>,
}

impl TransitSettings {
    /// Whether a transit engine encrypts the keyring.
    pub fn is_set(&self) -> bool {
        self.server.is_some()
    }

    /// Encrypts the JSON of a keyring. Returns the JSON of the encrypted one.
    pub fn encrypt(&self, json: &[u8]) -> Result<Zeroizing<Vec<u8>>, KeyringError> {
        let plain = Zeroizing::new(BASE64.encode(json));
        let ciphertext = self.call("encrypt", &Body::Plaintext(&plain))?.ciphertext;
        Ok(secret_buf::pretty_json(&Encrypted { ciphertext }))
    }

    /// Decrypts a keyring. Returns its JSON.
    pub(super) fn decrypt(&self, ciphertext: &str) -> Result<Zeroizing<Vec<u8>>, KeyringError> {
        let data = self.call("decrypt", &Body::Ciphertext(ciphertext))?;
        let json = BASE64.decode(data.plaintext.as_bytes());
        json.map(Zeroizing::new)
            .map_err(|_| KeyringError::Transit("its plaintext is not base64".to_owned()))
    }

    fn call(&self, action: &str, body: &Body<'_>) -> Result<Data, KeyringError> {
        let url = self.url(action)?;
        let file = self.token_file.as_deref();
        let token = token(file.ok_or(KeyringError::Encrypted)?).map_err(KeyringError::Transit)?;
        wait_for(send(url, &token, body)).map_err(KeyringError::Transit)
    }

    /// Returns the URL of a call: `https://vault.example.com:8200/v1/transit/decrypt/khata`.
    fn url(&self, action: &str) -> Result<Url, KeyringError> {
        let server = self.server.as_deref().ok_or(KeyringError::Encrypted)?;
        let server = server.trim_end_matches('/');
        let (path, key) = self.key.rsplit_once('/').ok_or(KeyringError::TransitKey)?;
        let url = Url::parse(&format!("{server}/v1/{path}/{action}/{key}"))
            .map_err(|_| KeyringError::TransitUrl)?;
        // The reply holds all keys.
        let is_here = matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"));
        if url.scheme() == "https" || (url.scheme() == "http" && is_here) {
            Ok(url)
        } else {
            Err(KeyringError::TransitUrl)
        }
    }
}

fn token(path: &Path) -> Result<Zeroizing<String>, String> {
    let read = File::open(path).and_then(|file| secret_buf::read(file, MAX_TOKEN));
    let bytes = read.map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    let text = bytes.as_deref().and_then(|it| std::str::from_utf8(it).ok());
    let token = text.map(str::trim).filter(|token| !token.is_empty());
    token
        .map(|token| Zeroizing::new(token.to_owned()))
        .ok_or_else(|| format!("{} holds no token", path.display()))
}

async fn send(url: Url, token: &str, body: &Body<'_>) -> Result<Data, String> {
    // Fails if the process has installed a provider already; all parts of Khata use the same one.
    let _ = rustls::crypto::ring::default_provider().install_default();
    // A proxy would see the token and all keys of a call to an agent on this machine, which is not encrypted.
    let client = Client::builder()
        .no_proxy()
        .timeout(TIMEOUT)
        .redirect(redirect::Policy::none())
        .build()
        .map_err(|error| with_causes(&error))?;
    let call = client.post(url).header("X-Vault-Token", token).json(body);
    let reply = call.send().await.map_err(|error| with_causes(&error))?;
    let status = reply.status();
    let bytes = reply.bytes().await.map_err(|error| with_causes(&error))?;
    if status.is_success() {
        let reply: Result<Reply, _> = serde_json::from_slice(&bytes);
        return reply
            .map(|reply| reply.data)
            .map_err(|_| "its reply is not that of a transit engine".to_owned());
    }
    let refusal: Option<Refusal> = serde_json::from_slice(&bytes).ok();
    let reasons = refusal.map(|refusal| refusal.errors.join(", "));
    Err(format!("{status}: {}", reasons.unwrap_or_default()))
}

/// Returns the error with its causes, which reqwest's own text does not have.
fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let _ = write!(text, ": {error}");
        cause = error.source();
    }
    text
}

/// Makes the call on a thread of its own: the caller's thread may run the tasks of a runtime, and then cannot wait for another.
fn wait_for<T: Send>(call: impl Future<Output = Result<T, String>> + Send) -> Result<T, String> {
    std::thread::scope(|scope| {
        let thread = scope.spawn(move || {
            let mut runtime = tokio::runtime::Builder::new_current_thread();
            let runtime = runtime.enable_all().build();
            runtime.map_err(|error| error.to_string())?.block_on(call)
        });
        let ended = thread.join();
        ended.unwrap_or_else(|_| Err("the call of the transit engine panicked".to_owned()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(url: &str, key: &str) -> TransitSettings {
        TransitSettings {
            server: Some(url.to_owned()),
            key: key.to_owned(),
            token_file: None,
        }
    }

    #[test]
    fn a_call_goes_to_the_path_of_the_engine_by_tls_or_within_the_machine() {
        for (url, key, expected) in [
            (
                "https://vault.example:8200/",
                "transit/khata",
                Some("https://vault.example:8200/v1/transit/decrypt/khata"),
            ),
            (
                "http://127.0.0.1:8200",
                "team/pay/khata",
                Some("http://127.0.0.1:8200/v1/team/pay/decrypt/khata"),
            ),
            ("http://vault.example:8200", "transit/khata", None),
            ("https://vault.example", "khata", None),
            ("vault.example", "transit/khata", None),
        ] {
            let called = settings(url, key).url("decrypt").ok();
            let called = called.map(|url| url.to_string());
            assert_eq!(called.as_deref(), expected, "{url} {key}");
        }
    }

    #[test]
    fn an_encrypted_keyring_needs_a_server_and_a_token() {
        let json = br#"{"ciphertext":"vault:v1:abc="}"#;
        assert_eq!(ciphertext(json).as_deref(), Some("vault:v1:abc="));
        assert!(ciphertext(br#"{"primary":1}"#).is_none());
        let fault = TransitSettings::default().decrypt("vault:v1:abc=");
        let fault = fault.unwrap_err().to_string();
        assert!(fault.contains("KHATA_VAULT_URL"), "{fault}");
        let fault = settings("https://vault.example", "transit/khata").decrypt("vault:v1:abc=");
        let fault = fault.unwrap_err().to_string();
        assert!(fault.contains("KHATA_VAULT_TOKEN_FILE"), "{fault}");
    }
}
