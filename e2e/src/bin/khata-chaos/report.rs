//! The findings of a run: every account and every rupee is checked, and printed in a few lines.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::{Duration, Instant};

use anyhow::Context;
use khata_e2e::client::text;
use khata_e2e::{Api, Sandbox};
use serde_json::Value;

use crate::accounts::{Expected, Posted};

const PAUSE: Duration = Duration::from_millis(500);
/// The gateway of priority 1, whose test data the accounts are.
const CASHFREE: i16 = 70;
/// Maximum number of violations that are printed.
const MAX_PRINTED: usize = 10;

/// The findings of a run.
#[derive(Default)]
pub(crate) struct Findings {
    pub(crate) kills: BTreeMap<&'static str, usize>,
    /// Leases of killed workers.
    pub(crate) leases: HashSet<String>,
    created: usize,
    calls: usize,
    retries: usize,
    right: usize,
    drops: u64,
    violations: Vec<String>,
    /// Time from the last restart to the last outcome.
    pub(crate) settled_after: Duration,
}

impl Findings {
    pub(crate) fn are_good(&self) -> bool {
        self.violations.is_empty()
    }

    pub(crate) fn print(&self) {
        let kills = self.kills.iter();
        let kills: Vec<_> = kills
            .map(|(name, times)| format!("{name} {times}×"))
            .collect();
        println!("  killed       {}", kills.join(", "));
        println!("  leased then  {} validations", self.leases.len());
        println!(
            "  created      {} accounts in {} calls; failed calls, repeated: {}",
            self.created, self.calls, self.retries
        );
        println!("  as expected  {}", self.right);
        println!(
            "  last outcome {:.1} s after the last restart",
            self.settled_after.as_secs_f64()
        );
        println!("  paid         {} rupees", self.drops);
        for violation in self.violations.iter().take(MAX_PRINTED) {
            println!("  VIOLATION    {violation}");
        }
        let more = self.violations.len().saturating_sub(MAX_PRINTED);
        if more > 0 {
            println!("  VIOLATION    and {more} more");
        }
        if self.are_good() {
            println!("khata-chaos: no account was lost, and no account was paid twice");
        }
    }
}

/// Waits until all accounts are final, `until` at most, and checks them and the drops since `drops_before`.
pub(crate) async fn judge(
    api: &Api,
    sandbox: &Sandbox,
    posted: Vec<Posted>,
    drops_before: u64,
    until: Instant,
    findings: &mut Findings,
) -> anyhow::Result<()> {
    findings.calls = posted.len();
    findings.retries = posted.iter().map(|call| call.retries).sum();
    let mut paid = 0;
    for call in &posted {
        let seen = wait_until_final(api, call, until).await?;
        if seen.len() != call.accounts.len() {
            findings.violations.push(format!(
                "{} has {} accounts instead of {}",
                call.customer,
                seen.len(),
                call.accounts.len()
            ));
        }
        let seen: HashMap<&str, &Value> = seen
            .iter()
            .map(|account| (text(account, "/id"), account))
            .collect();
        for expected in &call.accounts {
            findings.created += 1;
            paid += u64::from(expected.is_paid);
            match wrong(expected, seen.get(expected.id.as_str()).copied()) {
                None => findings.right += 1,
                Some(sentence) => findings.violations.push(sentence),
            }
        }
    }
    if findings.leases.is_empty() {
        findings
            .violations
            .push("no kill interrupted a validation: this run proves nothing".to_owned());
    }
    let drops = sandbox.drops().await?;
    findings.drops = drops.total - drops_before;
    for double in drops.doubles() {
        findings.violations.push(format!(
            "{} was paid {} times",
            double.reference, double.count
        ));
    }
    // No account is paid again under another reference, and none is unpaid.
    if findings.drops != paid {
        findings.violations.push(format!(
            "{} rupees were dropped for {paid} accounts",
            findings.drops
        ));
    }
    Ok(())
}

async fn wait_until_final(api: &Api, call: &Posted, until: Instant) -> anyhow::Result<Vec<Value>> {
    loop {
        let listed = api.list(&call.customer, "?count=100").await?.accounts();
        let seen = listed.with_context(|| format!("the list of {}", call.customer))?;
        let is_open = |account: &Value| ["CREATED", "PENDING"].contains(&text(account, "/status"));
        if !seen.iter().any(is_open) || Instant::now() > until {
            return Ok(seen);
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Returns how an account differs from its expected result, if it does.
fn wrong(expected: &Expected, seen: Option<&Value>) -> Option<String> {
    let id = &expected.id;
    let Some(seen) = seen else {
        return Some(format!("{id} is lost"));
    };
    let is = [
        text(seen, "/status"),
        text(seen, "/validation/failure/code"),
    ];
    // Another gateway takes over where a worker was killed before its call was sent, or where CASHFREE is too slow. Only CASHFREE
    // rejects its test data.
    let gateway = &seen["validation"]["gateway_id"];
    let should_be = if gateway.is_number() && *gateway != CASHFREE {
        ["ACTIVE", ""]
    } else {
        [expected.status, expected.failure]
    };
    (is != should_be).then(|| {
        let [is, should_be] = [is, should_be].map(|words| words.join(" ").trim_end().to_owned());
        format!("{id} is {is} instead of {should_be}")
    })
}
