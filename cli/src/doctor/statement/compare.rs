//! The comparison: the statement is read twice, and between them the attempts of its time.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use anyhow::bail;
use chrono::{DateTime, Utc};
use diesel::PgConnection;
use khata_domain::attempt::AttemptState;
use khata_domain::ids::AttemptReference;
use khata_domain::{Class, GatewayAccountId};
use khata_store::doctor::{self, Found, Payment, Rule};
use khata_store::merchants::Merchant;

use super::columns::{Columns, Rupee, StatementRow};
use super::values::Span;
use crate::attempts;
use crate::doctor::report::Report;
use crate::output::time;

/// Rows of the file that one statement looks up.
const LOOKUP: usize = 1_000;

pub(super) struct Comparison<'a> {
    pub(super) connection: &'a mut PgConnection,
    pub(super) report: &'a mut Report,
    pub(super) merchant: &'a Merchant,
    pub(super) gateway_account: GatewayAccountId,
    pub(super) columns: &'a Columns,
    /// Where the statement begins and ends, if not at its first and last row.
    pub(super) since: Option<DateTime<Utc>>,
    pub(super) until: Option<DateTime<Utc>>,
}

/// The rupees of a statement, by a digest of their references: two of a million references have the same digest once in 37 million
/// statements.
#[derive(Default)]
struct Rupees {
    by_reference: HashMap<u64, OfReference>,
}

/// The rows of one rupee under one reference. A reversal has the opposite sign of its payment.
#[derive(Clone, Copy, Default)]
struct OfReference {
    /// Rows with an amount above zero.
    positive: u32,
    /// Rows with an amount below zero.
    negative: u32,
    /// Sign of the first row of the file.
    first_is_negative: bool,
    /// An attempt has the reference.
    is_explained: bool,
    /// The second rupee is among the findings.
    is_reported: bool,
}

impl OfReference {
    fn add(&mut self, is_negative: bool) {
        if self.positive + self.negative == 0 {
            self.first_is_negative = is_negative;
        }
        if is_negative {
            self.negative += 1;
        } else {
            self.positive += 1;
        }
    }

    /// Returns the number of payments.
    fn paid(self) -> u32 {
        self.positive.max(self.negative)
    }

    /// Returns the number of payments that were reversed.
    fn reversed(self) -> u32 {
        self.positive.min(self.negative)
    }

    /// Returns the number of payments that were not reversed.
    fn kept(self) -> u32 {
        self.paid() - self.reversed()
    }

    /// Whether a row with this sign is a payment: payments are at least as many as reversals. One payment and its reversal may be in
    /// either order; the first row then counts as the payment.
    fn is_payment(self, is_negative: bool) -> bool {
        match self.negative.cmp(&self.positive) {
            Ordering::Greater => is_negative,
            Ordering::Less => !is_negative,
            Ordering::Equal => is_negative == self.first_is_negative,
        }
    }
}

fn digest(reference: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    reference.hash(&mut hasher);
    hasher.finish()
}

impl Rupees {
    fn add(&mut self, rupee: &Rupee) {
        let of_reference = self.by_reference.entry(digest(&rupee.reference));
        of_reference.or_default().add(rupee.is_negative);
    }

    /// Marks the rows of a reference as explained. Returns them if there are any.
    fn explain(&mut self, reference: &str) -> Option<OfReference> {
        let of_reference = self.by_reference.get_mut(&digest(reference))?;
        of_reference.is_explained = true;
        Some(*of_reference)
    }
}

impl Comparison<'_> {
    pub(super) fn run(mut self) -> anyhow::Result<()> {
        let (mut rupees, rows) = self.read()?;
        let period = Span {
            from: self.since.unwrap_or(rows.from),
            to: self.until.unwrap_or(rows.to),
        };
        self.report.note(format!(
            "Compared period: {} to {}. An attempt that began before or ended after it needs no row. If the statement covers another \
             time, name it with --since and --until.",
            time(period.from),
            time(period.to)
        ));
        self.attempts(&mut rupees, rows, period)?;
        self.rupees(&mut rupees)?;
        if !rupees.by_reference.values().any(|one| one.is_explained) {
            self.report.note(
                "No rupee of the statement belongs to an attempt of its time at this gateway account. Is --gateway the account of the \
                 statement, and does the column of references have ours (kh…_01) or the gateway's id? A UTR is neither: name another \
                 column with --reference-column."
                    .to_owned(),
            );
        }
        Ok(())
    }

    /// Reads the rupees, and the time from the first to the last row.
    fn read(&mut self) -> anyhow::Result<(Rupees, Span)> {
        let (mut rupees, mut others, mut rows) = (Rupees::default(), 0, None);
        let columns = self.columns;
        for row in columns.rows()? {
            let at = match row? {
                StatementRow::Rupee(rupee) => {
                    rupees.add(&rupee);
                    Some(rupee.at)
                }
                StatementRow::Other(at) => {
                    others += 1;
                    at
                }
            };
            // Any row says that the statement covers its time: a missing rupee has no row.
            rows = at.map_or(rows, |at| Some(rows.map_or(at, |rows: Span| rows.with(at))));
        }
        let Some(rows) = rows.filter(|_| !rupees.by_reference.is_empty()) else {
            bail!(
                "the statement has no row of one rupee; are the columns right, and the amounts in rupees?"
            );
        };
        let references = rupees.by_reference.values();
        let paid: u32 = references.clone().map(|one| one.paid()).sum();
        let reversed: u32 = references.map(|one| one.reversed()).sum();
        self.report.read("rupees of the statement", paid.into());
        if reversed > 0 {
            self.report.note(format!(
                "Rupees of the statement that a row with the opposite sign and the same reference reversed: {reversed}."
            ));
        }
        if others > 0 {
            self.report.note(format!(
                "Rows of the statement with another amount or without a payment, which were not compared: {others}."
            ));
        }
        Ok((rupees, rows))
    }

    /// Compares the attempts of the statement's rows and period with its rupees.
    fn attempts(&mut self, rupees: &mut Rupees, rows: Span, period: Span) -> anyhow::Result<()> {
        let (merchant, gateway_account) = (self.merchant, self.gateway_account);
        let read = rows.with(period);
        let report = &mut *self.report;
        attempts::walk(
            self.connection,
            merchant,
            read.from,
            read.to,
            |connection, page| {
                let payments = doctor::payments(connection, merchant.id, page, gateway_account)?;
                let read = i64::try_from(payments.len()).unwrap_or(i64::MAX);
                report.read("attempts", read);
                let found = payments.iter();
                let found = found.filter_map(|payment| judge(payment, rupees, period));
                report.add(Some(merchant), found.collect());
                Ok(true)
            },
        )?;
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
            if of_reference.kept() > 1 && !of_reference.is_reported {
                of_reference.is_reported = true;
                let detail = format!(
                    "{} has {} rupees; the first is in line {}",
                    rupee.reference,
                    of_reference.kept(),
                    rupee.line
                );
                self.report.add(
                    Some(self.merchant),
                    vec![about(&rupee, Rule::RupeesOfOneReference, detail)],
                );
            }
            // A rupee that was paid and reversed still needs an attempt.
            if !of_reference.is_explained && of_reference.is_payment(rupee.is_negative) {
                unexplained.push(rupee);
            }
            if unexplained.len() == LOOKUP {
                self.look_up(&unexplained)?;
                unexplained.clear();
            }
        }
        self.look_up(&unexplained)
    }

    /// Adds the rupees whose attempts do not exist, or are at another gateway account, also of another merchant. Attempts of other times
    /// explain a rupee, too.
    fn look_up(&mut self, rupees: &[Rupee]) -> anyhow::Result<()> {
        let references = rupees.iter();
        let references = references.filter_map(|rupee| AttemptReference::parse(&rupee.reference));
        let references: Vec<AttemptReference> = references.collect();
        let rows = doctor::attempts_by_reference(self.connection, &references)?;
        let places: HashMap<_, (GatewayAccountId, String)> = rows
            .into_iter()
            .map(|(validation, number, account, merchant)| {
                ((validation, number), (account, merchant))
            })
            .collect();
        let found = rupees.iter().filter_map(|rupee| {
            let reference = AttemptReference::parse(&rupee.reference);
            let place = reference
                .and_then(|reference| places.get(&(reference.validation, reference.number)));
            let why = match place {
                Some((place, _)) if *place == self.gateway_account => return None,
                Some((place, merchant)) if *merchant == self.merchant.name => {
                    format!("its attempt is at gateway account {place}")
                }
                Some((place, merchant)) => {
                    format!("its attempt is at gateway account {place} of merchant {merchant}")
                }
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
fn judge(payment: &Payment, rupees: &mut Rupees, period: Span) -> Option<Found> {
    let (ours, theirs) = payment.references();
    let by_ours = rupees.explain(ours);
    let by_theirs = theirs.and_then(|theirs| rupees.explain(theirs));
    let attempt = payment.attempt();
    let class = attempt.class.map_or("", Class::as_str);
    if by_ours.is_some() || by_theirs.is_some() {
        let is_kept = [by_ours, by_theirs]
            .into_iter()
            .flatten()
            .any(|rows| rows.kept() > 0);
        if !is_kept || attempt.class == Some(Class::Valid) {
            return None;
        }
        let is_settled = attempt.state == AttemptState::Settled;
        let rule = if is_settled && !attempt.may_have_paid() {
            Rule::RupeeOfUnpaidAttempt
        } else {
            Rule::RupeeKept
        };
        let code = attempt.code.as_deref().unwrap_or_default();
        let detail = if is_settled {
            format!("{ours} has a rupee, and the attempt ended {class} {code}")
        } else {
            format!("{ours} has a rupee, and the attempt is {}", attempt.state)
        };
        return Some(payment.found(rule, detail));
    }
    // A rupee is paid between the two times: it may be in the statement before or after, if one of them is outside of this one.
    let settled = payment.settled_at;
    let is_within =
        payment.started_at() >= period.from && settled.is_some_and(|at| at <= period.to);
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
        since: Some(rupee.at.from),
        ..Found::new(rule, detail)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Adds rows of these amounts, in rupees, under one reference.
    fn rows(amounts: &[i8]) -> (Rupees, OfReference) {
        let mut rupees = Rupees::default();
        for amount in amounts {
            rupees.add(&Rupee {
                line: 2,
                reference: "kh_01".to_owned(),
                is_negative: *amount < 0,
                at: Span::moment(DateTime::UNIX_EPOCH),
            });
        }
        let of_reference = rupees.explain("kh_01").unwrap();
        (rupees, of_reference)
    }

    #[test]
    fn a_reversal_cancels_a_payment_of_the_same_reference() {
        for (amounts, paid, reversed) in [
            (&[1][..], 1, 0),
            (&[-1], 1, 0),
            (&[1, -1], 1, 1),
            (&[-1, 1], 1, 1),
            (&[1, 1], 2, 0),
            (&[-1, -1], 2, 0),
            (&[1, -1, 1], 2, 1),
            (&[-1, 1, -1, -1], 3, 1),
            (&[1, 1, -1, -1], 2, 2),
        ] {
            let (rupees, rows) = rows(amounts);
            assert_eq!(
                (rows.paid(), rows.reversed()),
                (paid, reversed),
                "{amounts:?}"
            );
            assert_eq!(rows.kept(), paid - reversed, "{amounts:?}");
            let payments = amounts
                .iter()
                .filter(|amount| rows.is_payment(**amount < 0));
            assert_eq!(payments.count(), paid as usize, "{amounts:?}");
            assert_eq!(rupees.by_reference.len(), 1);
        }
    }

    #[test]
    fn rows_of_different_references_do_not_cancel() {
        let (mut rupees, _) = rows(&[1]);
        rupees.add(&Rupee {
            line: 3,
            reference: "kh_02".to_owned(),
            is_negative: true,
            at: Span::moment(DateTime::UNIX_EPOCH),
        });
        assert_eq!(rupees.explain("kh_01").map(OfReference::kept), Some(1));
        assert_eq!(rupees.explain("kh_02").map(OfReference::kept), Some(1));
        assert!(rupees.explain("kh_03").is_none());
    }
}
