//! Many accounts with their expected results.

use anyhow::Result;
use khata_e2e::client::text;
use khata_e2e::{Api, PUBLISHED, Setup, TestStack};
use serde_json::{Value, json};

use crate::requests::banks;

pub(crate) fn outage() -> Setup {
    Setup {
        proxies: true,
        traces: true,
        call_timeout_ms: 1_000,
        ..Setup::default()
    }
}

pub(crate) async fn create_ten(stack: &TestStack, customer: &str) -> Result<()> {
    let body = banks((0..10).map(|n| format!("{customer}{n:04}")));
    let created = stack.api.create_json(customer, &body).await?.accounts()?;
    assert_eq!(created.len(), 10);
    Ok(())
}

/// The shortest allowed lease; the time-out of a call is then 1 s: a lease is more than two seconds longer than two calls.
pub(crate) const SHORT_LEASE: &[(&str, &str)] = &[("KHATA_WORKER_LEASE_SECONDS", "5")];

pub(crate) const LEASED: &str = "select count(*) from validations where state = 'LEASED'";

/// Returns twenty accounts of one customer: fourteen with valid numbers, the others from Cashfree's test data.
pub(crate) fn mixed(customer: usize) -> Value {
    let item = |number: &str, ifsc: &str| json!({"account_number": number, "ifsc": ifsc});
    let mut items: Vec<Value> = (0..14)
        .map(|n| item(&format!("8{customer:04}{n:04}"), "AABF0008032"))
        .collect();
    items.extend([
        item("026291800001191", "YESB0000262"),
        item("026291800001190", "YESB0000262"),
        item("1234567890", "ICIC0000001"),
        item("00224412311300", "YESB0000001"),
        item("7766666351000", "YESB0000001"),
        item("7766667989884", "RATN0000070"),
    ]);
    json!({ "bank_account_details": items })
}

pub(crate) const MIXED: usize = 20;

pub(crate) async fn assert_all_mixed_right(api: &Api, customer: &str) -> Result<()> {
    let accounts = api.list(customer, "?count=100").await?.accounts()?;
    assert_eq!(accounts.len(), MIXED);
    for account in &accounts {
        let number = text(
            account,
            "/account_details/bank_account_details/account_number",
        );
        let published = PUBLISHED
            .iter()
            .find(|known| known.account_number == number);
        let (status, failure) =
            published.map_or(("ACTIVE", ""), |known| (known.status, known.failure));
        assert_eq!(account["status"], status, "{account}");
        assert_eq!(
            text(account, "/validation/failure/code"),
            failure,
            "{account}"
        );
    }
    Ok(())
}

/// Asserts that each account was paid exactly once: not twice under one reference, and not under two references.
pub(crate) async fn assert_paid_once(stack: &TestStack, accounts: u64) -> Result<()> {
    let drops = stack.sandbox.drops().await?;
    assert!(drops.doubles().is_empty(), "{:?}", drops.doubles());
    assert_eq!(
        (drops.total, drops.distinct_references),
        (accounts, accounts)
    );
    Ok(())
}
