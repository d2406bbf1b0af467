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
#[derive(Clone, Debug)]
pub(crate) struct Servers {
    pub(crate) postgres: Url,
    pub(crate) broker: Url,
    pub(crate) gateway: Url,
    pub(crate) collector: Option<Url>,
}

impl Servers {
    /// Starts a proxy before each server. Returns the proxies, and the same servers as seen through them.
    pub(crate) fn through_proxies(&self) -> anyhow::Result<(Proxies, Self)> {
        let collector = self.collector.as_ref().map(proxy_before).transpose()?;
        let (collector, collector_url) = collector.unzip();
        let (postgres, postgres_url) = proxy_before(&self.postgres)?;
        let (broker, broker_url) = proxy_before(&self.broker)?;
        let (gateway, gateway_url) = proxy_before(&self.gateway)?;
        let proxies = Proxies {
            postgres,
            broker,
            gateway,
            collector,
        };
        let servers = Self {
            postgres: postgres_url,
            broker: broker_url,
            gateway: gateway_url,
            collector: collector_url,
        };
        Ok((proxies, servers))
    }
}

fn proxy_before(url: &Url) -> anyhow::Result<(Proxy, Url)> {
    let addresses = url.socket_addrs(|| None)?;
    let proxy = Proxy::start(*addresses.first().context("a URL without an address")?)?;
    let mut through = url.clone();
    through
        .set_port(Some(proxy.port()))
        .ok()
        .context("a URL without a port")?;
    Ok((proxy, through))
}
