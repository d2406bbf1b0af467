//! A stand-in for every gateway Khata speaks to: the same paths, headers, fields and codes, with the
//! published test data, a ledger of the rupees it dropped, and faults that can be switched on.
//!
//! Its wire types are its own on purpose: a type shared with a connector would hide the connector's
//! mistakes. Each gateway is one folder; what all gateways share is the [`ledger`], the
//! [`behaviour`], the counts of calls, the call-backs, the scenarios an account number asks for, and
//! the desk under `/_sandbox`.

pub mod behaviour;
mod calls;
pub mod cashfree;
pub mod decentro;
mod desk;
mod fault;
pub mod gateway;
pub mod ledger;
mod likeness;
mod memory;
pub mod payu;
pub mod razorpay;
mod rrn;
mod scenario;
mod settings;
pub mod setu;
mod shows;
mod sign;
mod switch;
mod tokens;
mod webhooks;

use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::{Server, ServerHandle};
use actix_web::http::KeepAlive;
use actix_web::web::{self, Data};
use actix_web::{App, HttpResponse, HttpServer};
use anyhow::Context;

use crate::behaviour::Behaviours;
use crate::calls::Calls;
use crate::cashfree::Cashfree;
use crate::decentro::Decentro;
use crate::ledger::Ledger;
use crate::payu::Payu;
use crate::razorpay::Razorpay;
use crate::scenario::FirstTimes;
use crate::setu::Setu;
use crate::webhooks::Webhooks;

pub use crate::settings::Settings;

/// Idle connections are kept longer than the usual client pool keeps them (90 s), so that it is the
/// client that closes: a server closing first can meet a request on its way.
const KEEP_ALIVE: Duration = Duration::from_mins(2);

/// How long a stop waits for answers that are on their way.
const STOP_GRACE_SECONDS: u64 = 2;

/// Everything the gateways share, and each gateway's own memory.
pub(crate) struct Sandbox {
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) behaviours: Behaviours,
    pub(crate) calls: Calls,
    pub(crate) webhooks: Webhooks,
    pub(crate) first_times: FirstTimes,
    pub(crate) cashfree: Cashfree,
    pub(crate) razorpay: Razorpay,
    pub(crate) setu: Setu,
    pub(crate) decentro: Decentro,
    pub(crate) payu: Payu,
    /// How long an account of "pending, then …" stays pending at least.
    pub(crate) published_pending: Duration,
    /// The longest a call that "hangs" holds its connection open.
    pub(crate) hang: Duration,
}

/// The bound sandbox: its port is known, it serves once it is run.
pub struct Application {
    server: Server,
    port: u16,
    ledger: Arc<Ledger>,
}

impl Application {
    /// Opens the ledger, binds the listening address and starts the workers.
    ///
    /// To be called inside an actix or tokio runtime. Fails when the address is taken or the ledger
    /// file cannot be read or written.
    pub fn build(settings: &Settings) -> anyhow::Result<Self> {
        let ledger = match settings.ledger_file() {
            Some(path) => Ledger::open(path)?,
            None => Ledger::in_memory(),
        };
        let sandbox = Data::new(Sandbox {
            ledger: Arc::clone(&ledger),
            behaviours: Behaviours::default(),
            calls: Calls::new(),
            webhooks: Webhooks::new()?,
            first_times: FirstTimes::default(),
            cashfree: Cashfree::new(),
            razorpay: Razorpay::new(),
            setu: Setu::new(),
            decentro: Decentro::new(),
            payu: Payu::new(),
            published_pending: Duration::from_millis(settings.published_pending_ms),
            hang: Duration::from_millis(settings.hang_ms),
        });
        let server = HttpServer::new(move || {
            App::new()
                .app_data(sandbox.clone())
                .configure(desk::routes)
                .configure(cashfree::routes)
                .configure(razorpay::routes)
                .configure(setu::routes)
                .configure(decentro::routes)
                .configure(payu::routes)
                .default_service(web::to(no_such_path))
        })
        .workers(settings.threads)
        .keep_alive(KeepAlive::Timeout(KEEP_ALIVE))
        // A busy machine may send the request long after it has connected.
        .client_request_timeout(Duration::ZERO)
        .on_connect(fault::keep_line)
        .tcp_nodelay(true)
        // A client that has gone is noticed at once, so that a hanging call ends with it.
        .h1_allow_half_closed(false)
        .shutdown_timeout(STOP_GRACE_SECONDS)
        .disable_signals()
        .bind(&settings.listen)
        .with_context(|| format!("cannot listen on {}", settings.listen))?;
        let port = server
            .addrs()
            .first()
            .context("no address was bound")?
            .port();
        Ok(Self {
            server: server.run(),
            port,
            ledger,
        })
    }

    /// The port that was bound; differs from the one asked for only when that was 0.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// What stops the server from elsewhere.
    pub fn handle(&self) -> ServerHandle {
        self.server.handle()
    }

    /// Serves until the handle says stop, then writes out what the ledger still holds.
    pub async fn run_until_stopped(self) -> anyhow::Result<()> {
        let served = self.server.await.context("the server failed");
        self.ledger.close();
        served
    }
}

async fn no_such_path() -> HttpResponse {
    HttpResponse::NotFound().json(desk::Problem::new("there is nothing at this path"))
}
