//! What came of it: judged account by account and rupee by rupee, and told in a few lines.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::{Duration, Instant};

use khata_e2e::client::text;
use khata_e2e::{Api, Sandbox};
use serde_json::Value;

use crate::accounts::{Expected, Posted};

const PAUSE: Duration = Duration::from_millis(500);
/// Violations that are told one by one.
const TOLD: usize = 10;

/// The findings of a run.
#[derive(Default)]
pub(crate) struct Findings {
    kills: BTreeMap<&'static str, usize>,
    /// Leases that killed workers held.
    died: HashSet<String>,
    created: usize,
    calls: usize,
    refusals: usize,
    right: usize,
    /// Rupees that had been dropped before.
    drops_before: u64,
    drops: u64,
    /// Each is a sentence.
    violations: Vec<String>,
    /// From the end of the trouble.
    pub(crate) settled_after: Duration,
}

impl Findings {
    /// Of a run that begins with so many drops in the ledger.
    pub(crate) fn beginning(drops_before: u64) -> Self {
        Self {
            drops_before,
            ..Self::default()
        }
    }

    pub(crate) fn killed(&mut self, process: &'static str) {
        *self.kills.entry(process).or_default() += 1;
    }

    /// What a worker that was just killed held, with what earlier ones had held.
    pub(crate) fn died_in_hand(&mut self, leases: Vec<String>) {
        self.died.extend(leases);
    }

    pub(crate) fn are_well(&self) -> bool {
        self.violations.is_empty()
    }

    pub(crate) fn print(&self) {
        let kills: Vec<String> = self
            .kills
            .iter()
            .map(|(process, times)| format!("{process} {times}×"))
            .collect();
        println!("  killed       {}", kills.join(", "));
        println!("  in hand then {} validations", self.died.len());
        println!(
            "  created      {} accounts in {} calls; refused calls, made again: {}",
            self.created, self.calls, self.refusals
        );
        println!("  right        {}", self.right);
        println!(
            "  last outcome {:.1} s after the trouble's end",
            self.settled_after.as_secs_f64()
        );
        println!("  paid         {} rupees", self.drops);
        for violation in self.violations.iter().take(TOLD) {
            println!("  VIOLATION    {violation}");
        }
        if self.violations.len() > TOLD {
            println!("  VIOLATION    and {} more", self.violations.len() - TOLD);
        }
        if self.are_well() {
            println!("khata-chaos: nothing was lost, and nothing was paid twice");
        }
    }

    fn violation(&mut self, sentence: String) {
        self.violations.push(sentence);
    }
}

/// Waits until everything is decided, `until` at most, and judges it.
pub(crate) async fn judge(
    api: &Api,
    sandbox: &Sandbox,
    posted: Vec<Posted>,
    until: Instant,
    findings: &mut Findings,
) -> anyhow::Result<()> {
    findings.calls = posted.len();
    findings.refusals = posted.iter().map(|call| call.refusals).sum();
    let mut paid = 0;
    for call in &posted {
        let seen = decided(api, call, until).await?;
        if seen.len() != call.accounts.len() {
            findings.violation(format!(
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
                Some(sentence) => findings.violation(sentence),
            }
        }
    }
    if findings.died.is_empty() {
        findings.violation("no kill met anything in hand: this run proves nothing".to_owned());
    }
    let drops = sandbox.drops().await?;
    findings.drops = drops.total - findings.drops_before;
    for double in drops.doubles() {
        findings.violation(format!(
            "{} was paid {} times",
            double.reference, double.count
        ));
    }
    // Also under another reference nobody is paid again, and nobody goes unpaid.
    if findings.drops != paid {
        findings.violation(format!(
            "{} rupees were dropped for {paid} accounts",
            findings.drops
        ));
    }
    Ok(())
}

async fn decided(api: &Api, call: &Posted, until: Instant) -> anyhow::Result<Vec<Value>> {
    loop {
        let seen = call.look(api).await?;
        let is_open = |account: &Value| ["CREATED", "PENDING"].contains(&text(account, "/status"));
        if !seen.iter().any(is_open) || Instant::now() > until {
            return Ok(seen);
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// What is wrong with an account, if anything is.
fn wrong(expected: &Expected, seen: Option<&Value>) -> Option<String> {
    let id = &expected.id;
    let Some(seen) = seen else {
        return Some(format!("{id} is lost"));
    };
    let is = [
        text(seen, "/status"),
        text(seen, "/validation/failure/code"),
    ];
    let should_be = [expected.status, expected.failure];
    (is != should_be).then(|| {
        let [is, should_be] = [is, should_be].map(|words| words.join(" ").trim_end().to_owned());
        format!("{id} should be {should_be} and is {is}")
    })
}
