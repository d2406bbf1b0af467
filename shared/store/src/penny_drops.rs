//! The penny drops of a merchant for its finance: those that may have paid twice, and what each gateway account cost by day. A caller walks
//! through the attempts page by page ([`crate::doctor::page`]): no index has these, because each would cost every attempt a write.

use chrono::{DateTime, TimeDelta, Utc};
use diesel::prelude::*;
use khata_domain::attempt::AttemptState;
use khata_domain::ids::first_at;
use khata_domain::{AccountId, Class, GatewayAccountId, MerchantId, Method};
use uuid::Uuid;

use super::column::row;
use super::doctor::Page;
use super::merchants::Merchant;
use super::statement::statement;
use super::validations::{ATTEMPT_COLUMNS, Attempt, MAY_PAY};

/// By which the clocks of processes, Postgres and a gateway may differ.
pub const CLOCK_DIFFERENCE: TimeDelta = TimeDelta::hours(1);
/// Time beyond its deadline for which a validation may make attempts.
const AFTER_DEADLINE: TimeDelta = TimeDelta::days(1);

/// Returns the range of the ids of the merchant's validations that may have made attempts between these times.
pub fn validations_between(
    merchant: &Merchant,
    since: DateTime<Utc>,
    until: DateTime<Utc>,
) -> (Uuid, Uuid) {
    let deadline = TimeDelta::seconds(merchant.validation_deadline_seconds.into());
    let oldest = since - CLOCK_DIFFERENCE - deadline - AFTER_DEADLINE;
    (first_at(oldest), first_at(until + CLOCK_DIFFERENCE))
}

row! {
    /// A penny drop that followed another one of its validation whose result is unknown: each of the two may have paid.
    #[derive(Clone, Debug)]
    pub struct PossibleDoubleDrop {
        #[diesel(embed)]
        pub attempt: Attempt,
        #[diesel(column_name = account_id)]
        pub account: Option<AccountId>,
        /// The merchant's name for the gateway account.
        pub gateway_reference_id: Option<String>,
        /// Our references of the validation's penny drops before.
        pub earlier: Vec<String>,
    }
}

/// Reads the possible double drops of a page of validations that began between these times, the newest first.
pub fn possible_double_drops(
    connection: &mut PgConnection,
    merchant: MerchantId,
    page: Page,
    since: DateTime<Utc>,
    until: DateTime<Utc>,
) -> QueryResult<Vec<PossibleDoubleDrop>> {
    statement(format!(
        "select {ATTEMPT_COLUMNS}, v.account_id, g.reference_id as gateway_reference_id, array(
            select p.reference from validation_attempts p
            where p.merchant_id = t.merchant_id and p.validation_id = t.validation_id and p.number < t.number
              and p.method = 'PENNY_DROP' order by p.number
         ) as earlier
         from validation_attempts t
         left join lateral (
            select v.account_id from validations v where v.merchant_id = t.merchant_id and v.id = t.validation_id limit 1
         ) v on true
         left join lateral (
            select reference_id from gateway_accounts where merchant_id = t.merchant_id and id = t.gateway_account_id limit 1
         ) g on true
         where t.merchant_id = $1 and t.validation_id >= $2 and t.validation_id < $3
           and t.possible_double_drop and {MAY_PAY} and t.started_at >= $4 and t.started_at < $5
         order by t.validation_id desc, t.number desc"
    ))
    .key(merchant, page.from)
    .bind(page.before)
    .bind(since)
    .bind(until)
    .load(connection)
}

row! {
    /// Attempts at one gateway account that began on one day in India and ended alike.
    #[derive(Clone, Debug)]
    pub struct AttemptsOfDay {
        /// `2026-11-30`
        pub day: String,
        #[diesel(column_name = gateway_account_id)]
        pub gateway_account: GatewayAccountId,
        pub gateway_id: i16,
        pub method: Method,
        pub state: AttemptState,
        pub class: Option<Class>,
        pub code: Option<String>,
        /// The gateway gave the call an id.
        pub is_accepted: bool,
        pub attempts: i64,
    }
}

/// The cost of the attempts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cost {
    /// A rupee each: the gateway reported a penny drop that arrived.
    Rupee,
    /// Perhaps a rupee each: the result is unknown, or the gateway accepted the drop and reported something else.
    PossibleRupee,
    /// No rupee. A gateway may charge a fee.
    NoRupee,
}

impl AttemptsOfDay {
    pub fn cost(&self) -> Cost {
        // The domain decides by these facts alone.
        let attempt = khata_domain::attempt::Attempt {
            number: 1,
            gateway_account: self.gateway_account,
            method: self.method,
            reference: String::new(),
            state: self.state,
            class: self.class,
            code: self.code.clone(),
            failure: None,
            gateway_reference: self.is_accepted.then(String::new),
            polls: 0,
            started_at: DateTime::UNIX_EPOCH,
            sent_at: DateTime::UNIX_EPOCH,
        };
        let is_settled = self.state == AttemptState::Settled;
        if self.method.moves_money() && is_settled && self.class == Some(Class::Valid) {
            Cost::Rupee
        } else if attempt.may_pay() {
            Cost::PossibleRupee
        } else {
            Cost::NoRupee
        }
    }
}

/// Counts the attempts of a page of validations that began between these times, by day, gateway account and result.
pub fn attempts_by_day(
    connection: &mut PgConnection,
    merchant: MerchantId,
    page: Page,
    since: DateTime<Utc>,
    until: DateTime<Utc>,
) -> QueryResult<Vec<AttemptsOfDay>> {
    statement(
        "select (t.started_at at time zone interval '5 h 30 min')::date::text as day, t.gateway_account_id, t.gateway_id, t.method,
            t.state, t.class, t.code, t.gateway_reference is not null as is_accepted, count(*) as attempts
         from validation_attempts t
         where t.merchant_id = $1 and t.validation_id >= $2 and t.validation_id < $3 and t.started_at >= $4 and t.started_at < $5
         group by 1, 2, 3, 4, 5, 6, 7, 8",
    )
    .key(merchant, page.from)
    .bind(page.before)
    .bind(since)
    .bind(until)
    .load(connection)
}

#[cfg(test)]
mod tests {
    use khata_domain::gateway::RESPONSE_LOST;

    use super::*;

    #[test]
    fn a_drop_costs_a_rupee_if_it_arrived_and_perhaps_one_if_its_result_is_unknown() {
        let of = |method, state, class, code: Option<&str>, is_accepted| AttemptsOfDay {
            day: "2026-11-30".to_owned(),
            gateway_account: GatewayAccountId::new(),
            gateway_id: 70,
            method,
            state,
            class,
            code: code.map(str::to_owned),
            is_accepted,
            attempts: 1,
        };
        let (drop, settled) = (Method::PennyDrop, AttemptState::Settled);
        let (lost, other) = (Some(RESPONSE_LOST), Some("busy"));
        for (attempts, cost) in [
            (
                of(drop, settled, Some(Class::Valid), None, true),
                Cost::Rupee,
            ),
            (
                of(drop, settled, Some(Class::Invalid), None, true),
                Cost::PossibleRupee,
            ),
            (
                of(drop, settled, Some(Class::Retryable), lost, false),
                Cost::PossibleRupee,
            ),
            (
                of(drop, settled, Some(Class::Retryable), other, true),
                Cost::PossibleRupee,
            ),
            (
                of(drop, settled, Some(Class::Retryable), other, false),
                Cost::NoRupee,
            ),
            (
                of(drop, settled, Some(Class::Misconfigured), other, false),
                Cost::NoRupee,
            ),
            (
                of(drop, AttemptState::Pending, None, None, true),
                Cost::PossibleRupee,
            ),
            (
                of(drop, AttemptState::Started, None, None, false),
                Cost::PossibleRupee,
            ),
            (
                of(Method::Penniless, settled, Some(Class::Valid), None, true),
                Cost::NoRupee,
            ),
            (
                of(Method::Penniless, AttemptState::Pending, None, None, true),
                Cost::NoRupee,
            ),
        ] {
            assert_eq!(attempts.cost(), cost, "{attempts:?}");
        }
    }
}
