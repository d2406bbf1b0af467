//! A client's connection with bounds: what the API buffers for it, and how long it waits for a client that does not read or
//! does not write.
//!
//! The HTTP server decodes every request that it has read before it serves the first one, which takes some kilobytes for each.
//! A client without a key could make it hold thousands of them. The connection therefore hands over one head at a time, and
//! none while a request is served or while the client does not read a reply.

mod slots;
mod state;

use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::rt::net::TcpStream;
use actix_web::rt::time::{Sleep, sleep};
use actix_web::web::{Bytes, BytesMut};
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::shares::Share;
use slots::Slot;
use state::Sending;

pub(crate) use slots::Slots;
pub(crate) use state::ConnectionState;

/// Time limit for a request head, from its first byte on.
pub(crate) const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// Time after which an idle connection is closed. Longer than the usual 60 s of load balancers.
pub(crate) const KEEP_ALIVE: Duration = Duration::from_secs(75);
/// Time after which the connection ends that has no request. The HTTP server closes it earlier, unless bytes that follow a body
/// were handed over with it.
const IDLE_TIMEOUT: Duration = KEEP_ALIVE.saturating_add(Duration::from_secs(1));
/// Time after which the API closes the connection of a client that takes no byte of its reply.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);
/// Time in which a client must take the whole rest of a reply, from the first byte on that it does not take at once: enough for
/// the largest reply on a slow line.
const REPLY_TIMEOUT: Duration = Duration::from_mins(1);
/// Most bytes read while a request is served. Reading shows whether the client has gone.
const READ_AHEAD: usize = 512;
/// Size of the pieces in which a reply is copied to the buffer of its connection.
pub(crate) const PIECE: usize = 16 * 1024;
/// Size of each of the two buffers of a socket. The kernel doubles it, and counts it as memory of the container.
const SOCKET_BUFFER: usize = 32 * 1024;

type Timer = Pin<Box<Sleep>>;

/// A TCP connection within its bounds.
pub(crate) struct Connection {
    socket: TcpStream,
    /// Read from the socket and not yet handed over.
    ahead: BytesMut,
    /// How far the head has come whose bytes were handed over last. A body that came with its head counts as the begin of the next
    /// head: at worst, an empty line before that head counts as its end, and the server waits for the rest.
    head: Head,
    /// Whether the last bytes handed over contain the end of a head.
    gave_head: bool,
    /// When the first bytes of a head were handed over whose end has not come.
    head_began: Option<Instant>,
    /// Runs all the time, so that a request sets no timer.
    idle_timeout: Timer,
    /// Runs while the client takes no byte of its reply.
    write_timeout: Option<Timer>,
    /// Runs until the end of a reply that the client did not take at once.
    reply_timeout: Option<Timer>,
    state: Rc<ConnectionState>,
    _slot: Slot,
}

/// How far the head that is handed over has come.
#[derive(Clone, Copy, PartialEq)]
enum Head {
    Awaited,
    /// Only line ends have come, which may precede a head.
    Empty,
    InLine,
    LineEnd,
}

impl Head {
    /// Takes the next bytes. Returns how many of them belong to the head, if it ends in them.
    fn take(&mut self, bytes: &[u8]) -> Option<usize> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let end = rest.iter().position(|byte| *byte == b'\n');
            let line = &rest[..end.unwrap_or(rest.len())];
            if line.iter().any(|byte| *byte != b'\r') {
                *self = Self::InLine;
            } else if *self == Self::Awaited {
                *self = Self::Empty;
            }
            rest = &rest[end? + 1..];
            match self {
                Self::InLine => *self = Self::LineEnd,
                Self::Awaited | Self::Empty => {}
                Self::LineEnd => {
                    *self = Self::Awaited;
                    return Some(bytes.len() - rest.len());
                }
            }
        }
        None
    }
}

impl Connection {
    pub(crate) fn new(socket: TcpStream, slots: &Rc<Slots>) -> Self {
        let options = SockRef::from(&socket);
        for bounded in [
            // Without these bounds the kernel may keep several megabytes for each connection.
            options.set_send_buffer_size(SOCKET_BUFFER),
            options.set_recv_buffer_size(SOCKET_BUFFER),
            // Without this bound the kernel keeps what a client does not take for minutes, also of a closed connection. Linux counts
            // from the first moment at which a whole segment does not fit, even if the client goes on reading.
            options.set_tcp_user_timeout(Some(REPLY_TIMEOUT)),
        ] {
            if let Err(error) = bounded {
                tracing::debug!(%error, "cannot bound a socket");
            }
        }
        let state = ConnectionState::new();
        Self {
            socket,
            ahead: BytesMut::new(),
            head: Head::Awaited,
            gave_head: false,
            head_began: None,
            idle_timeout: Box::pin(sleep(IDLE_TIMEOUT)),
            write_timeout: None,
            reply_timeout: None,
            _slot: slots.take(&state, Instant::now()),
            state,
        }
    }

    /// Returns the state that the requests on the connection change.
    pub(crate) fn state(&self) -> Rc<ConnectionState> {
        Rc::clone(&self.state)
    }

    /// Waits without handing anything over. Returns only the end of the connection.
    fn poll_end(&mut self, task: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.ahead.is_empty() {
            let mut bytes = [0; READ_AHEAD];
            let mut buffer = ReadBuf::new(&mut bytes);
            ready!(Pin::new(&mut self.socket).poll_read(task, &mut buffer))?;
            if buffer.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
            self.ahead.extend_from_slice(buffer.filled());
            self.state.set_ahead(true);
        }
        Poll::Pending
    }

    /// Takes back what follows the first head in the bytes from `begin` on, if it contains the end of another one.
    fn keep_one_head(&mut self, buffer: &mut ReadBuf<'_>, begin: usize) {
        let bytes = &buffer.filled()[begin..];
        let Some(end) = self.head.take(bytes) else {
            if !bytes.is_empty() && self.head_began.is_none() {
                let now = Instant::now();
                self.head_began = Some(now);
                self.idle_timeout
                    .as_mut()
                    .reset((now + HEAD_TIMEOUT).into());
            }
            return;
        };
        self.gave_head = true;
        self.head_began = None;
        let following = &bytes[end..];
        if self.head.take(following).is_none() {
            self.state.set_following(following.len());
            return;
        }
        self.head = Head::Awaited;
        self.state.set_following(0);
        self.keep(buffer, begin + end);
    }

    /// Takes back what follows these bytes.
    fn keep(&mut self, buffer: &mut ReadBuf<'_>, end: usize) {
        let mut ahead = BytesMut::from(&buffer.filled()[end..]);
        ahead.unsplit(std::mem::take(&mut self.ahead));
        self.ahead = ahead;
        buffer.set_filled(end);
    }

    /// Takes back what follows the body in the bytes from `begin` on.
    fn keep_body(&mut self, buffer: &mut ReadBuf<'_>, begin: usize) {
        let length = buffer.filled().len() - begin;
        let body = self.state.take_body(length).unwrap_or_else(|| {
            // The server only knows the end of a chunked body: it must decode these bytes before it reads the next ones.
            self.gave_head = true;
            length.min(READ_AHEAD)
        });
        if body < length {
            self.keep(buffer, begin + body);
        }
    }

    /// Ends the connection if the next head does not come in time. The HTTP server's own time limits are for the first head, and
    /// for a connection without any byte of the next one.
    fn poll_idle_timeout(&mut self, task: &mut Context<'_>) -> io::Result<()> {
        if self.state.take_part_of_head() && self.head != Head::Awaited {
            let began = self.state.idle_since();
            self.head_began = Some(began);
            self.idle_timeout
                .as_mut()
                .reset((began + HEAD_TIMEOUT).into());
        }
        while self.idle_timeout.as_mut().poll(task).is_ready() {
            let now = Instant::now();
            let ends = match self.head_began {
                _ if self.state.serves() => now + IDLE_TIMEOUT,
                Some(began) => began + HEAD_TIMEOUT,
                None => self.state.idle_since() + IDLE_TIMEOUT,
            };
            if ends <= now {
                return Err(io::ErrorKind::TimedOut.into());
            }
            self.idle_timeout.as_mut().reset(ends.into());
        }
        Ok(())
    }

    fn written(
        &mut self,
        result: Poll<io::Result<usize>>,
        task: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        let reply_timeout = match (&mut self.reply_timeout, result.is_ready()) {
            (None, true) => return result,
            (timeout, _) => timeout.get_or_insert_with(|| Box::pin(sleep(REPLY_TIMEOUT))),
        };
        let mut has_ended = reply_timeout.as_mut().poll(task).is_ready();
        if result.is_ready() {
            self.write_timeout = None;
            self.state.wake();
        } else {
            let timeout = self
                .write_timeout
                .get_or_insert_with(|| Box::pin(sleep(WRITE_TIMEOUT)));
            has_ended |= timeout.as_mut().poll(task).is_ready();
            self.state.wait(task);
        }
        if !has_ended {
            return result;
        }
        // Drop what the kernel still holds for the client: without this it keeps it for minutes.
        let _ = SockRef::from(&self.socket).set_linger(Some(Duration::ZERO));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        task: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.state.must_end() {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        self.state.wait(task);
        self.poll_idle_timeout(task)?;
        if self.write_timeout.is_some() {
            return Poll::Pending;
        }
        let receives_body = self.state.receives_body();
        if self.state.serves() && !receives_body {
            return self.poll_end(task);
        }
        if std::mem::take(&mut self.gave_head) {
            // The server must decode this head before it reads the next one.
            let end = self.poll_end(task);
            if !self.ahead.is_empty() {
                task.waker().wake_by_ref();
            }
            return end;
        }
        let begin = buffer.filled().len();
        if self.ahead.is_empty() {
            ready!(Pin::new(&mut self.socket).poll_read(task, buffer))?;
        } else {
            let most = self.ahead.len().min(buffer.remaining());
            buffer.put_slice(&self.ahead.split_to(most));
        }
        if receives_body {
            self.keep_body(buffer, begin);
        } else {
            self.keep_one_head(buffer, begin);
        }
        self.state.set_ahead(!self.ahead.is_empty());
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        task: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.state.must_end() && self.write_timeout.is_some() {
            let _ = SockRef::from(&self.socket).set_linger(Some(Duration::ZERO));
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        let result = Pin::new(&mut self.socket).poll_write(task, bytes);
        self.written(result, task)
    }

    fn poll_flush(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<io::Result<()>> {
        // The server flushes when the connection has taken all bytes.
        if !self.state.sends_body() && self.reply_timeout.take().is_some() {
            self.state.set_idle();
        }
        Pin::new(&mut self.socket).poll_flush(task)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(task)
    }
}

/// A reply in pieces, so that the HTTP server never copies a large reply as a whole.
pub(crate) struct Pieces {
    body: BoxBody,
    rest: Bytes,
    /// The memory of the reply.
    _memory: Option<Share>,
    _sending: Option<Sending>,
}

impl Pieces {
    pub(crate) fn new(
        body: BoxBody,
        memory: Option<Share>,
        connection: Option<&Rc<ConnectionState>>,
    ) -> Self {
        Self {
            body,
            rest: Bytes::new(),
            _memory: memory,
            _sending: connection.map(ConnectionState::send),
        }
    }
}

impl MessageBody for Pieces {
    type Error = <BoxBody as MessageBody>::Error;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(
        mut self: Pin<&mut Self>,
        task: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Self::Error>>> {
        if self.rest.is_empty() {
            match ready!(Pin::new(&mut self.body).poll_next(task)) {
                Some(Ok(bytes)) => self.rest = bytes,
                end => return Poll::Ready(end),
            }
        }
        let piece = self.rest.len().min(PIECE);
        Poll::Ready(Some(Ok(self.rest.split_to(piece))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The number of heads that end in these bytes, which come in pieces of this length.
    fn heads_of(bytes: &[u8], piece: usize) -> usize {
        let (mut head, mut ends) = (Head::Awaited, 0);
        for mut piece in bytes.chunks(piece) {
            while let Some(end) = head.take(piece) {
                piece = &piece[end..];
                ends += 1;
            }
        }
        ends
    }

    fn heads(bytes: &[u8]) -> usize {
        let ends = heads_of(bytes, 1);
        for piece in [2, 3, 5, bytes.len()] {
            assert_eq!(heads_of(bytes, piece), ends, "in pieces of {piece}");
        }
        ends
    }

    #[test]
    fn a_head_ends_at_the_first_empty_line_after_its_begin() {
        assert_eq!(heads(b"GET / HTTP/1.1\r\nHost: x\r\n\r\nGET / "), 1);
        assert_eq!(heads(b"\r\n\nGET / HTTP/1.1\n\n\r\n\r\n"), 1);
        assert_eq!(heads(&b"\n".repeat(1_000)), 0);
        assert_eq!(heads(&b"\r\n".repeat(1_000)), 0);
    }
}
