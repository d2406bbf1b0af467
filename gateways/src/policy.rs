//! Limits and schedule of a gateway account's calls, and the choice of the method.

use std::time::Duration;

use khata_domain::routing::Ineligible;
use khata_domain::traffic::Traffic;
use khata_domain::validation::PollSchedule;
use khata_domain::{Consent, Details, Method};

/// Limits and schedule of a gateway account's calls.
pub struct CallPolicy {
    /// Allowed methods, in order of preference.
    pub methods: Vec<Method>,
    /// Waits between polls of a pending outcome.
    pub polling: PollSchedule,
    /// Number of calls that the gateway account takes, and the hours.
    pub traffic: Traffic,
    /// Upper bound for one call.
    pub call_timeout: Duration,
}

/// Returns the first of these methods that suits the details and that the consent suffices for: a penny drop to a UPI
/// address needs the payee's consent (NPCI, May 2025).
pub(crate) fn eligible_method(
    methods: &[Method],
    details: &Details,
    consent: Option<&Consent>,
) -> Result<Method, Ineligible> {
    let consented = consent.is_some_and(|consent| consent.obtained);
    let suits = |method: &Method| match (details, method) {
        (Details::Bank(_), Method::PennyDrop | Method::Penniless)
        | (Details::Upi(_), Method::VpaLookup) => true,
        (Details::Upi(_), Method::PennyDrop) => consented,
        (Details::Bank(_), Method::VpaLookup) | (Details::Upi(_), Method::Penniless) => false,
    };
    methods.iter().copied().find(suits).ok_or(Ineligible::Kind)
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use khata_domain::{AccountNumber, BankAccount, Ifsc, Vpa};

    use super::*;

    #[test]
    fn the_first_method_that_suits_is_eligible() {
        use Method::{Penniless, PennyDrop, VpaLookup};
        let bank = Details::Bank(BankAccount {
            ifsc: Ifsc::parse("HDFC0000001").unwrap(),
            account_number: AccountNumber::parse("00011020001772").unwrap(),
            beneficiary_name: None,
        });
        let upi = Details::Upi(Vpa::parse("asha@upi").unwrap());
        let consent = |obtained| Consent {
            obtained,
            purpose: String::new(),
            timestamp: DateTime::UNIX_EPOCH,
        };
        let (given, refused) = (consent(true), consent(false));
        let all = [PennyDrop, Penniless, VpaLookup];
        let reversed = [VpaLookup, Penniless, PennyDrop];
        for (methods, details, consent, method) in [
            (&all[..], &bank, None, Ok(PennyDrop)),
            (&reversed, &bank, None, Ok(Penniless)),
            (&[VpaLookup], &bank, None, Err(Ineligible::Kind)),
            (&all, &upi, Some(&given), Ok(PennyDrop)),
            (&all, &upi, Some(&refused), Ok(VpaLookup)),
            (&all, &upi, None, Ok(VpaLookup)),
            (&[VpaLookup, PennyDrop], &upi, Some(&given), Ok(VpaLookup)),
            (&[PennyDrop, Penniless], &upi, None, Err(Ineligible::Kind)),
        ] {
            let eligible = eligible_method(methods, details, consent);
            assert_eq!(eligible, method, "{methods:?}");
        }
    }
}
