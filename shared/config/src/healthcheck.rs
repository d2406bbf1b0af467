//! Asks a running service whether it is ready, without needing curl in the image: for `khata-api healthcheck` and
//! `khata-worker healthcheck`.

use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(4);
/// An answer is a few hundred bytes.
const MAX_ANSWER: u64 = 16 * 1024;

/// Why a service does not count as ready.
#[derive(Debug, thiserror::Error)]
pub enum NotReadyError {
    /// The address.
    #[error("{0} is no address")]
    Address(String),
    /// Nobody there, or nobody who answers within four seconds.
    #[error("nobody answers on {listen}")]
    Silent {
        /// Where it was asked.
        listen: String,
        /// Why.
        source: io::Error,
    },
    /// It says so itself.
    #[error("not ready: {0}")]
    Said(String),
}

/// What `/health/ready` at this address says; an error unless that is 200.
pub fn ask(listen: &str) -> Result<String, NotReadyError> {
    let silent = |source| NotReadyError::Silent {
        listen: listen.to_owned(),
        source,
    };
    let addresses = listen.to_socket_addrs();
    let address = addresses.ok().and_then(|mut all| all.next());
    let address = address.ok_or_else(|| NotReadyError::Address(listen.to_owned()))?;
    let stream = TcpStream::connect_timeout(&address, PATIENCE).map_err(silent)?;
    let answer = exchange(stream, listen).map_err(silent)?;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    if head.starts_with("HTTP/1.1 200 ") {
        Ok(body.to_owned())
    } else {
        Err(NotReadyError::Said(body.to_owned()))
    }
}

fn exchange(mut stream: TcpStream, host: &str) -> io::Result<String> {
    stream.set_read_timeout(Some(PATIENCE))?;
    let question =
        format!("GET /health/ready HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    stream.write_all(question.as_bytes())?;
    let mut answer = String::new();
    stream.take(MAX_ANSWER).read_to_string(&mut answer)?;
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    /// Somebody who gives this answer, once.
    fn somebody(answer: &'static str) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            // To its end: a connection that is closed before is reset, and the answer lost with it.
            let mut asked = Vec::new();
            while !asked.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                stream.read_exact(&mut byte).unwrap();
                asked.extend(byte);
            }
            assert!(asked.starts_with(b"GET /health/ready HTTP/1.1\r\n"));
            stream.write_all(answer.as_bytes()).unwrap();
        });
        address
    }

    #[test]
    fn only_a_200_is_ready() {
        let ready = somebody("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}");
        assert_eq!(ask(&ready).unwrap(), "{}");
        for answer in [
            "HTTP/1.1 503 Service Unavailable\r\n\r\ndown",
            "HTTP/1.1 2000 OK\r\n\r\n",
            "",
        ] {
            let said = ask(&somebody(answer));
            assert!(
                matches!(said, Err(NotReadyError::Said(_))),
                "{answer}: {said:?}"
            );
        }
    }

    #[test]
    fn nobody_is_not_ready() {
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr();
        let nobody = ask(&free.unwrap().to_string());
        assert!(
            matches!(nobody, Err(NotReadyError::Silent { .. })),
            "{nobody:?}"
        );
        let no_gateway = ask("no_gateway");
        assert!(
            matches!(no_gateway, Err(NotReadyError::Address(_))),
            "{no_gateway:?}"
        );
    }
}
