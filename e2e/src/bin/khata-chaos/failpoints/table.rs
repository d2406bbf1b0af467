//! The table of cells: which point of which process is tried with which gateway.

use anyhow::Result;
use khata_e2e::{Sandbox, SandboxGateway};

use crate::run::Run;

/// The failure of a process at a point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// The process ends at once, and another one starts.
    Exit,
    /// The task or thread at the point sleeps past the lease, and another process takes over.
    Sleep,
    /// The connection that the step, or the next one, uses is lost.
    Lose,
}

pub(super) const ACTIONS: [Action; 3] = [Action::Exit, Action::Sleep, Action::Lose];

impl Action {
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Exit => "exit",
            Self::Sleep => "sleep",
            Self::Lose => "lose",
        }
    }
}

/// A program of Khata.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Program {
    Api,
    Worker,
}

impl Program {
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Api => "api",
            Self::Worker => "worker",
        }
    }
}

/// A server to which the connection is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Link {
    Postgres,
    Broker,
    Gateway,
    /// Receivers of webhooks.
    Receivers,
}

/// The condition in which an account gets to the point, beside the calls of every cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Load {
    Usual,
    /// The first calls to the gateway fail before it works, and nothing says so.
    LostCalls,
    /// The gateway sends webhooks, which come before the next poll.
    GatewayWebhooks,
    /// Nothing before the cell may be open at the receivers: the point is on the way of a webhook.
    Deliveries,
}

/// One point of one program.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cell {
    pub(super) point: &'static str,
    pub(super) program: Program,
    pub(super) link: Link,
    pub(super) load: Load,
}

const fn api(point: &'static str, link: Link) -> Cell {
    Cell {
        point,
        program: Program::Api,
        link,
        load: Load::Usual,
    }
}

const fn worker(point: &'static str, link: Link) -> Cell {
    Cell {
        program: Program::Worker,
        ..api(point, link)
    }
}

const fn with(load: Load, cell: Cell) -> Cell {
    Cell { load, ..cell }
}

/// Steps whose recovery depends on the gateway.
const CALLS: &[Cell] = &[
    worker("claim-before-commit", Link::Postgres),
    worker("claim-after-commit", Link::Postgres),
    worker("call-before-request", Link::Gateway),
    worker("call-after-response", Link::Postgres),
    worker("outcome-before-commit", Link::Postgres),
    worker("outcome-after-commit", Link::Postgres),
];
/// Steps of gateways with pending outcomes.
const POLLS: &[Cell] = &[
    worker("pending-before-commit", Link::Postgres),
    worker("pending-after-commit", Link::Postgres),
    worker("lookup-before-request", Link::Gateway),
    worker("lookup-after-response", Link::Postgres),
];
/// Steps of gateways at which a call is made again.
const REPEATS: &[Cell] = &[
    with(
        Load::LostCalls,
        worker("repeat-before-request", Link::Gateway),
    ),
    with(
        Load::LostCalls,
        worker("repeat-after-response", Link::Postgres),
    ),
];
const GATEWAY_WEBHOOKS: &[Cell] = &[
    with(
        Load::GatewayWebhooks,
        api("gateway-webhook-before-commit", Link::Postgres),
    ),
    with(
        Load::GatewayWebhooks,
        api("gateway-webhook-after-commit", Link::Broker),
    ),
];
const WRITES: &[Cell] = &[
    api("create-before-commit", Link::Postgres),
    api("create-after-commit", Link::Postgres),
    api("create-before-publish", Link::Broker),
    api("validate-before-commit", Link::Postgres),
    api("validate-after-commit", Link::Broker),
    api("reply-before-record", Link::Postgres),
    api("wakeup-before-publish", Link::Broker),
    api("wakeup-before-confirm", Link::Broker),
    api("wakeup-after-confirm", Link::Broker),
    api("signal-before-publish", Link::Broker),
];
const MESSAGES: &[Cell] = &[
    worker("message-before-ack", Link::Broker),
    worker("message-after-ack", Link::Broker),
    worker("schedule-before-commit", Link::Postgres),
    worker("schedule-after-commit", Link::Broker),
    worker("wakeup-before-publish", Link::Broker),
    worker("wakeup-before-confirm", Link::Broker),
    worker("wakeup-after-confirm", Link::Broker),
];
const fn delivery(point: &'static str, link: Link) -> Cell {
    with(Load::Deliveries, worker(point, link))
}
const DELIVERY_CLAIMS: &[Cell] = &[
    delivery("delivery-claim-before-commit", Link::Postgres),
    delivery("delivery-claim-after-commit", Link::Postgres),
];
const DELIVERY_CALLS: &[Cell] = &[
    delivery("delivery-before-request", Link::Receivers),
    delivery("delivery-after-reply", Link::Postgres),
];
const DELIVERY_RESULTS: &[Cell] = &[
    delivery("delivery-before-commit", Link::Postgres),
    delivery("delivery-after-commit", Link::Postgres),
];

/// Cells that follow each other on one stack, whose merchant has one gateway account.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) name: &'static str,
    pub(super) gateways: &'static [&'static str],
    /// The accounts are UPI addresses.
    pub(super) is_upi: bool,
    cells: &'static [&'static [Cell]],
}

const fn bank(
    name: &'static str,
    gateways: &'static [&'static str],
    cells: &'static [&'static [Cell]],
) -> Group {
    Group {
        name,
        gateways,
        is_upi: false,
        cells,
    }
}

const fn any(name: &'static str, cells: &'static [&'static [Cell]]) -> Group {
    bank(name, &["CASHFREE"], cells)
}

/// The gateways by how a lost call is found (docs/reliability.md, "After a lost response"), then the steps to which the gateway
/// makes no difference.
pub(super) static GROUPS: [Group; 10] = [
    bank("CASHFREE", &["CASHFREE"], &[CALLS, POLLS, GATEWAY_WEBHOOKS]),
    bank(
        "RAZORPAY",
        &["RAZORPAY"],
        &[CALLS, POLLS, REPEATS, GATEWAY_WEBHOOKS],
    ),
    bank("DECENTRO", &["DECENTRO"], &[CALLS, POLLS, REPEATS]),
    bank("SETU", &["SETU"], &[CALLS, POLLS, GATEWAY_WEBHOOKS]),
    Group {
        is_upi: true,
        ..bank("UPI", &["CASHFREE"], &[CALLS, REPEATS])
    },
    any("writes", &[WRITES]),
    any("messages", &[MESSAGES]),
    any("claims", &[DELIVERY_CLAIMS]),
    any("webhooks", &[DELIVERY_CALLS]),
    any("results", &[DELIVERY_RESULTS]),
];

impl Group {
    pub(super) fn cells(&self) -> impl Iterator<Item = &'static Cell> {
        self.cells.iter().copied().flatten()
    }

    /// Returns the gateway of the group.
    pub(super) fn gateway(&self) -> SandboxGateway {
        SandboxGateway::named(self.gateways[0])
    }

    /// Makes the gateway's calls pass through the proxy. Returns the id of the merchant's account there.
    pub(super) fn prepare(&self, run: &Run) -> Result<String> {
        let port = run.stack.proxies()?.gateway.port();
        let proxied = Sandbox::new(&format!("http://127.0.0.1:{port}"));
        let gateway = self.gateway();
        let url = gateway.base_url(&proxied);
        run.stack.set_gateway_account(&gateway.account(&url, 1))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::GROUPS;

    /// Names of the points in the source of Khata.
    fn points() -> BTreeSet<&'static str> {
        let source = include_str!("../../../../../shared/domain/src/failpoints.rs");
        let names = source.lines().filter_map(|line| {
            let name = line.split("Self = Self(\"").nth(1)?;
            name.split('"').next()
        });
        names.collect()
    }

    #[test]
    fn every_point_has_a_cell() {
        let tried: BTreeSet<&str> = GROUPS
            .iter()
            .flat_map(super::Group::cells)
            .map(|cell| cell.point)
            .collect();
        assert!(tried.len() > 30);
        assert_eq!(tried, points());
    }

    #[test]
    fn the_page_has_a_row_for_every_point() {
        let page = include_str!("../../../../../docs/proof.md");
        let section = page.split("\n## Failpoints\n").nth(1).unwrap();
        let rows = section.lines().filter_map(|line| line.strip_prefix("| `"));
        let rows: BTreeSet<&str> = rows.filter_map(|row| row.split('`').next()).collect();
        let missing: Vec<_> = points()
            .into_iter()
            .filter(|point| !rows.contains(point))
            .collect();
        assert!(missing.is_empty(), "docs/proof.md lacks {missing:?}");
    }
}
