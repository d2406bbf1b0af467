//! A stand-in for every gateway that Khata calls: the same paths, headers, fields and codes, with the
//! gateways' published test data, a ledger of the rupees that it dropped, and faults on demand.
//!
//! The sandbox shares no type with the connectors: a shared type would hide a connector's mistakes. Each
//! gateway is a profile with a table of field rules and refusals (`rules.txt`), its outcomes and its
//! replies. All share the ledger, the behaviour, the counts of calls, the webhooks, the scenarios that an
//! account number selects, and the control API under `/_sandbox`.

mod behaviour;
mod body;
mod calls;
pub mod cashfree;
mod control;
pub mod decentro;
mod fault;
mod gateway;
mod ids;
mod ledger;
mod name_similarity;
pub mod payu;
mod profile;
pub mod razorpay;
mod recent;
mod rules;
mod scenario;
mod serving;
mod settings;
pub mod setu;
mod state;
mod verification;
mod webhooks;

use std::time::Duration;

use actix_web::dev::{Server, ServerHandle};
use actix_web::http::KeepAlive;
use actix_web::web::{self, Data};
use actix_web::{App, HttpServer};
use anyhow::Context;

use crate::serving::ServedGateway;
use crate::state::Sandbox;

pub use crate::settings::Settings;

/// Time for which an idle connection stays open: longer than a usual client pool keeps one (90 s), so that
/// the client closes first. A server that closes first can lose a request on its way.
const KEEP_ALIVE: Duration = Duration::from_mins(2);

/// Time for which a stop waits for replies that are being sent.
const STOP_GRACE_SECONDS: u64 = 2;

/// The bound sandbox: its port is known, and it serves once it runs.
pub struct Application {
    server: Server,
    port: u16,
}

impl Application {
    /// Opens the ledger, binds the listening address and starts the workers.
    ///
    /// Call it inside an actix or tokio runtime. It fails when the address is taken, or the ledger unreadable.
    pub fn build(settings: &Settings) -> anyhow::Result<Self> {
        let gateways = [
            ServedGateway::new(&cashfree::PROFILES, cashfree::Cashfree::default()),
            ServedGateway::new(&razorpay::PROFILES, razorpay::Razorpay::default()),
            ServedGateway::new(&setu::PROFILES, setu::Setu::default()),
            ServedGateway::new(&decentro::PROFILES, decentro::Decentro::default()),
            ServedGateway::new(&payu::PROFILES, payu::Payu::default()),
        ];
        let names = gateways.iter().map(|served| served.gateway).collect();
        let sandbox = Data::new(Sandbox::new(settings, names)?);
        let server = HttpServer::new(move || {
            App::new()
                .app_data(sandbox.clone())
                .configure(control::routes)
                .configure(|config| gateways.iter().for_each(|served| (served.routes)(config)))
                .default_service(web::to(control::no_such_path))
        })
        .workers(settings.threads.into())
        .keep_alive(KeepAlive::Timeout(KEEP_ALIVE))
        // A busy machine may send the request long after it has connected.
        .client_request_timeout(Duration::ZERO)
        .on_connect(fault::keep_socket)
        .tcp_nodelay(true)
        // A closed client is noticed at once, so that a hanging call ends with its connection.
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
        })
    }

    /// Returns the bound port. It differs from the port in the settings only when that is 0.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Returns a handle that stops the server.
    pub fn handle(&self) -> ServerHandle {
        self.server.handle()
    }

    /// Serves until the handle stops the server.
    pub async fn run_until_stopped(self) -> anyhow::Result<()> {
        self.server.await.context("the server failed")
    }
}
