//! A client's connection with bounds: what the API buffers for it, and how long it waits for a client that does not read.
//!
//! The HTTP server decodes every request that it has read before it serves the first one, which takes some kilobytes for each.
//! A client without a key could make it hold thousands of them. The connection therefore hands over one head at a time, and
//! none while a request is served or while the client does not read a reply.

use std::cell::{Cell, RefCell};
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::rt::net::TcpStream;
use actix_web::rt::time::{Sleep, sleep};
use actix_web::web::{Bytes, BytesMut};
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Time after which the API closes the connection of a client that takes no byte of its reply.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);
/// Most bytes read while a request is served. Reading shows whether the client has gone.
const READ_AHEAD: usize = 512;
/// Size of the pieces in which a reply is copied to the buffer of its connection.
const PIECE: usize = 16 * 1024;
/// Size of each of the two buffers of a socket. The kernel doubles it, and counts it as memory of the container.
const SOCKET_BUFFER: usize = 32 * 1024;

/// A TCP connection within its bounds.
pub(crate) struct Connection {
    socket: TcpStream,
    /// Read from the socket and not yet handed over.
    ahead: BytesMut,
    /// Whether the bytes handed over end with a line's end.
    at_line_start: bool,
    /// Whether the last bytes handed over end a head.
    gave_head: bool,
    /// Runs while the client takes no byte of its reply.
    write_timeout: Option<Pin<Box<Sleep>>>,
    reading: Rc<Reading>,
}

/// The state that decides whether a connection may hand over bytes. The request that is served changes it.
#[derive(Default)]
pub(crate) struct Reading {
    serves: Cell<bool>,
    receives_body: Cell<bool>,
    /// The server's task, while it waits for permission to read.
    waiting: RefCell<Option<Waker>>,
}

impl Connection {
    pub(crate) fn new(socket: TcpStream) -> Self {
        let options = SockRef::from(&socket);
        // Without these bounds the kernel may keep several megabytes for each connection.
        for bounded in [
            options.set_send_buffer_size(SOCKET_BUFFER),
            options.set_recv_buffer_size(SOCKET_BUFFER),
        ] {
            if let Err(error) = bounded {
                tracing::debug!(%error, "cannot bound a socket's buffer");
            }
        }
        Self {
            socket,
            ahead: BytesMut::new(),
            at_line_start: true,
            gave_head: false,
            write_timeout: None,
            reading: Rc::default(),
        }
    }

    /// Returns the state that the requests on the connection change.
    pub(crate) fn reading(&self) -> Rc<Reading> {
        Rc::clone(&self.reading)
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
        }
        Poll::Pending
    }

    /// Takes back what follows the first head in the bytes from `begin` on.
    fn keep_one_head(&mut self, buffer: &mut ReadBuf<'_>, begin: usize) {
        let bytes = &buffer.filled()[begin..];
        let end = bytes.iter().position(|byte| match byte {
            b'\n' => std::mem::replace(&mut self.at_line_start, true),
            b'\r' => false,
            _ => {
                self.at_line_start = false;
                false
            }
        });
        let Some(end) = end else { return };
        let mut ahead = BytesMut::from(&bytes[end + 1..]);
        ahead.unsplit(std::mem::take(&mut self.ahead));
        self.ahead = ahead;
        self.gave_head = true;
        buffer.set_filled(begin + end + 1);
    }

    fn written(
        &mut self,
        result: Poll<io::Result<usize>>,
        task: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        if result.is_ready() {
            self.write_timeout = None;
            self.reading.wake();
            return result;
        }
        let timeout = self
            .write_timeout
            .get_or_insert_with(|| Box::pin(sleep(WRITE_TIMEOUT)));
        ready!(timeout.as_mut().poll(task));
        // Drop what the kernel still holds for the client: without this it keeps it for minutes.
        let _ = SockRef::from(&self.socket).set_linger(Some(Duration::ZERO));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl Reading {
    /// Begins to serve a request. Serving ends when the result is dropped.
    pub(crate) fn serve(self: &Rc<Self>) -> Serving {
        self.serves.set(true);
        Serving(Rc::clone(self))
    }

    /// Begins to receive the body of the request that is served. Receiving ends when the result is dropped.
    pub(crate) fn receive(self: &Rc<Self>) -> Receiving {
        self.receives_body.set(true);
        self.wake();
        Receiving(Rc::clone(self))
    }

    fn wait(&self, task: &Context<'_>) {
        self.waiting.replace(Some(task.waker().clone()));
    }

    fn wake(&self) {
        if let Some(task) = self.waiting.take() {
            task.wake();
        }
    }
}

/// A request being served.
pub(crate) struct Serving(Rc<Reading>);

impl Drop for Serving {
    fn drop(&mut self) {
        self.0.serves.set(false);
        self.0.wake();
    }
}

/// A body being received.
pub(crate) struct Receiving(Rc<Reading>);

impl Drop for Receiving {
    fn drop(&mut self) {
        self.0.receives_body.set(false);
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        task: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let receives_body = self.reading.receives_body.get();
        if self.write_timeout.is_some() {
            self.reading.wait(task);
            return Poll::Pending;
        }
        if self.reading.serves.get() && !receives_body {
            self.reading.wait(task);
            return self.poll_end(task);
        }
        if std::mem::take(&mut self.gave_head) && !receives_body {
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
        if !receives_body {
            self.keep_one_head(buffer, begin);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        task: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.socket).poll_write(task, bytes);
        self.written(result, task)
    }

    fn poll_flush(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<io::Result<()>> {
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
}

impl Pieces {
    pub(crate) fn new(body: BoxBody) -> Self {
        let rest = Bytes::new();
        Self { body, rest }
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
