//! Why an attempt did not deliver an event.

use std::error::Error;
use std::io;

use rustls::CertificateError;

use crate::address::AddressError;
use crate::endpoint_url::UrlError;

/// Why an attempt did not deliver an event. The texts are for merchants: they hold no address and no part of the URL.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    #[error(transparent)]
    Url(UrlError),
    #[error(transparent)]
    Address(AddressError),
    #[error("the name server has no address for the endpoint's host: check the host's DNS records")]
    Dns,
    #[error(
        "cannot connect to the endpoint within 5 s: check its name server, that it listens on the URL's port, and that firewalls let Khata in"
    )]
    Connect,
    #[error("nothing listens on the URL's port: start the endpoint's server, or correct the port")]
    Refused,
    #[error("the TLS handshake failed: {0}")]
    Tls(&'static str),
    #[error("the endpoint did not reply in time: reply first, then process the event")]
    Timeout,
    #[error(
        "the connection ended before the reply, or the reply is not HTTP, or its head is longer than 256 KiB: check the endpoint's \
         server"
    )]
    Protocol,
    #[error("the endpoint replied with status {0}: a delivery needs a status from 200 to 299")]
    Status(u16),
}

impl CallError {
    /// Returns the word for metrics and lists. The words never change.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Url(_) => "forbidden_url",
            Self::Address(_) => "forbidden_address",
            Self::Dns => "dns",
            Self::Connect | Self::Refused => "connect",
            Self::Tls(_) => "tls",
            Self::Timeout => "timeout",
            Self::Protocol => "protocol",
            Self::Status(_) => "status",
        }
    }
}

impl From<UrlError> for CallError {
    fn from(error: UrlError) -> Self {
        match error {
            UrlError::Address(error) => Self::Address(error),
            error => Self::Url(error),
        }
    }
}

impl From<hyper_util::client::legacy::Error> for CallError {
    fn from(error: hyper_util::client::legacy::Error) -> Self {
        for cause in causes(&error) {
            if let Some(error) = cause.downcast_ref::<Self>() {
                return error.clone();
            }
            if let Some(error) = cause.downcast_ref::<AddressError>() {
                return Self::Address(*error);
            }
            if let Some(error) = cause.downcast_ref::<rustls::Error>() {
                return Self::Tls(tls_failure(error));
            }
            let io = cause.downcast_ref::<io::Error>();
            if io.is_some_and(|error| error.kind() == io::ErrorKind::ConnectionRefused) {
                return Self::Refused;
            }
        }
        if error.is_connect() {
            Self::Connect
        } else {
            Self::Protocol
        }
    }
}

/// Describes why a handshake failed. The error's own text holds names of the endpoint's certificate, any number of them.
fn tls_failure(error: &rustls::Error) -> &'static str {
    match error {
        rustls::Error::InvalidCertificate(certificate) => match certificate {
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                "the endpoint's certificate has expired: renew it"
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                "the endpoint's certificate is for another name: use one for the URL's host"
            }
            CertificateError::UnknownIssuer => {
                "no known authority has issued the endpoint's certificate, or the endpoint leaves out certificates of the chain"
            }
            _ => "the endpoint's certificate is not valid",
        },
        rustls::Error::AlertReceived(_) => "the endpoint refused it",
        rustls::Error::PeerIncompatible(_) => {
            "the endpoint has no TLS version or cipher of Khata's: use TLS 1.2 or 1.3"
        }
        _ => "the endpoint does not speak TLS on this port",
    }
}

/// Returns the error and its causes, from the outside to the inside.
fn causes<'e>(error: &'e (dyn Error + 'static)) -> impl Iterator<Item = &'e (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error| cause(*error))
}

fn cause<'e>(error: &'e (dyn Error + 'static)) -> Option<&'e (dyn Error + 'static)> {
    match error.downcast_ref::<io::Error>() {
        // The `source` of an I/O error leaves out the error that it wraps.
        Some(wrapper) => wrapper
            .get_ref()
            .map(|inner| inner as &(dyn Error + 'static)),
        None => error.source(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrapped_cause_is_found() {
        let inner = io::Error::new(io::ErrorKind::InvalidData, UrlError::Port);
        let outer = io::Error::other(io::Error::other(inner));
        let found = causes(&outer).find_map(|cause| cause.downcast_ref::<UrlError>());
        assert_eq!(found, Some(&UrlError::Port));
    }
}
