//! The one thing that ops people may do about a validation: have it looked at now.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::{Nullable, Text, Timestamptz, Uuid as SqlUuid};

use super::statement::statement;
use khata_domain::ValidationKey;

/// What became of the wish to have a validation looked at now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MadeDue {
    /// The scheduler of the workers wakeups for it at its next look. It was in this state before: DUE or WAITING.
    Done {
        /// By its word.
        was: String,
    },
    /// A worker is on it until then.
    Held {
        /// When its lease runs out.
        until: DateTime<Utc>,
    },
    /// It is final.
    Completed {
        /// `Outcome` by its word.
        outcome: String,
    },
}

/// Has an open validation looked at now, unless a worker is on it. `None`: there is no such validation. In a
/// transaction: it stays as it is until that ends.
pub fn make_due(connection: &mut PgConnection, key: ValidationKey) -> QueryResult<Option<MadeDue>> {
    #[derive(QueryableByName)]
    struct Standing {
        #[diesel(sql_type = Text)]
        state: String,
        #[diesel(sql_type = Nullable<Timestamptz>)]
        leased_until: Option<DateTime<Utc>>,
        #[diesel(sql_type = Nullable<Text>)]
        outcome: Option<String>,
    }
    let standing: Option<Standing> = statement(
        "select state, leased_until, outcome from validations where merchant_id = $1 and id = $2 for update",
    )
    .bind::<SqlUuid, _>(key.merchant.0)
    .bind::<SqlUuid, _>(key.id.0)
    .get_result(connection)
    .optional()?;
    let Some(standing) = standing else {
        return Ok(None);
    };
    if let Some(outcome) = standing.outcome {
        return Ok(Some(MadeDue::Completed { outcome }));
    }
    if let Some(until) = standing.leased_until {
        return Ok(Some(MadeDue::Held { until }));
    }
    // What waits stays WAITING: the scheduler takes that up also while the queue is deep.
    statement("update validations set due_at = now() where merchant_id = $1 and id = $2")
        .bind::<SqlUuid, _>(key.merchant.0)
        .bind::<SqlUuid, _>(key.id.0)
        .execute(connection)?;
    Ok(Some(MadeDue::Done {
        was: standing.state,
    }))
}
