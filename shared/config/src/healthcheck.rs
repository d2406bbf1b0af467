//! Checks whether a running service is ready, so that the image needs no curl: for `khata-api healthcheck` and
//! `khata-worker healthcheck`.

use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

const TIMEOUT: Duration = Duration::from_secs(4);
/// Maximum length of a response; usual ones have a few hundred bytes.
const MAX_RESPONSE: u64 = 16 * 1024;

/// Why a service is not ready.
#[derive(Debug, thiserror::Error)]
pub enum NotReadyError {
    #[error("{0} is not a valid address: give host and port, as 127.0.0.1:8080")]
    Address(String),
    /// No connection, or no response within four seconds.
    #[error("cannot connect to {listen}: is the service running? Set --listen to its address")]
    Unreachable { listen: String, source: io::Error },
    /// The service reports that it is not ready.
    #[error("not ready: {0}")]
    NotReady(String),
}

/// Returns the body of `/health/ready` at this address; an error unless the status is 200.
pub fn check(listen: &str) -> Result<String, NotReadyError> {
    let unreachable = |source| NotReadyError::Unreachable {
        listen: listen.to_owned(),
        source,
    };
    let addresses = listen.to_socket_addrs();
    let address = addresses.ok().and_then(|mut all| all.next());
    let address = address.ok_or_else(|| NotReadyError::Address(listen.to_owned()))?;
    let stream = TcpStream::connect_timeout(&address, TIMEOUT).map_err(unreachable)?;
    let response = exchange(stream, listen).map_err(unreachable)?;
    let (head, body) = response.split_once("\r\n\r\n").unwrap_or((&response, ""));
    if head.starts_with("HTTP/1.1 200 ") {
        Ok(body.to_owned())
    } else {
        Err(NotReadyError::NotReady(body.to_owned()))
    }
}

fn exchange(mut stream: TcpStream, host: &str) -> io::Result<String> {
    stream.set_read_timeout(Some(TIMEOUT))?;
    let request =
        format!("GET /health/ready HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut response = String::new();
    stream.take(MAX_RESPONSE).read_to_string(&mut response)?;
    Ok(response)
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    /// A server that sends this response, once.
    fn server(response: &'static str) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            // Reads the whole request: closing the connection before that resets it, and the response is lost.
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                stream.read_exact(&mut byte).unwrap();
                request.extend(byte);
            }
            assert!(request.starts_with(b"GET /health/ready HTTP/1.1\r\n"));
            stream.write_all(response.as_bytes()).unwrap();
        });
        address
    }

    #[test]
    fn only_a_200_is_ready() {
        let ready = server("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}");
        assert_eq!(check(&ready).unwrap(), "{}");
        for response in [
            "HTTP/1.1 503 Service Unavailable\r\n\r\ndown",
            "HTTP/1.1 2000 OK\r\n\r\n",
            "",
        ] {
            let result = check(&server(response));
            assert!(
                matches!(result, Err(NotReadyError::NotReady(_))),
                "{response}: {result:?}"
            );
        }
    }

    #[test]
    fn an_unreachable_service_is_not_ready() {
        // Nothing listens on this port, and the kernel gives it to no other test's server.
        let unreachable = check("127.0.0.1:9");
        assert!(
            matches!(unreachable, Err(NotReadyError::Unreachable { .. })),
            "{unreachable:?}"
        );
        let no_address = check("no_address");
        assert!(
            matches!(no_address, Err(NotReadyError::Address(_))),
            "{no_address:?}"
        );
    }
}
