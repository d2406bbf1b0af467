//! The state of a connection that its requests change.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::{Context, Waker};
use std::time::Instant;

/// The state that decides whether a connection may hand over bytes and whether it may be closed. Its requests change it.
pub(crate) struct ConnectionState {
    serves: Cell<bool>,
    receives_body: Cell<bool>,
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
            sends_body: Cell::default(),
            is_authenticated: Cell::default(),
            must_close: Cell::default(),
            since: Cell::new(now),
            idle_since: Cell::new(now),
            waiting: RefCell::default(),
        })
    }

    /// Begins to serve a request. Serving ends when the result is dropped.
    pub(crate) fn serve(self: &Rc<Self>, now: Instant) -> Serving {
        self.serves.set(true);
        self.since.set(now);
        Serving(Rc::clone(self))
    }

    /// Begins to receive the body of the request that is served. Receiving ends when the result is dropped.
    pub(crate) fn receive(self: &Rc<Self>) -> Receiving {
        self.receives_body.set(true);
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

    /// Wakes the server's task if it has something to do now. Otherwise the socket wakes it.
    fn wake_to_go_on(&self) {
        if self.has_ahead.get() || self.must_close() {
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
pub(crate) struct Serving(Rc<ConnectionState>);

impl Drop for Serving {
    fn drop(&mut self) {
        self.0.serves.set(false);
        self.0.idle_since.set(Instant::now());
        self.0.wake_to_go_on();
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
