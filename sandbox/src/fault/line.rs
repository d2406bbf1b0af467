//! The connection under a call, kept at hand so that it can be broken the hard way.

use std::any::Any;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use actix_web::HttpRequest;
use actix_web::dev::Extensions;
use actix_web::rt::net::TcpStream;
use socket2::SockRef;

/// A second handle on the connection's socket. It closes with the connection.
struct Line(OwnedFd);

/// Keeps a handle on a new connection. Without one (no descriptor is left) a reset is a plain close.
pub(crate) fn keep_line(connection: &dyn Any, kept: &mut Extensions) {
    let handle = connection
        .downcast_ref::<TcpStream>()
        .and_then(|stream| stream.as_fd().try_clone_to_owned().ok());
    if let Some(handle) = handle {
        kept.insert(Line(handle));
    }
}

/// From now on the connection ends with a reset (RST) instead of a farewell (FIN) when it is closed.
pub(super) fn reset_on_close(request: &HttpRequest) {
    if let Some(Line(handle)) = request.conn_data() {
        // A socket that is gone already cannot be reset, and need not be.
        let _ = SockRef::from(handle).set_linger(Some(Duration::ZERO));
    }
}
