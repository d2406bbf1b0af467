//! The conformance suite: rules that every connector must follow. Each scenario has a rule, the expected calls, record,
//! next action and rupees; each connector has a profile with its exceptions. The suite runs every scenario at every
//! connector against the sandbox, whose wire types are its own, and prints a summary at the end.
//!
//! A new gateway is a profile. A new scenario is a line in `scenario.rs`, and its rule in `rules.rs`.

mod changes;
mod faults;
mod fixture;
mod mirror;
mod outcomes;
pub(crate) mod profile;
mod receiver;
mod replies;
pub(crate) mod rules;
pub(crate) mod scenario;
pub(crate) mod story;
mod summary;
mod webhooks;

use std::io::Write;

use tokio::task::JoinSet;

use fixture::Fixture;
use profile::{Difference, Profile, Webhooks};
use rules::{meantime, rule};
use scenario::Scenario;
use story::Story;
use summary::{Cell, Report, Verdict, broken, table, word};

/// Runs every scenario at every connector.
pub(crate) async fn run(profiles: Vec<Profile>) {
    let count = profiles.len();
    let mut running = JoinSet::new();
    for (place, profile) in profiles.into_iter().enumerate() {
        running.spawn(async move { (place, run_profile(&profile).await) });
    }
    let mut reports: Vec<_> = running.join_all().await;
    reports.sort_by_key(|(place, _)| *place);
    let reports: Vec<_> = reports.into_iter().map(|(_, report)| report).collect();
    assert_eq!(reports.len(), count);
    // Not with println!, whose output the test harness hides.
    let printed = writeln!(std::io::stdout().lock(), "\n{}", table(&reports));
    printed.expect("the summary can be printed");
    let broken = broken(&reports);
    assert!(broken.is_empty(), "\n{}", broken.join("\n"));
}

/// Runs the scenarios of one connector one after the other, because the gateway behaves differently in each.
async fn run_profile(profile: &Profile) -> Report {
    let fixture = Fixture::new(profile);
    let mut cells = Vec::new();
    for &scenario in Scenario::ALL {
        cells.push(run_scenario(&fixture, scenario).await);
    }
    Report {
        name: profile.name(),
        cells,
    }
}

async fn run_scenario(fixture: &Fixture<'_>, scenario: Scenario) -> Cell {
    let profile = fixture.profile;
    let exception = profile.exception(scenario);
    let mut verdict = exception.map_or(Verdict::Rule, |exception| {
        Verdict::Exception(exception.reason)
    });
    if let Some(Difference::Absent) = exception.map(|exception| &exception.difference) {
        return Cell {
            text: "–".into(),
            verdict,
        };
    }
    let result = match scenario {
        Scenario::Check => faults::check(fixture).await,
        Scenario::ChangedFields => replies::check(fixture).await,
        Scenario::Webhook => {
            if let Webhooks::None(reason) = &profile.webhooks {
                verdict = Verdict::Exception(reason);
            }
            webhooks::check(fixture).await
        }
        _ => {
            let story = if scenario.is_outcome() {
                Ok(outcomes::story(fixture, scenario).await)
            } else {
                faults::story(fixture, scenario).await
            };
            let expected = expected(profile, scenario).map(|story| Story {
                meantime: meantime(scenario, profile, &story.results),
                ..story
            });
            return match (story, expected) {
                (Ok(seen), Ok(expected)) => compare(&seen, &expected, verdict),
                (Err(reason), _) | (_, Err(reason)) => Cell::broken(reason),
            };
        }
    };
    match result {
        Ok(()) => Cell {
            text: match (&verdict, scenario) {
                (Verdict::Exception(_), Scenario::Webhook) => "none".into(),
                _ => "holds".into(),
            },
            verdict,
        },
        Err(reason) => Cell::broken(reason),
    }
}

fn expected(profile: &Profile, scenario: Scenario) -> Result<Story, String> {
    let rule = rule(scenario, profile);
    let exception = profile.exception(scenario);
    let expected = match exception.map(|exception| &exception.difference) {
        None | Some(Difference::Absent) => return Ok(rule),
        Some(Difference::Like(other)) => expected(profile, *other)?,
        Some(Difference::Changed(change)) => {
            let mut story = rule.clone();
            change(&mut story);
            story
        }
    };
    if expected == rule {
        return Err("the exception does not differ from the rule".into());
    }
    Ok(expected)
}

fn compare(seen: &Story, expected: &Story, verdict: Verdict) -> Cell {
    if seen == expected {
        Cell {
            text: word(seen),
            verdict,
        }
    } else {
        Cell::broken(format!(
            "\n    expected {expected:?}\n    seen     {seen:?}"
        ))
    }
}
