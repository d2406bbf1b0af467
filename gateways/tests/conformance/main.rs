//! What every connector must do, whichever gateway is behind it: a table of scenarios, each with the rule of what should
//! be heard, recorded, done next and paid; a list of connectors, each with where it honestly differs; every cell of the
//! two is tried against the sandbox, whose wire types are its own. The summary is printed at the end.
//!
//! A new gateway is a file in `subject/`, and a line in `subject.rs`. A new scenario is a row in `row.rs`, with its rule.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod bench;
mod faults;
mod outcomes;
mod receiver;
mod row;
#[path = "../http/sandbox.rs"]
#[allow(dead_code, reason = "the other tests use more of it")]
mod sandbox;
mod story;
mod subject;
mod summary;
#[path = "../http/support.rs"]
#[allow(dead_code, reason = "the other tests use more of it")]
mod support;
mod webhooks;

use std::io::Write;

use tokio::task::JoinSet;

use crate::bench::Bench;
use crate::row::{Row, meantime};
use crate::story::Story;
use crate::subject::{CallBacks, Differs, Subject, subjects};
use crate::summary::{Cell, Report, Verdict, broken, table, word};

#[tokio::test(flavor = "multi_thread")]
async fn every_connector_does_what_every_connector_must() {
    let mut running = JoinSet::new();
    let names: Vec<_> = subjects().iter().map(Subject::name).collect();
    for (place, subject) in subjects().into_iter().enumerate() {
        running.spawn(async move { (place, examined(&subject).await) });
    }
    let mut reports: Vec<_> = running.join_all().await;
    reports.sort_by_key(|(place, _)| *place);
    let reports: Vec<_> = reports.into_iter().map(|(_, report)| report).collect();
    assert_eq!(reports.len(), names.len());
    // Past the harness, which would keep it to itself.
    let printed = writeln!(std::io::stdout().lock(), "\n{}", table(&reports));
    printed.expect("it can be printed");
    let broken = broken(&reports);
    assert!(broken.is_empty(), "\n{}", broken.join("\n"));
}

/// One connector, row by row: the gateway behaves differently in each.
async fn examined(subject: &Subject) -> Report {
    let bench = Bench::new(subject);
    let mut cells = Vec::new();
    for &row in Row::ALL {
        cells.push(tried(&bench, row).await);
    }
    Report {
        name: subject.name(),
        cells,
    }
}

async fn tried(bench: &Bench<'_>, row: Row) -> Cell {
    let subject = bench.subject;
    let own = subject.own(row);
    let mut verdict = own.map_or(Verdict::AsRuled, |own| Verdict::AsOwn(own.why));
    if let Some(Differs::Hasnt) = own.map(|own| &own.differs) {
        return Cell {
            said: "–".into(),
            verdict,
        };
    }
    let held = match row {
        Row::Check => faults::check(bench).await,
        Row::WebhookRequest => {
            if let CallBacks::None(why) = &subject.gateway_webhooks {
                verdict = Verdict::AsOwn(why);
            }
            webhooks::check(bench).await
        }
        _ => {
            let story = if row.is_outcome() {
                Ok(outcomes::story(bench, row).await)
            } else {
                faults::story(bench, row).await
            };
            let expected = expected(subject, row).map(|story| Story {
                meantime: meantime(row, subject, &story.heard),
                ..story
            });
            return match (story, expected) {
                (Ok(seen), Ok(expected)) => compared(&seen, &expected, verdict),
                (Err(why), _) | (_, Err(why)) => Cell::broken(why),
            };
        }
    };
    match held {
        Ok(()) => Cell {
            said: match (&verdict, row) {
                (Verdict::AsOwn(_), Row::WebhookRequest) => "none".into(),
                _ => "holds".into(),
            },
            verdict,
        },
        Err(why) => Cell::broken(why),
    }
}

fn expected(subject: &Subject, row: Row) -> Result<Story, String> {
    let rule = row.rule(subject);
    let own = match subject.own(row).map(|own| &own.differs) {
        None | Some(Differs::Hasnt) => return Ok(rule),
        Some(Differs::Like(other)) => expected(subject, *other)?,
        Some(Differs::By(change)) => {
            let mut own = rule.clone();
            change(&mut own);
            own
        }
    };
    if own == rule {
        return Err("what it has of its own is the rule".into());
    }
    Ok(own)
}

fn compared(seen: &Story, expected: &Story, verdict: Verdict) -> Cell {
    if seen == expected {
        Cell {
            said: word(seen),
            verdict,
        }
    } else {
        Cell::broken(format!(
            "\n    expected {expected:?}\n    seen     {seen:?}"
        ))
    }
}
