//! The URLs that an endpoint may have.

use std::fmt;
use std::net::IpAddr;

use reqwest::Url;

use crate::address::{self, AddressError};

/// Maximum length of a URL in characters.
pub const MAX_URL_LENGTH: usize = 2_048;

/// The URL of an endpoint. `Debug` shows scheme, host and port only, because the path and the query may hold a token.
#[derive(Clone, PartialEq, Eq)]
pub struct EndpointUrl(Url);

/// A URL that no endpoint may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    #[error(
        "the URL must be absolute, of at most {MAX_URL_LENGTH} visible ASCII characters: https://host/path"
    )]
    Malformed,
    #[error("the URL must begin with https:// (in sandbox mode http:// is accepted, too)")]
    Scheme,
    #[error(
        "the URL must hold no user and no password: set them as the endpoint's Basic credentials"
    )]
    Credentials,
    #[error("the URL must hold no fragment: remove the part from # on")]
    Fragment,
    #[error("the URL's port must be 443, or 1024 or above (in sandbox mode 80 is accepted, too)")]
    Port,
    #[error(
        "the URL's host must be a complete public name without a full stop at its end, such as hooks.example"
    )]
    Host,
    #[error(transparent)]
    Address(#[from] AddressError),
}

/// Last labels of names that belong to a machine or to a network of its own (RFC 6761, RFC 6762, RFC 8375, and `internal`, which
/// ICANN reserves).
const LOCAL_DOMAINS: [&str; 4] = ["localhost", "local", "internal", "arpa"];

impl EndpointUrl {
    /// Parses a URL. The result is in the normal form of the URL standard (https://url.spec.whatwg.org), in which every
    /// spelling of an IP address, for instance `2130706433` or `0x7f.1`, is the address.
    pub fn parse(text: &str, sandbox_mode: bool) -> Result<Self, UrlError> {
        // The parser would drop spaces and line breaks, and rewrite letters beyond ASCII.
        let is_ascii = text.bytes().all(|byte| byte.is_ascii_graphic());
        if !is_ascii || text.len() > MAX_URL_LENGTH {
            return Err(UrlError::Malformed);
        }
        let url = Self(Url::parse(text).map_err(|_| UrlError::Malformed)?);
        url.check(sandbox_mode)?;
        Ok(url)
    }

    /// Returns the URL, which may hold a token in its path and query.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// Returns the host in lower case; an IPv6 address in brackets.
    pub fn host(&self) -> &str {
        self.0.host_str().unwrap_or_default()
    }

    /// Returns the port.
    pub fn port(&self) -> u16 {
        self.0.port_or_known_default().unwrap_or_default()
    }

    /// Whether both have the same scheme, host and port.
    pub fn has_origin_of(&self, other: &Self) -> bool {
        self.0.origin() == other.0.origin()
    }

    /// Accepts a URL that this mode allows. The addresses of a host's name are checked for each connection.
    pub(crate) fn check(&self, sandbox_mode: bool) -> Result<(), UrlError> {
        let url = &self.0;
        let is_http = sandbox_mode && url.scheme() == "http";
        if url.scheme() != "https" && !is_http {
            return Err(UrlError::Scheme);
        }
        if url.as_str().len() > MAX_URL_LENGTH {
            return Err(UrlError::Malformed);
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(UrlError::Credentials);
        }
        if url.fragment().is_some() {
            return Err(UrlError::Fragment);
        }
        // Other ports below 1024 belong to other protocols, such as mail.
        let is_allowed = match self.port() {
            443 | 1024.. => true,
            port => is_http && port == 80,
        };
        if !is_allowed {
            return Err(UrlError::Port);
        }
        let host = self.host().trim_matches(['[', ']']);
        if let Ok(ip) = host.parse::<IpAddr>() {
            address::check(ip, sandbox_mode)?;
        } else if !is_name(host) || !(sandbox_mode || is_public_name(host)) {
            return Err(UrlError::Host);
        }
        Ok(())
    }
}

/// Whether a host is a name of labels as DNS has them (RFC 1035, and underscores). A name has one spelling: a full stop at the
/// end would be a second one.
fn is_name(host: &str) -> bool {
    let is_label = |label: &str| {
        let mut bytes = label.bytes();
        (1..=63).contains(&label.len())
            && bytes.all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    host.len() <= 253 && host.split('.').all(is_label)
}

/// Whether a name can be known outside its own network. The addresses decide in any case; without these names, an endpoint's
/// failures show nothing about names in Khata's network.
fn is_public_name(host: &str) -> bool {
    host.rsplit_once('.')
        .is_some_and(|(_, last)| !LOCAL_DOMAINS.contains(&last))
}

impl fmt::Debug for EndpointUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, host, port) = (self.0.scheme(), self.host(), self.port());
        write!(f, "EndpointUrl({scheme}://{host}:{port}/***)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn public_https_urls_are_accepted() {
        for (text, normal) in [
            ("https://hooks.example", "https://hooks.example/"),
            ("https://Hooks.Example:443/a", "https://hooks.example/a"),
            (
                "https://hooks.example:8443/a?b=c",
                "https://hooks.example:8443/a?b=c",
            ),
            (
                "https://hooks.example:65535/",
                "https://hooks.example:65535/",
            ),
            ("https://hooks.example:1024/", "https://hooks.example:1024/"),
            (
                "https://xn--bcher-kva.example/",
                "https://xn--bcher-kva.example/",
            ),
            ("https://8.8.8.8/a", "https://8.8.8.8/a"),
            ("https://134744072/", "https://8.8.8.8/"),
            // The parts that a reader sees are not always those that the standard sees: the normal form shows them.
            ("https:hooks.example", "https://hooks.example/"),
            (r"https://8.8.8.8\@10.0.0.1/", "https://8.8.8.8/@10.0.0.1/"),
            (
                "https://[2606:4700:4700::1111]/",
                "https://[2606:4700:4700::1111]/",
            ),
        ] {
            let url = EndpointUrl::parse(text, false).unwrap();
            assert_eq!(url.as_str(), normal);
            assert_eq!(EndpointUrl::parse(text, true), Ok(url));
        }
    }

    #[test]
    fn urls_that_break_a_rule_are_refused() {
        let too_long = format!("https://hooks.example/{}", "a".repeat(MAX_URL_LENGTH));
        for (text, error) in [
            ("", UrlError::Malformed),
            ("hooks.example", UrlError::Malformed),
            ("/path", UrlError::Malformed),
            ("https://", UrlError::Malformed),
            ("https://hooks.example/a b", UrlError::Malformed),
            (" https://hooks.example/", UrlError::Malformed),
            ("https://hooks.example/\n", UrlError::Malformed),
            ("https://ho\tops.example/", UrlError::Malformed),
            ("https://bücher.example/", UrlError::Malformed),
            ("https://hooks.example:99999/", UrlError::Malformed),
            ("https://[fe80::1%25eth0]/", UrlError::Malformed),
            ("https://[fe80::1%eth0]/", UrlError::Malformed),
            ("https://1.2.3.4.5/", UrlError::Malformed),
            (&too_long, UrlError::Malformed),
            ("ftp://hooks.example/", UrlError::Scheme),
            ("file:///etc/passwd", UrlError::Scheme),
            ("gopher://hooks.example/", UrlError::Scheme),
            ("unix:/run/socket", UrlError::Scheme),
            ("https://user@hooks.example/", UrlError::Credentials),
            (
                "https://user:password@hooks.example/",
                UrlError::Credentials,
            ),
            ("https://:password@hooks.example/", UrlError::Credentials),
            ("https://8.8.8.8@10.0.0.1/", UrlError::Credentials),
            ("https://hooks.example/#fragment", UrlError::Fragment),
            ("https://hooks.example/#", UrlError::Fragment),
            ("https://hooks.example:0/", UrlError::Port),
            ("https://hooks.example:22/", UrlError::Port),
            ("https://hooks.example:25/", UrlError::Port),
            ("https://hooks.example:80/", UrlError::Port),
            ("https://hooks.example:1023/", UrlError::Port),
        ] {
            for sandbox_mode in [false, true] {
                assert_eq!(EndpointUrl::parse(text, sandbox_mode), Err(error), "{text}");
            }
        }
    }

    #[test]
    fn hosts_are_complete_public_names() {
        let (long_label, long_name) = ("a".repeat(64), format!("{}example", "a.".repeat(124)));
        for host in [
            "hooks.example.",
            "hooks..example",
            "a{b}.example",
            "a\"b.example",
            "a`b.example",
            "a%7Cb.example",
            "*.example",
            &format!("{long_label}.example"),
            &long_name,
        ] {
            for sandbox_mode in [false, true] {
                let refused = EndpointUrl::parse(&format!("https://{host}/"), sandbox_mode);
                assert!(
                    matches!(refused, Err(UrlError::Host | UrlError::Malformed)),
                    "{host}: {refused:?}"
                );
            }
        }
        for host in [
            "localhost",
            "LOCALHOST",
            "a.localhost",
            "vault",
            "metadata.google.internal",
            "printer.local",
            "postgres.khata.svc.cluster.local",
            "router.home.arpa",
        ] {
            let text = format!("https://{host}/");
            assert_eq!(
                EndpointUrl::parse(&text, false),
                Err(UrlError::Host),
                "{host}"
            );
            assert!(EndpointUrl::parse(&text, true).is_ok(), "{host}");
        }
        assert!(EndpointUrl::parse("https://a_b-c.hooks.example/", false).is_ok());
    }

    #[test]
    fn every_spelling_of_an_address_that_is_not_public_is_refused() {
        for host in [
            "10.0.0.1",
            "10.0.0.1.",
            r"10.0.0.1\@8.8.8.8",
            "10.1",
            "167772161",
            "0xa000001",
            "0xA.0x0.0x0.0x1",
            "012.0.0.1",
            "0012.0.0.01",
            "1%30.0.0.1",
            "10%2e0%2e0%2e1",
            "10%E3%80%820%E3%80%820%E3%80%821",
            "%EF%BC%91%EF%BC%90.0.0.1",
            "169.254.169.254",
            "2852039166",
            "0xa9fea9fe",
            "0251.0376.0251.0376",
            "0.0.0.0",
            "0",
            "0x0",
            "[::]",
            "[fd00:ec2::254]",
            "[FE80::1]",
            "[::ffff:10.0.0.1]",
            "[::ffff:a00:1]",
            "[0:0:0:0:0:ffff:7f00:1]",
            "[::127.0.0.1]",
            "[64:ff9b::10.0.0.1]",
            "[2002:a00:1::]",
        ] {
            for sandbox_mode in [false, true] {
                let refused = EndpointUrl::parse(&format!("https://{host}/"), sandbox_mode);
                assert!(
                    matches!(refused, Err(UrlError::Address(_))),
                    "{host}: {refused:?}"
                );
            }
        }
        for host in [
            "127.0.0.1",
            "127.1",
            "2130706433",
            "0x7f000001",
            "0177.0.0.1",
            "0x7f.1",
            "127.0.0.1.",
            "[::1]",
            "[0:0:0:0:0:0:0:1]",
        ] {
            let text = format!("https://{host}:8443/");
            let refused = EndpointUrl::parse(&text, false);
            assert!(
                matches!(refused, Err(UrlError::Address(_))),
                "{host}: {refused:?}"
            );
            assert!(EndpointUrl::parse(&text, true).is_ok(), "{host}");
        }
    }

    #[test]
    fn http_is_for_sandbox_mode_only() {
        for text in [
            "http://hooks.example/",
            "http://hooks.example:80/",
            "http://localhost:3000/hooks",
            "http://127.0.0.1:8080/",
        ] {
            assert_eq!(EndpointUrl::parse(text, false), Err(UrlError::Scheme));
            let url = EndpointUrl::parse(text, true).unwrap();
            assert_eq!(url.check(false), Err(UrlError::Scheme), "{text}");
        }
    }

    #[test]
    fn an_origin_is_scheme_host_and_port() {
        let url = |text: &str| EndpointUrl::parse(text, true).unwrap();
        let endpoint = url("https://hooks.example/khata?key=secret");
        for (text, is_same) in [
            ("https://hooks.example/orders/42", true),
            ("https://HOOKS.example:443/", true),
            ("https://hooks.example:8443/khata", false),
            ("http://hooks.example/khata", false),
            ("https://a.hooks.example/khata", false),
            ("https://hooks.example.evil.example/khata", false),
        ] {
            assert_eq!(url(text).has_origin_of(&endpoint), is_same, "{text}");
        }
    }

    #[test]
    fn debug_hides_path_and_query() {
        let url = EndpointUrl::parse("https://hooks.example/token/42?key=secret", false).unwrap();
        assert_eq!(
            format!("{url:?}"),
            "EndpointUrl(https://hooks.example:443/***)"
        );
    }
}
