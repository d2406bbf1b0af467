//! The scenarios that are checked: those in which everything holds, and those that must fail.

use crate::delivery::{Deliveries, DeliveryFaults, DeliveryRepair};
use crate::scenario::{Fate, Faults, GatewayKind, Repair, Scenario, ScriptedGateway};
use crate::time::Seconds;
use GatewayKind::{Lookup, None as NoRecovery, RefusesRepeats, Resubmit};

const NO_FAULTS: Faults = Faults {
    crashes: 0,
    pauses: 0,
    calls: 0,
    late_calls: 0,
    lost_wakeups: 0,
    repeated_wakeups: 0,
    webhooks: 0,
    hints: 0,
    again: 0,
    deletions: 0,
    disabled: 0,
};

/// Every fate that a call may have, beside a response.
const ALL_FATES: &[Fate] = &[
    Fate::ResponseLost,
    Fate::RequestLost,
    Fate::Late,
    Fate::Unclear,
    Fate::Forgotten,
    Fate::Refused,
    Fate::Rejected,
];

/// Time within which each validation of these scenarios ends: a quarter of an hour.
const ENDS_WITHIN: Seconds = 900;

fn scenario(name: String, gateways: Vec<ScriptedGateway>, faults: Faults) -> Scenario {
    Scenario {
        name,
        gateways,
        faults,
        fates: ALL_FATES,
        pauses_at_socket: false,
        again_while_open: false,
        without: None,
        ends_within: ENDS_WITHIN,
    }
}

/// The kinds of gateways, with the name of a scenario for each.
pub const KINDS: [(GatewayKind, &str); 4] = [
    (Lookup, "lookup"),
    (RefusesRepeats, "lookup, refuses repeats"),
    (Resubmit, "resubmit"),
    (NoRecovery, "none"),
];

/// The faults of the scenarios with one gateway, by name. `more`: how often a fault happens beyond the small scenarios.
fn at_one_gateway(more: u8) -> [(&'static str, Faults); 4] {
    [
        (
            "calls",
            Faults {
                crashes: more,
                pauses: 1,
                calls: 1,
                late_calls: 1,
                ..NO_FAULTS
            },
        ),
        (
            "webhooks",
            Faults {
                crashes: 1,
                pauses: more,
                calls: 1,
                webhooks: 1 + more,
                hints: 1,
                ..NO_FAULTS
            },
        ),
        (
            "wake-ups",
            Faults {
                crashes: 1,
                lost_wakeups: 1,
                repeated_wakeups: 1,
                deletions: more,
                again: 1,
                ..NO_FAULTS
            },
        ),
        (
            "merchant",
            Faults {
                pauses: 1,
                calls: more,
                again: 1,
                deletions: 1,
                ..NO_FAULTS
            },
        ),
    ]
}

/// Scenarios in which everything holds. `is_large`: with more faults on each path.
pub fn sound(is_large: bool) -> Vec<Scenario> {
    let more = u8::from(is_large);
    let other_faults = Faults {
        crashes: 1,
        pauses: more,
        calls: 1,
        late_calls: more,
        disabled: 1,
        ..NO_FAULTS
    };
    let mut all: Vec<Scenario> = Vec::new();
    for (kind, name) in KINDS {
        for (what, faults) in at_one_gateway(more) {
            let gateway = if what == "webhooks" {
                ScriptedGateway::pending(kind)
            } else {
                ScriptedGateway::valid(kind)
            };
            let mut scenario = scenario(format!("{name}: {what}"), vec![gateway], faults);
            // A paused worker that writes its call after the settling time: see `known`.
            scenario.pauses_at_socket = kind != Lookup && what == "calls";
            all.push(scenario);
        }
        let other = if kind == NoRecovery {
            Lookup
        } else {
            NoRecovery
        };
        let two = vec![ScriptedGateway::valid(kind), ScriptedGateway::valid(other)];
        all.push(scenario(format!("{name}: two gateways"), two, other_faults));
        let two = vec![
            ScriptedGateway::undecided(kind),
            ScriptedGateway::undecided(other),
        ];
        let faults = Faults {
            pauses: 0,
            late_calls: 1,
            disabled: 0,
            ..other_faults
        };
        all.push(scenario(format!("{name}: undecided"), two, faults));
    }
    all
}

/// The property that [`known`] breaks.
pub const BROKEN_BY_KNOWN: &str = "no call moves two rupees under one reference";

/// The known fault, which no repair of Khata removes: a worker that is paused between its check of the lease and the write to the
/// socket makes its call after the settling time, at a gateway that performs a repeated call.
pub fn known() -> Scenario {
    let faults = Faults {
        pauses: 1,
        calls: 1,
        ..NO_FAULTS
    };
    let mut scenario = scenario(
        "paused at the socket".into(),
        vec![ScriptedGateway::valid(Lookup)],
        faults,
    );
    scenario.pauses_at_socket = true;
    scenario
}

/// Scenarios that must fail, each without one repair.
pub fn without_repairs() -> Vec<Scenario> {
    let one = Faults {
        crashes: 1,
        pauses: 1,
        calls: 1,
        late_calls: 1,
        ..NO_FAULTS
    };
    let webhook = Faults {
        crashes: 1,
        calls: 1,
        webhooks: 1,
        ..NO_FAULTS
    };
    let valid = |kind| vec![ScriptedGateway::valid(kind)];
    let cases = [
        (Repair::SettlingTime, valid(Lookup), one),
        (
            Repair::LookupTime,
            valid(Lookup),
            Faults {
                pauses: 1,
                late_calls: 1,
                ..NO_FAULTS
            },
        ),
        (Repair::UnsentIsNotLost, valid(NoRecovery), one),
        (
            Repair::ExhaustedEnds,
            valid(NoRecovery),
            Faults {
                crashes: 2,
                ..NO_FAULTS
            },
        ),
        (Repair::WebhooksReadAgain, valid(NoRecovery), webhook),
        (Repair::WebhookBeforeEnd, valid(NoRecovery), webhook),
        (Repair::LeaseToken, valid(NoRecovery), one),
        (Repair::AttemptRowFirst, valid(Resubmit), one),
        (Repair::ReferenceReused, valid(Resubmit), one),
        (Repair::Scheduler, valid(Resubmit), one),
        (
            Repair::LostWakeupsRepeated,
            valid(Resubmit),
            Faults {
                lost_wakeups: 1,
                ..NO_FAULTS
            },
        ),
        (Repair::Recovery, valid(Resubmit), one),
        (Repair::LostIsNotUnsent, valid(Resubmit), one),
        (
            Repair::NewestOnly,
            valid(NoRecovery),
            Faults {
                again: 1,
                calls: 2,
                ..NO_FAULTS
            },
        ),
        (
            Repair::DueOnly,
            valid(NoRecovery),
            Faults {
                repeated_wakeups: 1,
                ..one
            },
        ),
        (
            Repair::DeletedStays,
            valid(Resubmit),
            Faults {
                deletions: 1,
                ..one
            },
        ),
    ];
    let without = |(repair, gateways, faults)| {
        let mut scenario = scenario(format!("without {repair:?}"), gateways, faults);
        scenario.without = Some(repair);
        scenario.again_while_open = repair == Repair::NewestOnly;
        scenario
    };
    cases.into_iter().map(without).collect()
}

/// The deliveries with every fault, and without each repair.
pub fn deliveries(is_large: bool) -> Vec<Deliveries> {
    let more = u8::from(is_large);
    let faults = DeliveryFaults {
        crashes: 1,
        pauses: 1,
        lost_replies: more,
        failures: 1,
    };
    let without = DeliveryRepair::ALL.iter().copied().map(Some);
    let all = std::iter::once(None).chain(without);
    all.map(|without| Deliveries { faults, without }).collect()
}
