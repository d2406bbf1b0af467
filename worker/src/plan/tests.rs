//! What is planned for a validation in each state that a crash, a gateway or an ops person can leave it in. Rows are
//! read from Postgres, as only the store makes them; planning itself touches nothing.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::HashMap;

use async_trait::async_trait;
use chrono::TimeDelta;
use diesel::prelude::*;
use diesel::sql_types::{Nullable, Text};
use khata_domain::ValidationKey;
use khata_domain::gateway::RESPONSE_LOST;
use khata_domain::ids::CustomerRef;
use khata_domain::routing::{Ineligible, Pin};
use khata_domain::score::Score;
use khata_domain::validation::PollSchedule;
use khata_domain::{AccountId, BankAccount, CallFailure, Gateway, MerchantId};
use khata_gateways::{Call, CallPolicy, Connector};
use khata_store::accounts::{self, CreateAccounts, NewAccount};
use khata_store::gateway_accounts::{self, NewGatewayAccount};
use khata_store::merchants;
use khata_store::validations::{self, LeaseToken};
use uuid::Uuid;

use super::*;

/// A gateway of which only its character matters.
struct Character {
    method: Result<Method, Ineligible>,
    recovery: Recovery,
    traffic: Traffic,
}

impl Character {
    fn new(method: Result<Method, Ineligible>, recovery: Recovery) -> Self {
        Self {
            method,
            recovery,
            traffic: Traffic::default(),
        }
    }
}

#[async_trait]
impl Connector for Character {
    fn policy(&self) -> &CallPolicy {
        unreachable!("planning reads only the traffic")
    }

    fn eligible_method(&self, _: &Details, _: Option<&Consent>) -> Result<Method, Ineligible> {
        self.method
    }

    fn recovery(&self, _: &Details, _: Method) -> Recovery {
        self.recovery
    }

    fn traffic(&self) -> &Traffic {
        &self.traffic
    }

    async fn verify(&self, _: &Call<'_>) -> Result<GatewayResponse, CallFailure> {
        unreachable!("planning does not call")
    }

    async fn lookup(
        &self,
        _: &Call<'_>,
        _: Option<&str>,
    ) -> Result<Option<GatewayResponse>, CallFailure> {
        unreachable!("planning does not call")
    }
}

/// A claimed validation, its past and its merchant's gateway accounts.
struct Case {
    connection: PgConnection,
    claimed: Claimed,
    details: Option<Details>,
    past: Vec<Attempt>,
    entries: Vec<Arc<Entry>>,
    scores: HashMap<GatewayAccountId, HashMap<String, Score>>,
    notices: Vec<Notice>,
    reusable: Option<ValidationId>,
    now: DateTime<Utc>,
    _database: khata_testing::database::Database,
}

const LIVE: &str = "status = 'CREATED'";
const ENABLED: &str = "enabled = true";
const DISABLED: &str = "enabled = false";

type Connected = Result<Box<dyn Connector>, khata_gateways::ConfigError>;

/// One that drops a rupee.
fn drops(recovery: Recovery) -> Box<dyn Connector> {
    Box::new(Character::new(Ok(Method::PennyDrop), recovery))
}

fn pin(gateway: i16, reference: Option<&str>) -> Pin {
    Pin {
        gateway_id: Some(gateway),
        reference_id: reference.map(str::to_owned),
    }
}

/// A new account that names no gateway, of a merchant that has none yet.
fn case() -> Case {
    case_with(Pin::default(), LIVE)
}

fn case_with(pin: Pin, account: &str) -> Case {
    let database = khata_testing::database::Database::new();
    let mut connection = database.connect();
    let merchant = merchants::insert(&mut connection, "local")
        .unwrap()
        .unwrap()
        .id;
    let now = Utc::now();
    let id = ValidationId::new();
    let call = CreateAccounts {
        merchant,
        customer: CustomerRef::parse("customer_1122").unwrap(),
        implicit_customer: true,
        pin,
        metadata: "{}".into(),
        consent: None,
        routing_id: None,
        trace_parent: None,
        created_at: now,
        deadline_at: now + TimeDelta::hours(1),
        awaited_until: None,
        validations_per_day: 5,
        fresh: false,
        accounts: vec![NewAccount {
            id: AccountId::new(),
            validation: id,
            kind: khata_domain::AccountKind::Bank,
            sealed_details: Vec::new(),
            fingerprint: [7; 32],
            masked: "XXXXXXX1191".into(),
            bank_code: None,
        }],
    };
    accounts::create(&mut connection, &[call]).unwrap();
    diesel::sql_query(format!("update customer_accounts set {account}"))
        .execute(&mut connection)
        .unwrap();
    let key = ValidationKey { merchant, id };
    let token = LeaseToken(Uuid::new_v4());
    let lease = Duration::from_mins(1);
    let claimed = validations::claim(&mut connection, &[key], token, lease)
        .unwrap()
        .remove(0);
    Case {
        connection,
        claimed,
        details: Some(Details::Bank(BankAccount {
            ifsc: khata_domain::Ifsc::parse("HDFC0000001").unwrap(),
            account_number: khata_domain::AccountNumber::parse("00011020001772").unwrap(),
            beneficiary_name: None,
        })),
        past: Vec::new(),
        entries: Vec::new(),
        scores: HashMap::new(),
        notices: Vec::new(),
        reusable: None,
        now,
        _database: database,
    }
}

impl Case {
    fn merchant(&self) -> MerchantId {
        self.claimed.key.merchant
    }

    /// Adds a gateway account; the first that is added is the first by priority.
    fn gateway(&mut self, gateway: Gateway, name: &str, recovery: Recovery) -> GatewayAccountId {
        self.gateway_with(gateway, name, ENABLED, Ok(drops(recovery)))
    }

    fn gateway_with(
        &mut self,
        gateway: Gateway,
        name: &str,
        set: &str,
        connector: Connected,
    ) -> GatewayAccountId {
        let new = NewGatewayAccount {
            id: GatewayAccountId::new(),
            gateway_id: gateway.id(),
            reference_id: name,
            priority: i16::try_from(self.entries.len()).unwrap(),
            pinned_only: false,
            base_url: None,
            settings: &serde_json::json!({}),
        };
        let merchant = self.merchant();
        gateway_accounts::upsert(&mut self.connection, merchant, &new, None).unwrap();
        diesel::sql_query(format!(
            "update gateway_accounts set {set} where reference_id = $1"
        ))
        .bind::<Text, _>(name)
        .execute(&mut self.connection)
        .unwrap();
        let account = gateway_accounts::find(&mut self.connection, merchant, gateway.id(), name)
            .unwrap()
            .unwrap();
        let id = account.id;
        self.entries.push(Arc::new(Entry {
            account,
            gateway,
            connector,
        }));
        id
    }

    /// Adds the next attempt to the past, as it was left behind.
    fn attempted(
        &mut self,
        at: GatewayAccountId,
        state: AttemptState,
        class: Option<Class>,
        code: Option<&str>,
    ) {
        self.attempted_by(Method::PennyDrop, at, state, class, code);
    }

    fn attempted_by(
        &mut self,
        method: Method,
        at: GatewayAccountId,
        state: AttemptState,
        class: Option<Class>,
        code: Option<&str>,
    ) {
        let number = i16::try_from(self.past.len() + 1).unwrap();
        let key = self.claimed.key;
        let new = NewAttempt {
            key,
            number,
            gateway_account: at,
            gateway_id: 70,
            method,
            reference: format!("written_{number:02}"),
            choice: "first".into(),
            possible_double_drop: false,
        };
        validations::insert_attempts(&mut self.connection, &[new]).unwrap();
        diesel::sql_query(
            "update validation_attempts set state = $1, class = $2, code = $3, polls = 4, gateway_reference = '34',
                settled_at = case when $1 = 'SETTLED' then now() end where number = $4",
        )
        .bind::<Text, _>(state.as_str())
        .bind::<Nullable<Text>, _>(class.map(Class::as_str))
        .bind::<Nullable<Text>, _>(code)
        .bind::<diesel::sql_types::SmallInt, _>(number)
        .execute(&mut self.connection)
        .unwrap();
        self.past = validations::attempts(&mut self.connection, &[key])
            .unwrap()
            .remove(&key)
            .unwrap();
    }

    /// An attempt whose answer was lost and cannot be looked up.
    fn lost(&mut self, at: GatewayAccountId) {
        self.attempted(
            at,
            AttemptState::Settled,
            Some(Class::Retryable),
            Some(RESPONSE_LOST),
        );
    }

    /// As if nothing had been attempted.
    fn forget(&mut self) {
        diesel::sql_query("delete from validation_attempts")
            .execute(&mut self.connection)
            .unwrap();
        self.past.clear();
    }

    fn past_deadline(&mut self) {
        self.now = self.claimed.deadline_at;
    }

    fn plan(&self) -> Planned {
        self.plan_with(&mut RateBudgets::default())
    }

    fn plan_with(&self, budgets: &mut RateBudgets) -> Planned {
        let merchant = MerchantView {
            fail_on_name_mismatch: false,
            reuse_results_seconds: 0,
            entries: self.entries.clone(),
            scores: self.scores.clone(),
        };
        let facts = Facts {
            claimed: &self.claimed,
            details: self.details.as_ref(),
            consent: None,
            past: &self.past,
            notices: &self.notices,
            reusable: self.reusable,
            merchant: &merchant,
            now: self.now,
            jitter: 0.5,
        };
        plan(&facts, budgets)
    }
}

/// What the plan goes on with.
#[derive(Debug, PartialEq)]
struct Going {
    first: NextAction,
    number: i16,
    at: GatewayAccountId,
    reference: String,
    setbacks: u32,
    alternative: bool,
}

impl Planned {
    fn going(&self) -> Going {
        match &self.plan {
            Plan::Attempt {
                attempt,
                first,
                setbacks,
                alternative,
            } => Going {
                first: first.clone(),
                number: attempt.number,
                at: attempt.entry.account.id,
                reference: attempt.reference.clone(),
                setbacks: *setbacks,
                alternative: *alternative,
            },
            Plan::Settle { why, .. } => panic!("nobody is asked: {why}"),
            Plan::Reuse => panic!("an earlier result is used"),
        }
    }

    fn settling(&self) -> (&Next, Duration, &str) {
        match &self.plan {
            Plan::Settle {
                next, delay, why, ..
            } => (next, *delay, why),
            Plan::Attempt { .. } | Plan::Reuse => panic!("somebody is asked"),
        }
    }

    /// Nobody can be asked now: looked at again within half a minute, and nobody's failure.
    fn waits(&self) -> Duration {
        let (next, delay, why) = self.settling();
        assert!(
            matches!(next, Next::Wait { pending: false, .. }),
            "{next:?}: {why}"
        );
        assert!(delay <= Duration::from_secs(30));
        delay
    }
}

mod crashed;
mod fresh;
mod limits;
mod webhook_received;
