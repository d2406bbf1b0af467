//! In any order of the actions of workers and schedulers, a final validation stays final and a lease has one holder.

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use khata_domain::ValidationKey;
use khata_domain::validation::{Next, Outcome};
use khata_store::validations::{LeaseToken, claim, settle};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use crate::rows::{
    LEASE, alter, current_state, due, invalid, later, merchant, settlement, take_due, token, valid,
};
use khata_testing::Database;

const VALIDATIONS: usize = 3;

/// An action of a worker, a scheduler or time.
#[derive(Clone, Debug)]
enum Deed {
    /// A worker claims the validations whose bit is set.
    Claim(usize),
    /// A worker settles with the lease of this claim, counted from the newest; any worker may have claimed it.
    Settle {
        which: usize,
        claim: usize,
        how: usize,
    },
    /// A scheduler takes due validations.
    TakeDue { hold: bool },
    /// Time passes: the lease expires.
    Expire(usize),
    /// Time passes: the validation is due.
    Ripen(usize),
}

fn deed() -> impl Strategy<Value = Deed> {
    let which = 0..VALIDATIONS;
    prop_oneof![
        3 => (1usize..1 << VALIDATIONS).prop_map(Deed::Claim),
        4 => (which.clone(), 0usize..4, 0usize..5).prop_map(|(which, claim, how)| Deed::Settle { which, claim, how }),
        2 => any::<bool>().prop_map(|hold| Deed::TakeDue { hold }),
        1 => which.clone().prop_map(Deed::Expire),
        1 => which.prop_map(Deed::Ripen),
    ]
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum State {
    Due {
        ripe: bool,
    },
    Leased {
        token: LeaseToken,
        expired: bool,
        ripe: bool,
    },
    Waiting {
        ripe: bool,
    },
    Completed {
        outcome: &'static str,
    },
}

/// The expected state of a validation.
#[derive(Clone, Copy, Debug)]
struct Model {
    state: State,
    account: &'static str,
}

impl Model {
    fn is_claimed(&mut self, token: LeaseToken) -> bool {
        let State::Due { ripe } = self.state else {
            return false;
        };
        self.state = State::Leased {
            token,
            expired: false,
            ripe,
        };
        true
    }

    fn is_settled(&mut self, with: LeaseToken, next: &Next) -> bool {
        match self.state {
            State::Leased { token, .. } if token == with => {}
            _ => return false,
        }
        self.state = match next {
            Next::Complete { outcome, .. } => State::Completed {
                outcome: outcome.as_str(),
            },
            Next::Wait { .. } => State::Waiting { ripe: false },
        };
        self.account = match next {
            Next::Complete {
                outcome: Outcome::Valid,
                ..
            } => "ACTIVE",
            Next::Complete {
                outcome: Outcome::Cancelled,
                ..
            }
            | Next::Wait { pending: false, .. } => self.account,
            Next::Complete { .. } => "FAILURE",
            Next::Wait { pending: true, .. } => "PENDING",
        };
        true
    }

    fn is_taken(&mut self, hold: bool) -> bool {
        let taken = match self.state {
            State::Due { ripe } => ripe && !hold,
            State::Leased { expired, ripe, .. } => expired && ripe,
            State::Waiting { ripe } => ripe,
            State::Completed { .. } => false,
        };
        if taken {
            self.state = State::Due { ripe: false };
        }
        taken
    }

    fn words(&self) -> (&'static str, Option<LeaseToken>, Option<&'static str>) {
        match self.state {
            State::Due { .. } => ("DUE", None, None),
            State::Leased { token, .. } => ("LEASED", Some(token), None),
            State::Waiting { .. } => ("WAITING", None, None),
            State::Completed { outcome } => ("COMPLETED", None, Some(outcome)),
        }
    }
}

fn nexts(how: usize) -> Next {
    match how {
        0 => valid(),
        1 => invalid(),
        2 => later(true),
        3 => later(false),
        _ => Next::Complete {
            outcome: Outcome::Cancelled,
            failure: None,
        },
    }
}

fn live_through(connection: &mut PgConnection, keys: &[ValidationKey], deeds: &[Deed]) {
    let mut models = [Model {
        state: State::Due { ripe: false },
        account: "CREATED",
    }; VALIDATIONS];
    let mut claims: Vec<LeaseToken> = vec![token()];
    for deed in deeds {
        match deed {
            Deed::Claim(bits) => {
                let mine = token();
                let wanted: Vec<usize> =
                    (0..VALIDATIONS).filter(|n| bits & (1 << n) != 0).collect();
                let asked: Vec<_> = wanted.iter().map(|n| keys[*n]).collect();
                let mut got: Vec<_> = claim(connection, &asked, mine, LEASE)
                    .unwrap()
                    .iter()
                    .map(|row| row.key)
                    .collect();
                let mut expected: Vec<_> = wanted
                    .iter()
                    .filter(|n| models[**n].is_claimed(mine))
                    .map(|n| keys[*n])
                    .collect();
                got.sort_unstable();
                expected.sort_unstable();
                assert_eq!(got, expected, "{deed:?}");
                claims.push(mine);
            }
            Deed::Settle { which, claim, how } => {
                let token = claims[claims.len() - 1 - claim.min(&(claims.len() - 1))];
                let next = nexts(*how);
                let expected = models[*which].is_settled(token, &next);
                let settled = settle(connection, &[settlement(keys[*which], token, next)]).unwrap();
                assert_eq!(!settled.is_empty(), expected, "{deed:?}");
            }
            Deed::TakeDue { hold } => {
                let mut got: Vec<_> = take_due(connection, 10, *hold, LEASE)
                    .unwrap()
                    .iter()
                    .map(|row| row.key)
                    .collect();
                let mut expected: Vec<_> = (0..VALIDATIONS)
                    .filter(|n| models[*n].is_taken(*hold))
                    .map(|n| keys[n])
                    .collect();
                got.sort_unstable();
                expected.sort_unstable();
                assert_eq!(got, expected, "{deed:?}");
            }
            Deed::Expire(which) => {
                if let State::Leased { expired, .. } = &mut models[*which].state {
                    *expired = true;
                    alter(
                        connection,
                        keys[*which],
                        "leased_until = now() - interval '1 s'",
                    );
                }
            }
            Deed::Ripen(which) => {
                match &mut models[*which].state {
                    State::Due { ripe } | State::Leased { ripe, .. } | State::Waiting { ripe } => {
                        *ripe = true;
                    }
                    State::Completed { .. } => {}
                }
                alter(connection, keys[*which], "due_at = now() - interval '1 s'");
            }
        }
        for (key, model) in keys.iter().zip(&models) {
            let row = current_state(connection, *key);
            let found = (
                row.state.as_str(),
                row.lease_token.map(LeaseToken),
                row.outcome.as_deref(),
            );
            assert_eq!(found, model.words(), "after {deed:?}");
            assert_eq!(row.account_status, model.account, "after {deed:?}");
        }
    }
}

#[test]
fn in_any_order_final_stays_final_and_a_lease_has_one_holder() {
    let database = Database::new();
    let mut connection = database.connect();
    connection
        .batch_execute("set synchronous_commit = off")
        .unwrap();
    let merchant = merchant(&mut connection, "local");
    let config = Config {
        cases: 40,
        failure_persistence: None,
        ..Config::default()
    };
    let connection = std::cell::RefCell::new(connection);
    TestRunner::new(config)
        .run(&proptest::collection::vec(deed(), 1..40), |deeds| {
            let connection = &mut *connection.borrow_mut();
            connection
                .batch_execute("delete from validations; delete from customer_accounts")
                .unwrap();
            let keys = due(connection, merchant, VALIDATIONS);
            for key in &keys {
                alter(connection, *key, "due_at = now() + interval '1 hour'");
            }
            live_through(connection, &keys, &deeds);
            Ok(())
        })
        .unwrap();
}
