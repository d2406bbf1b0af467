//! Steps that scenarios share.

use std::time::Duration;

use anyhow::{Result, bail, ensure};
use futures_util::future::try_join_all;
use khata_e2e::{SandboxGateway, Setup, TestStack, eventually};
use serde_json::{Value, json};

pub(crate) const TIMEOUT: Duration = Duration::from_mins(4);
pub(crate) const UNFINISHED: [&str; 2] = ["CREATED", "PENDING"];

/// A stack whose merchant has accounts at these gateways only, with these settings.
pub(crate) async fn at_gateways(names: &[&str], settings: Value) -> Result<TestStack> {
    let mut stack = TestStack::start(Setup {
        workers: 0,
        ..Setup::default()
    })
    .await?;
    let default = SandboxGateway::named("CASHFREE");
    if !names.contains(&default.name) {
        disable(&stack, default.name, default.reference_id)?;
    }
    for (priority, name) in (1..).zip(names) {
        set_gateway_account(&stack, name, priority, &settings)?;
    }
    stack.start_worker().await?;
    Ok(stack)
}

/// Adds the merchant's account at this gateway, or changes it. Returns its id.
pub(crate) fn set_gateway_account(
    stack: &TestStack,
    name: &str,
    priority: i16,
    settings: &Value,
) -> Result<String> {
    let gateway = SandboxGateway::named(name);
    let base_url = gateway.base_url(&stack.sandbox);
    let mut account = gateway.account(&base_url, priority);
    let mut own: Value = serde_json::from_str(account.settings)?;
    if let (Some(own), Some(more)) = (own.as_object_mut(), settings.as_object()) {
        own.extend(more.clone());
    }
    let own = own.to_string();
    account.settings = &own;
    stack.set_gateway_account(&account)
}

pub(crate) fn disable(stack: &TestStack, gateway: &str, reference_id: &str) -> Result<()> {
    let account = [
        "--merchant",
        "e2e",
        "--gateway",
        gateway,
        "--reference-id",
        reference_id,
    ];
    stack.command(&[&["gateway", "disable"], &account[..]].concat())?;
    Ok(())
}

/// The body of a call with `count` valid bank accounts; each `series` has other numbers.
pub(crate) fn banks(count: usize, series: usize) -> Value {
    let account = |number| json!({"account_number": format!("77{series:05}{number:05}"), "ifsc": "AABF0008032", "beneficiary_name": "Asha Rao"});
    json!({"bank_account_details": (0..count).map(account).collect::<Vec<_>>()})
}

/// Creates accounts, twenty per call.
pub(crate) async fn create(stack: &TestStack, name: &str, count: usize) -> Result<()> {
    let first = name.bytes().map(usize::from).sum::<usize>() * 100;
    let calls = (0..count.div_ceil(20)).map(|call| async move {
        let body = banks((count - call * 20).min(20), first + call);
        let customer = format!("{name}_{call}");
        stack.api.create_json(&customer, &body).await?.accounts()
    });
    try_join_all(calls).await?;
    Ok(())
}

/// Creates a hundred accounts, and makes this many more validations of theirs due. No wake-up is published for these.
pub(crate) async fn add_due(stack: &TestStack, count: usize) -> Result<()> {
    const ACCOUNTS: usize = 100;
    create(stack, "due", ACCOUNTS).await?;
    let each = count.div_ceil(ACCOUNTS);
    stack.database.execute(&format!(
        "insert into validations (merchant_id, id, account_id, state, due_at, deadline_at, created_at)
         select merchant_id, gen_random_uuid(), id, 'DUE', now() + number * interval '1 us', now() + interval '2 days', now()
         from customer_accounts, generate_series(1, {each}) number
         where merchant_id = (select id from merchants where name = 'e2e')"
    ))
}

/// Returns the number of validations that are not completed.
pub(crate) fn open(stack: &TestStack) -> Result<i64> {
    let open = "select count(*) from validations where completed_at is null";
    stack.database.number(open)
}

/// Checks that all accounts are ACTIVE, that each was paid once, and that as many rupees were paid as there are accounts.
pub(crate) async fn paid(stack: &TestStack, rupees: u64) -> Result<()> {
    let failed = stack.count("FAILURE")?;
    ensure!(failed == 0, "{failed} accounts failed");
    let drops = stack.sandbox.drops().await?;
    if let Some(double) = drops.doubles().first() {
        bail!("{} was paid {} times", double.reference, double.count);
    }
    ensure!(
        drops.total == rupees,
        "{} rupees for {rupees} accounts",
        drops.total
    );
    Ok(())
}

pub(crate) fn failed_with(stack: &TestStack, code: &str, accounts: usize) -> Result<()> {
    let codes = stack
        .database
        .texts("select failure_code from validations")?;
    let right = codes.iter().filter(|found| *found == code).count();
    ensure!(
        right == accounts,
        "{right} of {accounts} validations ended with {code}: {codes:?}"
    );
    Ok(())
}

pub(crate) async fn becomes(stack: &TestStack, query: &str, wanted: i64) -> Result<()> {
    eventually(TIMEOUT, query, async || {
        Ok::<_, anyhow::Error>((stack.database.number(query)? == wanted).then_some(()))
    })
    .await
}
