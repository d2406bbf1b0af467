//! Every small scenario holds, and every scenario without a repair fails. `make model` explores the large scenarios.

#![allow(clippy::unwrap_used)]

use khata_model::check::{explore, find};
use khata_model::invariants::broken_without;
use khata_model::scenario::{Repair, Scenario};
use khata_model::scenarios::{BROKEN_BY_KNOWN, deliveries, known, sound, without_repairs};

#[test]
fn every_validation_ends_right_and_each_rupee_has_a_record() {
    let mut states = 0;
    for scenario in sound(false) {
        let report = explore(&scenario);
        assert!(
            report.violations.is_empty(),
            "{}: {:#?}",
            scenario.name,
            report.violations
        );
        states += report.states;
    }
    println!("{states} states");
    assert!(states > 100_000, "only {states} states");
}

#[test]
fn without_any_of_the_repairs_the_checker_finds_a_violation() {
    let scenarios = without_repairs();
    for repair in Repair::ALL {
        let lacks = |scenario: &Scenario| scenario.lacks(repair);
        assert!(scenarios.iter().any(lacks), "{repair:?}");
    }
    for scenario in scenarios {
        let repair = scenario.without.unwrap();
        let report = find(&scenario);
        let path = report.violations.get(broken_without(repair));
        let path = path.unwrap_or_else(|| panic!("{repair:?}: {:#?}", report.violations));
        println!("{repair:?}: {} steps", path.len());
    }
}

#[test]
fn a_worker_paused_at_the_socket_is_the_known_way_to_a_second_rupee() {
    let report = find(&known());
    assert!(
        report.violations.contains_key(BROKEN_BY_KNOWN),
        "{:?}",
        report.violations
    );
}

#[test]
fn every_event_is_delivered_in_order() {
    for model in deliveries(false) {
        match model.without {
            None => assert_eq!(explore(&model).violations.len(), 0),
            Some(repair) => {
                let report = find(&model);
                let violations = &report.violations;
                assert!(
                    violations.contains_key(repair.broken_without()),
                    "{repair:?}: {violations:#?}"
                );
            }
        }
    }
}
