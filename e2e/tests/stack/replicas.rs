//! Several processes of each service share the work.

use anyhow::Result;
use futures_util::future::try_join_all;
use khata_e2e::client::text;
use khata_e2e::{Setup, TIMEOUT, TestStack};
use serde_json::Value;

use crate::load::{MIXED, assert_all_mixed_right, assert_paid_once, mixed};
use crate::requests::{banks, ids};

#[tokio::test]
async fn replicas_of_api_and_worker_share_the_work() -> Result<()> {
    const CUSTOMERS: usize = 5;
    let stack = TestStack::start(Setup {
        apis: 2,
        workers: 2,
        ..Setup::default()
    })
    .await?;
    let apis = [stack.api_at(0), stack.api_at(1)];
    // The same call six times at once, three at each API: one customer, one id per account.
    let customers: Vec<(String, Value)> = (0..CUSTOMERS)
        .map(|n| (format!("shared{n}"), mixed(n)))
        .collect();
    for (name, body) in &customers {
        let calls = (0..6).map(|n| apis[n % 2].create_json(name, body));
        let mut seen = Vec::new();
        for reply in try_join_all(calls).await? {
            let accounts = reply.accounts()?;
            assert!(
                accounts
                    .iter()
                    .all(|account| account["customer_id"] == accounts[0]["customer_id"])
            );
            seen.push((
                text(&accounts[0], "/customer_id").to_owned(),
                ids(&accounts),
            ));
        }
        seen.dedup();
        assert_eq!(seen.len(), 1, "{seen:#?}");
    }
    let all = i64::try_from((CUSTOMERS * MIXED) as u64)?;
    assert_eq!(
        stack.database.row_counts()?,
        [i64::try_from(CUSTOMERS)?, all, all]
    );
    stack
        .wait_until_none_is(&["CREATED", "PENDING"], TIMEOUT)
        .await?;
    for (name, _) in &customers {
        for api in &apis {
            assert_all_mixed_right(api, name).await?;
        }
    }
    assert_paid_once(&stack, (CUSTOMERS * MIXED) as u64).await
}

#[tokio::test]
async fn concurrent_calls_with_the_same_accounts_do_not_deadlock() -> Result<()> {
    let stack = TestStack::start(Setup {
        apis: 2,
        workers: 0,
        ..Setup::default()
    })
    .await?;
    let apis = [stack.api_at(0), stack.api_at(1)];
    let numbers: Vec<String> = (0..40).map(|n| format!("400000{n:02}")).collect();
    let forwards = banks(numbers.clone());
    let backwards = banks(numbers.into_iter().rev());
    let calls = (0..24).map(|n| {
        let body = if n % 3 == 0 { &backwards } else { &forwards };
        apis[n % 2].create_json(if n % 2 == 0 { "crossing" } else { "another" }, body)
    });
    for reply in try_join_all(calls).await? {
        assert_eq!(reply.accounts()?.len(), 40);
    }
    assert_eq!(stack.database.row_counts()?, [2, 80, 80]);
    Ok(())
}
