//! The state of a connection that its requests change.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::{Context, Waker};
use std::time::Instant;

/// The state that decides whether a connection may hand over bytes and whether it may be closed. Its requests change it.
pub(crate) struct ConnectionState {
    serves: Cell<bool>,
    receives_body: Cell<bool>,
    /// Bytes of the body that have not been handed over; `None` if it is chunked.
    body_left: Cell<Option<usize>>,
    /// Bytes that were handed over behind the last head.
    following: Cell<usize>,
    /// Whether they are a part of the next head.
    has_part_of_head: Cell<bool>,
    sends_body: Cell<bool>,
    /// Whether a request on the connection had a valid key or signature.
    is_authenticated: Cell<bool>,
    /// Whether the connection must close, because others need its place.
    must_close: Cell<bool>,
    /// When the connection or its last request began.
    since: Cell<Instant>,
    /// When the connection began, or its last request ended.
    idle_since: Cell<Instant>,
    /// Whether the connection has read bytes that it has not handed over.
    has_ahead: Cell<bool>,
    /// The server's task, while it waits.
    waiting: RefCell<Option<Waker>>,
}

impl ConnectionState {
    pub(super) fn new() -> Rc<Self> {
        let now = Instant::now();
        Rc::new(Self {
            serves: Cell::default(),
            has_ahead: Cell::default(),
            receives_body: Cell::default(),
            body_left: Cell::default(),
            following: Cell::default(),
            has_part_of_head: Cell::default(),
            sends_body: Cell::default(),
            is_authenticated: Cell::default(),
            must_close: Cell::default(),
            since: Cell::new(now),
            idle_since: Cell::new(now),
            waiting: RefCell::default(),
        })
    }

    /// Begins to serve a request. Serving ends when the result is dropped.
    pub(crate) fn serve(self: &Rc<Self>, now: Instant, has_body: bool) -> Serving {
        self.serves.set(true);
        self.since.set(now);
        Serving {
            connection: Rc::clone(self),
            has_body,
        }
    }

    /// Begins to receive the body of the request that is served, of this length if it is not chunked. Receiving ends when the
    /// result is dropped.
    pub(crate) fn receive(self: &Rc<Self>, length: Option<usize>) -> Receiving {
        let left = length.map(|length| length.saturating_sub(self.following.get()));
        self.body_left.set(left);
        // The rest of a body comes; all of a short one has come with the head.
        self.receives_body.set(left != Some(0));
        self.wake_to_go_on();
        Receiving(Rc::clone(self))
    }

    /// Notes that the client has a valid key or signature: its connection is closed after those of unknown clients.
    pub(crate) fn authenticate(&self) {
        self.is_authenticated.set(true);
    }

    /// Begins to send the body of a reply. Sending ends when the result is dropped.
    pub(super) fn send(self: &Rc<Self>) -> Sending {
        self.sends_body.set(true);
        Sending(Rc::clone(self))
    }

    /// Closes the connection as soon as it serves no request.
    pub(super) fn close(&self) {
        self.must_close.set(true);
        self.wake();
    }

    pub(super) fn serves(&self) -> bool {
        self.serves.get()
    }

    pub(super) fn receives_body(&self) -> bool {
        self.receives_body.get()
    }

    pub(super) fn sends_body(&self) -> bool {
        self.sends_body.get()
    }

    pub(super) fn is_authenticated(&self) -> bool {
        self.is_authenticated.get()
    }

    pub(super) fn must_close(&self) -> bool {
        self.must_close.get()
    }

    /// Whether the connection must end now: no request is served, and no merchant takes its reply.
    pub(super) fn must_end(&self) -> bool {
        let is_busy = self.serves() || (self.is_authenticated() && self.sends_body());
        self.must_close() && !is_busy
    }

    pub(super) fn since(&self) -> Instant {
        self.since.get()
    }

    pub(super) fn idle_since(&self) -> Instant {
        self.idle_since.get()
    }

    pub(super) fn set_ahead(&self, has_ahead: bool) {
        self.has_ahead.set(has_ahead);
    }

    pub(super) fn set_idle(&self) {
        self.idle_since.set(Instant::now());
    }

    /// Takes these bytes of the body, as far as it has as many; `None` if it is chunked.
    pub(super) fn take_body(&self, bytes: usize) -> Option<usize> {
        let left = self.body_left.get()?;
        let body = bytes.min(left);
        self.body_left.set(Some(left - body));
        if body == left {
            self.receives_body.set(false);
        }
        Some(body)
    }

    pub(super) fn set_following(&self, bytes: usize) {
        self.following.set(bytes);
    }

    /// Whether a part of the next head was handed over with the last one.
    pub(super) fn take_part_of_head(&self) -> bool {
        self.has_part_of_head.take()
    }

    /// Wakes the server's task if it has something to do now. Otherwise the socket wakes it.
    fn wake_to_go_on(&self) {
        if self.has_ahead.get() || self.must_close() || self.has_part_of_head.get() {
            self.wake();
        }
    }

    pub(super) fn wait(&self, task: &Context<'_>) {
        let mut waiting = self.waiting.borrow_mut();
        if !waiting
            .as_ref()
            .is_some_and(|known| known.will_wake(task.waker()))
        {
            *waiting = Some(task.waker().clone());
        }
    }

    pub(super) fn wake(&self) {
        if let Some(task) = self.waiting.take() {
            task.wake();
        }
    }
}

/// A request being served.
pub(crate) struct Serving {
    connection: Rc<ConnectionState>,
    has_body: bool,
}

impl Drop for Serving {
    fn drop(&mut self) {
        let connection = &self.connection;
        connection.serves.set(false);
        connection.set_idle();
        let has_part_of_head = connection.following.get() > 0 && !self.has_body;
        connection.has_part_of_head.set(has_part_of_head);
        connection.wake_to_go_on();
    }
}

/// A body being received.
pub(crate) struct Receiving(Rc<ConnectionState>);

impl Drop for Receiving {
    fn drop(&mut self) {
        self.0.receives_body.set(false);
    }
}

/// The body of a reply being sent.
pub(super) struct Sending(Rc<ConnectionState>);

impl Drop for Sending {
    fn drop(&mut self) {
        self.0.sends_body.set(false);
    }
}
