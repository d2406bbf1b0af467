//! Checks exhaustively that no account is lost and no rupee is paid twice: the checker explores every order of the
//! workers' steps, of time, of faults and of what gateways do.
//!
//! The model calls the product's own decisions: [`khata_domain::plan::plan`], [`khata_domain::validation::decide`] and
//! [`khata_domain::AccountStatus::can_become`]. The product's SQL and the steps of its worker are
//! written once more in the model, with the name of the statement or function.

pub mod call;
pub mod check;
pub mod claim;
pub mod delivery;
pub mod events;
pub mod invariants;
pub mod model;
pub mod scenario;
pub mod scenarios;
pub mod settle;
pub mod state;
pub mod time;
