//! Rows for tests, and their current state.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::result::Error;
use diesel::sql_types::{Nullable, SmallInt, Text, Timestamptz, Uuid as SqlUuid};
use khata_domain::ValidationKey;
use khata_domain::events::{EndpointId, EndpointKey, EventName, Payload};
use khata_domain::ids::CustomerRef;
use khata_domain::routing::Pin;
use khata_domain::validation::{AttemptEnd, AttemptState, Next, Outcome};
use khata_domain::{
    AccountId, AccountKind, Class, GatewayAccountId, MerchantId, Method, PendingReason,
    ValidationId, validation::FailureCode,
};
use khata_store::accounts::{
    self, CreateAccounts, Created, CreatedAccount, NewAccount, Revalidation, ValidateAgain,
    ValidationTerms,
};
use khata_store::group_commit::LANE_SETTINGS;
use khata_store::merchants;
use khata_store::validations::{
    AttemptReport, Claimed, DueRow, DueTurns, LeaseToken, NewAttempt, Provenance, Settlement,
    Wanted, claim, settle,
};
use khata_store::webhooks::{self, NewEndpoint};
use khata_testing::database::number;
use sha2::{Digest, Sha256};
use uuid::Uuid;

pub(crate) const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
pub(crate) const LEASE: Duration = Duration::from_mins(1);

/// A merchant of this name.
pub(crate) fn merchant(connection: &mut PgConnection, name: &str) -> MerchantId {
    merchants::insert(connection, name).unwrap().unwrap().id
}

/// An account; equal seeds are equal details.
pub(crate) fn account(seed: &str) -> NewAccount {
    NewAccount {
        id: AccountId::new(),
        validation: ValidationId::new(),
        kind: AccountKind::Bank,
        sealed_details: seed.as_bytes().to_vec(),
        fingerprint: Sha256::digest(seed).into(),
        masked: "XXXXXXX1191".into(),
        bank_code: None,
        sealed_webhook_url: None,
    }
}

/// A call that creates accounts of these seeds.
pub(crate) fn call(merchant: MerchantId, customer: &str, seeds: &[&str]) -> CreateAccounts {
    CreateAccounts {
        merchant,
        customer: CustomerRef::parse(customer).unwrap(),
        implicit_customer: true,
        pin: Pin::default(),
        metadata: "{}".into(),
        routing_id: None,
        terms: ValidationTerms {
            consent: None,
            trace_parent: Some(TRACE.into()),
            deadline: TimeDelta::hours(48),
            awaited: None,
            validations_per_day: i16::MAX,
            penny_drops_per_day: i32::MAX,
            fresh: false,
        },
        accounts: seeds.iter().map(|seed| account(seed)).collect(),
    }
}

/// Creates in transactions, as the group commit does. Calls whose locks are held by others are submitted again.
pub(crate) fn create(connection: &mut PgConnection, calls: &[CreateAccounts]) -> Vec<Created> {
    let mut created: Vec<Option<Created>> = calls.iter().map(|_| None).collect();
    for tries in 0.. {
        let open = created.iter().zip(calls).enumerate();
        let open = open.filter(|(_, (created, _))| created.is_none());
        let (places, open): (Vec<_>, Vec<_>) = open.map(|(place, (_, call))| (place, call)).unzip();
        if tries > 0 && open.is_empty() {
            break;
        }
        assert!(tries < 2_000, "{} calls are busy for ever", open.len());
        let results = create_once(connection, &open);
        let is_done = |(_, result): &(usize, Created)| !matches!(result, Created::Busy);
        for (place, result) in places.into_iter().zip(results).filter(is_done) {
            created[place] = Some(result);
        }
        if created.iter().any(Option::is_none) {
            std::thread::sleep(BUSY_RETRY.mul_f64(rand::random()));
        }
    }
    created.into_iter().flatten().collect()
}

/// Maximum pause of a call that is busy.
pub(crate) const BUSY_RETRY: Duration = Duration::from_millis(20);

/// Creates in one transaction.
pub(crate) fn create_once(
    connection: &mut PgConnection,
    calls: &[&CreateAccounts],
) -> Vec<Created> {
    connection
        .transaction(|connection| accounts::create(connection, calls))
        .unwrap()
}

/// Validates again, as the API does: a call whose locks are held by others is repeated.
pub(crate) fn validate_again(
    connection: &mut PgConnection,
    wanted: &ValidateAgain,
) -> Revalidation {
    for _ in 0..2_000 {
        let result = connection
            .transaction(|connection| accounts::validate_again(connection, wanted))
            .unwrap();
        if !matches!(result, Revalidation::Busy) {
            return result;
        }
        std::thread::sleep(BUSY_RETRY.mul_f64(rand::random()));
    }
    panic!("the call is busy for ever")
}

/// The ids in the result of a call, new or existing.
pub(crate) fn ids(call: &CreateAccounts, created: &Created) -> Vec<AccountId> {
    let Created::Accounts { accounts, .. } = created else {
        panic!("{created:?}")
    };
    assert_eq!(accounts.len(), call.accounts.len(), "an answer an account");
    call.accounts
        .iter()
        .zip(accounts)
        .map(|(asked, answer)| match answer {
            CreatedAccount::New => asked.id,
            CreatedAccount::Existing(row) => row.id,
        })
        .collect()
}

/// Creates `count` accounts, each with its validation DUE.
pub(crate) fn due(
    connection: &mut PgConnection,
    merchant: MerchantId,
    count: usize,
) -> Vec<ValidationKey> {
    let seeds: Vec<String> = (0..count).map(|_| Uuid::new_v4().to_string()).collect();
    let seeds: Vec<&str> = seeds.iter().map(String::as_str).collect();
    let call = call(merchant, "customer_1122", &seeds);
    create(connection, std::slice::from_ref(&call));
    call.accounts
        .iter()
        .map(|account| ValidationKey {
            merchant,
            id: account.validation,
        })
        .collect()
}

pub(crate) fn token() -> LeaseToken {
    LeaseToken(Uuid::new_v4())
}

/// Claims a validation that must be due.
pub(crate) fn claimed(connection: &mut PgConnection, key: ValidationKey) -> (LeaseToken, Claimed) {
    let token = token();
    let mut rows = claim(connection, &[key], token, LEASE).unwrap();
    assert_eq!(rows.len(), 1, "claimed");
    (token, rows.remove(0))
}

/// The first attempt of a validation.
pub(crate) fn attempt(key: ValidationKey, number: i16) -> NewAttempt {
    NewAttempt {
        key,
        number,
        gateway_account: GatewayAccountId::new(),
        gateway_id: 70,
        method: Method::PennyDrop,
        reference: format!("kh{}_{number:02}", key.id.0.simple()),
        choice: "first by priority 1".into(),
        possible_double_drop: false,
        is_further_drop: false,
    }
}

pub(crate) fn valid() -> Next {
    Next::Complete {
        outcome: Outcome::Valid,
        failure: None,
    }
}

pub(crate) fn invalid() -> Next {
    Next::Complete {
        outcome: Outcome::Invalid,
        failure: Some(FailureCode::InvalidAccount),
    }
}

pub(crate) fn later(pending: bool) -> Next {
    Next::Wait {
        until: Utc::now(),
        pending,
        reason: PendingReason::Retrying,
    }
}

/// A settlement without an attempt.
pub(crate) fn settlement(key: ValidationKey, token: LeaseToken, next: Next) -> Settlement {
    Settlement::without_attempt(key, token, next, Duration::from_secs(30))
}

/// Settles validations; returns the keys of those whose lease held.
pub(crate) fn settled(
    connection: &mut PgConnection,
    settlements: &[Settlement],
) -> Vec<ValidationKey> {
    let settled = settle(connection, settlements).unwrap();
    settled.iter().map(|settled| settled.key).collect()
}

/// The gateway of a report.
pub(crate) fn provenance() -> Provenance {
    Provenance {
        gateway_id: 70,
        gateway_reference_id: "cashfree_main".into(),
        method: Method::PennyDrop,
    }
}

/// A report about attempt 1.
pub(crate) fn report(state: AttemptState, class: Option<Class>) -> AttemptReport {
    AttemptReport {
        number: 1,
        end: AttemptEnd {
            state,
            class,
            code: "ACCOUNT_IS_VALID".into(),
        },
        gateway_reference: Some("34".into()),
        polls: 2,
        latency_ms: Some(120),
        unlisted_code: false,
        failure: None,
        not_understood: Vec::new(),
        webhook_gateway_account: None,
    }
}

/// The current state of a validation, with its account's status.
#[derive(Clone, Debug, PartialEq, QueryableByName)]
pub(crate) struct CurrentState {
    #[diesel(sql_type = Text)]
    pub(crate) state: String,
    #[diesel(sql_type = Timestamptz)]
    pub(crate) due_at: DateTime<Utc>,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    pub(crate) lease_token: Option<Uuid>,
    #[diesel(sql_type = SmallInt)]
    pub(crate) attempts: i16,
    #[diesel(sql_type = Nullable<Text>)]
    pub(crate) outcome: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    pub(crate) failure_code: Option<String>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub(crate) completed_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = Text)]
    pub(crate) account_status: String,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub(crate) last_validated_at: Option<DateTime<Utc>>,
}

/// Reads the current state of the validation.
pub(crate) fn current_state(connection: &mut PgConnection, key: ValidationKey) -> CurrentState {
    diesel::sql_query(
        "select v.state, v.due_at, v.lease_token, v.attempts, v.outcome, v.failure_code, v.completed_at,
            a.status as account_status, a.last_validated_at
         from validations v join customer_accounts a on a.merchant_id = v.merchant_id and a.id = v.account_id
         where v.merchant_id = $1 and v.id = $2",
    )
    .bind::<SqlUuid, _>(key.merchant.0)
    .bind::<SqlUuid, _>(key.id.0)
    .get_result(connection)
    .unwrap()
}

/// Takes due validations of every merchant, from the first one on.
pub(crate) fn take_due(
    connection: &mut PgConnection,
    limit: i64,
    hold: bool,
    wakeup_grace: Duration,
) -> QueryResult<Vec<DueRow>> {
    let wanted = Wanted {
        limit,
        hold,
        held: &[],
        full: &[],
        full_of_waited: &[],
        checks: 1_000,
        wakeup_grace,
    };
    Ok(DueTurns::default().take(connection, &wanted)?.rows)
}

/// A webhook endpoint that gets events of these names; none: of all.
pub(crate) fn endpoint(
    connection: &mut PgConnection,
    merchant: MerchantId,
    event_names: &[EventName],
    is_ordered: bool,
) -> EndpointKey {
    let new = NewEndpoint {
        id: EndpointId::new(),
        url: "https://shop.example/hooks",
        sealed_settings: b"sealed",
        event_names,
        payload: Payload::Full,
        is_ordered,
        concurrency: 4,
        calls_per_second: None,
        allows_url_per_account: false,
    };
    let inserted = webhooks::insert(connection, merchant, &new, 20).unwrap();
    inserted.unwrap().key()
}

/// Lets the connection plan statements once, as a lane does. A test on a busy machine may be idle in a transaction.
pub(crate) fn plan_as_a_lane(connection: &mut PgConnection) {
    let settings = format!("{LANE_SETTINGS}; set idle_in_transaction_session_timeout = 0");
    connection.batch_execute(&settings).unwrap();
}

/// Returns the result of `run`, and the rows of tables that its statements read.
pub(crate) fn rows_read<T>(
    connection: &mut PgConnection,
    run: impl FnOnce(&mut PgConnection) -> T,
) -> (T, i64) {
    let read = "select sum(idx_tup_fetch + seq_tup_read) from pg_stat_xact_user_tables";
    // Between two transactions, a connection flushes its statistics.
    connection
        .transaction(|connection| {
            let before = number(connection, read);
            let result = run(connection);
            Ok::<_, Error>((result, number(connection, read) - before))
        })
        .unwrap()
}

/// Changes the validation directly: `set` is the SQL after `set`.
pub(crate) fn alter(connection: &mut PgConnection, key: ValidationKey, set: &str) {
    let changed = diesel::sql_query(format!(
        "update validations set {set} where merchant_id = $1 and id = $2"
    ))
    .bind::<SqlUuid, _>(key.merchant.0)
    .bind::<SqlUuid, _>(key.id.0)
    .execute(connection)
    .unwrap();
    assert_eq!(changed, 1);
}

/// Changes the validation's account directly.
pub(crate) fn alter_account(connection: &mut PgConnection, key: ValidationKey, set: &str) {
    let changed = diesel::sql_query(format!(
        "update customer_accounts set {set} where merchant_id = $1
         and id = (select account_id from validations where merchant_id = $1 and id = $2)"
    ))
    .bind::<SqlUuid, _>(key.merchant.0)
    .bind::<SqlUuid, _>(key.id.0)
    .execute(connection)
    .unwrap();
    assert_eq!(changed, 1);
}
