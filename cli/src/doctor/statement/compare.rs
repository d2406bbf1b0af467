//! The comparison: the statement is read twice, and between them the attempts of its time.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use anyhow::bail;
use chrono::{DateTime, TimeDelta, Utc};
use diesel::PgConnection;
use khata_domain::attempt::AttemptState;
use khata_domain::ids::{AttemptReference, first_at};
use khata_domain::{Class, GatewayAccountId};
use khata_store::doctor::{self, Found, Payment, Rule, Table};
use khata_store::merchants::Merchant;

use super::columns::{Columns, Rupee, StatementRow};
use crate::doctor::report::Report;

/// Validations that one statement reads.
const PAGE: i64 = 10_000;
/// Rows of the file that one statement looks up.
const LOOKUP: usize = 1_000;
/// By which the clocks of processes, Postgres and the gateway may differ.
const CLOCK_DIFFERENCE: TimeDelta = TimeDelta::hours(1);
/// Time beyond its deadline for which a validation may make attempts.
const AFTER_DEADLINE: TimeDelta = TimeDelta::days(1);

pub(super) struct Comparison<'a> {
    pub(super) connection: &'a mut PgConnection,
    pub(super) report: &'a mut Report,
    pub(super) merchant: &'a Merchant,
    pub(super) gateway_account: GatewayAccountId,
    pub(super) columns: &'a Columns,
}

/// The rupees of a statement, by a digest of their references: two of a million references have the same digest once in 37 million
/// statements.
#[derive(Default)]
struct Rupees {
    by_reference: HashMap<u64, OfReference>,
    /// Times of the first and the last one.
    times: Option<(DateTime<Utc>, DateTime<Utc>)>,
}

#[derive(Clone, Copy, Default)]
struct OfReference {
    rupees: u32,
    /// An attempt has the reference.
    is_explained: bool,
    /// The second rupee is among the findings.
    is_reported: bool,
}

fn digest(reference: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    reference.hash(&mut hasher);
    hasher.finish()
}

impl Rupees {
    fn add(&mut self, rupee: &Rupee) {
        let of_reference = self.by_reference.entry(digest(&rupee.reference));
        of_reference.or_default().rupees += 1;
        let (first, last) = self.times.unwrap_or((rupee.at, rupee.at));
        self.times = Some((first.min(rupee.at), last.max(rupee.at)));
    }

    fn explain(&mut self, reference: &str) -> bool {
        let of_reference = self.by_reference.get_mut(&digest(reference));
        of_reference.is_some_and(|found| {
            found.is_explained = true;
            true
        })
    }
}

impl Comparison<'_> {
    pub(super) fn run(mut self) -> anyhow::Result<()> {
        let (mut rupees, mut others) = (Rupees::default(), 0);
        let columns = self.columns;
        for row in columns.rows()? {
            match row? {
                StatementRow::Rupee(rupee) => rupees.add(&rupee),
                StatementRow::Other => others += 1,
            }
        }
        let Some((first, last)) = rupees.times else {
            bail!(
                "the statement has no row of one rupee; are the columns right, and the amounts in rupees?"
            );
        };
        let paid: u32 = rupees.by_reference.values().map(|one| one.rupees).sum();
        self.report.read("rupees of the statement", paid.into());
        if others > 0 {
            self.report.note(format!(
                "{others} rows of the statement have another amount or did not pay: they were not compared."
            ));
        }
        self.attempts(&mut rupees, first, last)?;
        self.rupees(&mut rupees)
    }

    /// Compares the attempts of the statement's time with its rupees.
    fn attempts(
        &mut self,
        rupees: &mut Rupees,
        first: DateTime<Utc>,
        last: DateTime<Utc>,
    ) -> anyhow::Result<()> {
        let merchant = self.merchant;
        let deadline = TimeDelta::seconds(merchant.validation_deadline_seconds.into());
        let oldest = first_at(first - CLOCK_DIFFERENCE - deadline - AFTER_DEADLINE);
        let mut before = first_at(last + CLOCK_DIFFERENCE);
        while before > oldest {
            let page = doctor::page(self.connection, Table::Attempts, merchant.id, before, PAGE)?;
            let Some(page) = page else { break };
            let payments =
                doctor::payments(self.connection, merchant.id, page, self.gateway_account)?;
            let read = i64::try_from(payments.len()).unwrap_or(i64::MAX);
            self.report.read("attempts", read);
            let found = payments.iter();
            let found = found.filter_map(|payment| judge(payment, rupees, first, last));
            self.report.add(Some(merchant), found.collect());
            before = page.from;
        }
        Ok(())
    }

    /// Finds the rupees that no attempt explains, and those whose reference has several.
    fn rupees(&mut self, rupees: &mut Rupees) -> anyhow::Result<()> {
        let mut unexplained: Vec<Rupee> = Vec::with_capacity(LOOKUP);
        let columns = self.columns;
        for row in columns.rows()? {
            let StatementRow::Rupee(rupee) = row? else {
                continue;
            };
            let of_reference = rupees.by_reference.entry(digest(&rupee.reference));
            let of_reference = of_reference.or_default();
            if of_reference.rupees > 1 && !of_reference.is_reported {
                of_reference.is_reported = true;
                let detail = format!(
                    "{} has {} rupees; the first is in line {}",
                    rupee.reference, of_reference.rupees, rupee.line
                );
                self.report.add(
                    Some(self.merchant),
                    vec![about(&rupee, Rule::RupeesOfOneReference, detail)],
                );
            }
            if !of_reference.is_explained {
                unexplained.push(rupee);
            }
            if unexplained.len() == LOOKUP {
                self.look_up(&unexplained)?;
                unexplained.clear();
            }
        }
        self.look_up(&unexplained)
    }

    /// Adds the rupees whose attempts do not exist, or are at another gateway account. Attempts of other times explain a rupee, too.
    fn look_up(&mut self, rupees: &[Rupee]) -> anyhow::Result<()> {
        let references = rupees.iter();
        let references = references.filter_map(|rupee| AttemptReference::parse(&rupee.reference));
        let references: Vec<AttemptReference> = references.collect();
        let rows = doctor::attempts_by_reference(self.connection, self.merchant.id, &references)?;
        let places: HashMap<_, GatewayAccountId> = rows
            .into_iter()
            .map(|(validation, number, account)| ((validation, number), account))
            .collect();
        let found = rupees.iter().filter_map(|rupee| {
            let reference = AttemptReference::parse(&rupee.reference);
            let place = reference
                .and_then(|reference| places.get(&(reference.validation, reference.number)));
            let why = match place {
                Some(place) if *place == self.gateway_account => return None,
                Some(place) => format!("its attempt is at gateway account {place}"),
                None => "no attempt has it".to_owned(),
            };
            let detail = format!("line {}: {}: {why}", rupee.line, rupee.reference);
            Some(about(rupee, Rule::RupeeWithoutAttempt, detail))
        });
        let found: Vec<Found> = found.collect();
        self.report.add(Some(self.merchant), found);
        Ok(())
    }
}

/// Marks the rupees of an attempt as explained. Returns what does not fit together.
fn judge(
    payment: &Payment,
    rupees: &mut Rupees,
    first: DateTime<Utc>,
    last: DateTime<Utc>,
) -> Option<Found> {
    let (ours, theirs) = payment.references();
    let by_ours = rupees.explain(ours);
    let by_theirs = theirs.is_some_and(|theirs| rupees.explain(theirs));
    let attempt = payment.attempt();
    let class = attempt.class.map_or("", Class::as_str);
    if by_ours || by_theirs {
        let is_unpaid = attempt.state == AttemptState::Settled && !attempt.may_have_paid();
        return is_unpaid.then(|| {
            let code = attempt.code.as_deref().unwrap_or_default();
            let detail = format!("{ours} has a rupee, and the attempt ended {class} {code}");
            payment.found(Rule::RupeeOfUnpaidAttempt, detail)
        });
    }
    // A rupee is paid between the two times: it may be in the statement before or after, if one of them is outside of this one.
    let is_within =
        payment.started_at() >= first && payment.settled_at.is_some_and(|settled| settled <= last);
    let has_paid = attempt.class == Some(Class::Valid) && attempt.method.moves_money();
    (is_within && has_paid).then(|| {
        let detail = format!("{ours} is {class}, and the statement has no rupee of it");
        payment.found(Rule::AttemptWithoutRupee, detail)
    })
}

/// Returns a finding about a rupee, with the validation that its reference names.
fn about(rupee: &Rupee, rule: Rule, detail: String) -> Found {
    let reference = AttemptReference::parse(&rupee.reference);
    Found {
        validation: reference.map(|reference| reference.validation),
        number: reference.map(|reference| reference.number),
        since: Some(rupee.at),
        ..Found::new(rule, detail)
    }
}
