//! Proxies before the servers that a test makes fail.

use anyhow::Context;
use khata_testing::Proxy;
use reqwest::Url;

/// The proxies of a test stack.
#[derive(Debug)]
pub struct Proxies {
    /// Between the services and Postgres.
    pub postgres: Proxy,
    /// Between the services and RabbitMQ.
    pub broker: Proxy,
    /// Between the workers and the gateway sandbox.
    pub gateway: Proxy,
    /// Between the services and the trace viewer, if the stack has one.
    pub collector: Option<Proxy>,
}

/// The servers that a stack's services use.
pub(crate) struct Servers {
    pub(crate) postgres: Url,
    pub(crate) broker: Url,
    pub(crate) gateway: Url,
    pub(crate) collector: Option<Url>,
}

impl Proxies {
    /// Starts a proxy before each server, and makes the server's URL lead through it.
    pub(crate) fn start(servers: &mut Servers) -> anyhow::Result<Self> {
        Ok(Self {
            postgres: proxy_before(&mut servers.postgres)?,
            broker: proxy_before(&mut servers.broker)?,
            gateway: proxy_before(&mut servers.gateway)?,
            collector: servers.collector.as_mut().map(proxy_before).transpose()?,
        })
    }
}

fn proxy_before(url: &mut Url) -> anyhow::Result<Proxy> {
    let proxy = Proxy::start(url.socket_addrs(|| None)?.as_slice())?;
    url.set_port(Some(proxy.port()))
        .ok()
        .context("a URL without a port")?;
    Ok(proxy)
}
