//! Which of a merchant's gateway accounts is asked next. Pure: the caller brings every fact.

use super::gateway::{Class, Gateway, Method};
use super::ids::GatewayAccountId;

/// Retryable answers from one gateway account before the next one is asked.
const RETRIES_BEFORE_FALLBACK: usize = 3;

/// Why a gateway account cannot take this account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// It does not validate this kind of account.
    #[error("does not validate this kind of account")]
    Kind,
    /// The details pass the gateway's own limits.
    #[error("the details are outside the gateway's limits")]
    Limits,
    /// Two calls of this validation were lost there and could not be looked up: a third might pay again.
    #[error("two calls were lost there beyond recovery")]
    LostTwice,
    /// There is no connector for it, or its settings or credentials do not make one.
    #[error("its settings make no working connector")]
    NoConnector,
}

/// One of the merchant's enabled gateway accounts, as it stands towards the account at hand.
#[derive(Clone, Debug)]
pub struct Candidate<'a> {
    /// Which.
    pub id: GatewayAccountId,
    /// At which gateway.
    pub gateway: Gateway,
    /// The merchant's name for it.
    pub reference_id: &'a str,
    /// Lower is asked first.
    pub priority: i16,
    /// Used only by a call that names its gateway.
    pub pinned_only: bool,
    /// The method it would use, or why it cannot.
    pub fit: Result<Method, Unfit>,
}

/// What the call asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pin {
    /// Juspay's gateway id.
    pub gateway_id: Option<i16>,
    /// The merchant's name for one account there.
    pub reference_id: Option<String>,
}

impl Pin {
    /// Whether the call leaves this candidate open.
    pub fn allows(&self, gateway: Gateway, reference_id: &str, pinned_only: bool) -> bool {
        match self.gateway_id {
            None => !pinned_only,
            Some(id) => {
                id == gateway.id()
                    && self
                        .reference_id
                        .as_deref()
                        .is_none_or(|wanted| wanted == reference_id)
            }
        }
    }
}

/// A settled attempt of the same validation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Past {
    /// Whom it asked.
    pub gateway_account: GatewayAccountId,
    /// What came of it.
    pub class: Class,
}

/// The routing's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Choice {
    /// Ask this one.
    Use {
        /// Its place among the candidates.
        index: usize,
        /// How.
        method: Method,
        /// Why, for ops.
        reason: String,
    },
    /// Nobody can be asked now; why, for ops.
    Nowhere(String),
}

/// Chooses by the pin, then by fit, then by how often each has already failed to tell (three retryable answers or
/// one inconclusive or misconfigured answer make one round), then by the merchant's priority. When everybody has
/// failed, the rounds begin again with the first.
pub fn choose(candidates: &[Candidate<'_>], pin: &Pin, past: &[Past]) -> Choice {
    let mut open = candidates
        .iter()
        .enumerate()
        .filter(|(_, c)| pin.allows(c.gateway, c.reference_id, c.pinned_only))
        .peekable();
    if open.peek().is_none() {
        return Choice::Nowhere("the merchant has no enabled gateway account for this call".into());
    }
    let mut unfit = Vec::new();
    let best = open
        .filter_map(|(index, candidate)| match candidate.fit {
            Ok(method) => Some((index, candidate, method)),
            Err(why) => {
                unfit.push(format!(
                    "{} {}: {why}",
                    candidate.gateway, candidate.reference_id
                ));
                None
            }
        })
        .min_by_key(|(index, candidate, _)| {
            (rounds(candidate.id, past), candidate.priority, *index)
        });
    match best {
        None => Choice::Nowhere(unfit.join("; ")),
        Some((index, candidate, method)) => {
            let why = match (pin.gateway_id.is_some(), rounds(candidate.id, past)) {
                (true, _) => "named by the call".to_owned(),
                (false, 0) if past.is_empty() => {
                    format!("first by priority {}", candidate.priority)
                }
                (false, 0) if past.iter().any(|p| p.gateway_account != candidate.id) => {
                    "others could not tell".to_owned()
                }
                (false, 0) => "tried again".to_owned(),
                (false, round) => format!("round {} after all failed to tell", round + 1),
            };
            Choice::Use {
                index,
                method,
                reason: why,
            }
        }
    }
}

fn rounds(account: GatewayAccountId, past: &[Past]) -> usize {
    let here = past.iter().filter(|p| p.gateway_account == account);
    let (mut retryable, mut other) = (0, 0);
    for attempt in here {
        if attempt.class == Class::Retryable {
            retryable += 1;
        } else {
            other += 1;
        }
    }
    retryable / RETRIES_BEFORE_FALLBACK + other
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;

    fn candidate(
        n: u128,
        gateway: Gateway,
        priority: i16,
        pinned_only: bool,
    ) -> Candidate<'static> {
        Candidate {
            id: GatewayAccountId(Uuid::from_u128(n)),
            gateway,
            reference_id: "main",
            priority,
            pinned_only,
            fit: Ok(Method::PennyDrop),
        }
    }

    fn used(choice: &Choice) -> Option<usize> {
        match choice {
            Choice::Use { index, .. } => Some(*index),
            Choice::Nowhere(_) => None,
        }
    }

    #[test]
    fn priority_decides_and_pinned_only_waits_to_be_named() {
        let all = [
            candidate(1, Gateway::Dummy, 1, true),
            candidate(2, Gateway::Cashfree, 5, false),
        ];
        assert_eq!(used(&choose(&all, &Pin::default(), &[])), Some(1));
        let pin = Pin {
            gateway_id: Some(100),
            reference_id: None,
        };
        assert_eq!(used(&choose(&all, &pin, &[])), Some(0));
        let elsewhere = Pin {
            gateway_id: Some(100),
            reference_id: Some("other".into()),
        };
        assert_eq!(used(&choose(&all, &elsewhere, &[])), None);
    }

    #[test]
    fn three_retryables_or_one_inconclusive_move_on() {
        let all = [
            candidate(1, Gateway::Cashfree, 1, false),
            candidate(2, Gateway::Cashfree, 2, false),
        ];
        let at = |n: u128, class| Past {
            gateway_account: GatewayAccountId(Uuid::from_u128(n)),
            class,
        };
        let retry = at(1, Class::Retryable);
        assert_eq!(
            used(&choose(&all, &Pin::default(), &[retry, retry])),
            Some(0)
        );
        assert_eq!(used(&choose(&all, &Pin::default(), &[retry; 3])), Some(1));
        assert_eq!(
            used(&choose(
                &all,
                &Pin::default(),
                &[at(1, Class::Inconclusive)]
            )),
            Some(1)
        );
        let both = [at(1, Class::Misconfigured), at(2, Class::Inconclusive)];
        assert_eq!(used(&choose(&all, &Pin::default(), &both)), Some(0));
    }

    proptest! {
        #[test]
        fn a_choice_is_always_open_and_fit(
            gateways in proptest::collection::vec((any::<bool>(), 0i16..4, any::<bool>(), any::<bool>()), 0..5),
            pinned in any::<bool>(),
            classes in proptest::collection::vec((0u128..5, 0usize..7), 0..12),
        ) {
            let all: Vec<_> = gateways.iter().enumerate().map(|(n, (cashfree, priority, pinned_only, fit))| Candidate {
                fit: if *fit { Ok(Method::PennyDrop) } else { Err(Unfit::Limits) },
                ..candidate(n as u128, if *cashfree { Gateway::Cashfree } else { Gateway::Dummy }, *priority, *pinned_only)
            }).collect();
            let pin = Pin { gateway_id: pinned.then_some(70), reference_id: None };
            let past: Vec<_> = classes.iter().map(|(n, class)| Past { gateway_account: GatewayAccountId(Uuid::from_u128(*n)), class: Class::ALL[*class] }).collect();
            match choose(&all, &pin, &past) {
                Choice::Use { index, .. } => {
                    let chosen = &all[index];
                    prop_assert!(chosen.fit.is_ok());
                    prop_assert!(pin.allows(chosen.gateway, chosen.reference_id, chosen.pinned_only));
                }
                Choice::Nowhere(_) => prop_assert!(!all.iter().any(|c| c.fit.is_ok() && pin.allows(c.gateway, c.reference_id, c.pinned_only))),
            }
        }
    }
}
