//! Rules about time.

use crate::findings::Findings;
use crate::history::{Fault, History, Operation};

/// Returns the time by which something that began at `began` and takes `within` without faults must have ended: each fault
/// that it may have met gives it the fault's own time after the end of the fault.
fn deadline(faults: &[Fault], began: u64, within: u64) -> u64 {
    let mut deadline = began + within;
    // The faults are in the order of their beginnings: a later one may meet what an earlier one delayed.
    for fault in faults {
        if fault.began <= deadline && fault.healed + fault.within >= began {
            deadline = deadline.max(fault.healed + fault.within);
        }
    }
    deadline
}

pub(crate) fn outcome_in_time(history: &History, findings: &mut Findings) {
    for validation in &history.validations {
        let limit = deadline(
            &history.faults,
            validation.created_at,
            history.run.outcome_within,
        );
        let Some(completed_at) = validation.completed_at else {
            findings.check(false, || {
                format!("validation {} has no outcome", validation.id)
            });
            continue;
        };
        findings.check(completed_at <= limit, || {
            let met: Vec<&str> = history
                .faults
                .iter()
                .filter(|fault| {
                    fault.began <= completed_at && fault.healed >= validation.created_at
                })
                .map(|fault| fault.name.as_str())
                .collect();
            format!(
                "validation {} of {} took {} ms, {} too long; faults meanwhile: {}",
                validation.id,
                validation.account,
                completed_at - validation.created_at,
                completed_at - limit,
                met.join(", ")
            )
        });
    }
}

pub(crate) fn available(history: &History, findings: &mut Findings) {
    for call in &history.calls {
        let meets = |fault: &&Fault| {
            fault.calls_may_fail
                && fault.began <= call.ended
                && fault.healed + fault.within >= call.began
        };
        if history.faults.iter().any(|fault| meets(&fault)) {
            findings.count("calls during faults");
            continue;
        }
        let is_served = call.status.is_some_and(|status| status < 500);
        findings.check(is_served, || {
            let name = if call.operation == Operation::Events {
                "the cursor"
            } else {
                "a call"
            };
            format!("{name} failed without a fault: {}", call.label())
        });
    }
}
