//! Customers and their accounts: ownership, lists, and fields that are returned as they were sent.

use anyhow::Result;
use khata_e2e::client::text;
use khata_e2e::{Setup, TIMEOUT, TestStack, eventually};
use reqwest::Method;
use serde_json::json;

use crate::errors::assert_faults;
use crate::requests::{bank, banks, ids, named};

const CUSTOMER: &str = "customer_1122";

#[tokio::test]
async fn a_list_pages_through_the_newest_accounts_first() -> Result<()> {
    let stack = TestStack::start(Setup {
        workers: 0,
        ..Setup::default()
    })
    .await?;
    let api = &stack.api;
    let mut created = Vec::new();
    for n in 0..12 {
        let body = banks([format!("5000000{n:02}")]);
        created.extend(ids(&api.create_json(CUSTOMER, &body).await?.accounts()?));
    }
    created.reverse();
    api.create_json("another", &banks(["60000000".to_owned()]))
        .await?
        .accounts()?;
    for (query, wanted) in [
        ("", &created[..10]),
        ("?count=5", &created[..5]),
        ("?count=5&offset=10", &created[10..]),
        ("?offset=3&count=100", &created[3..]),
        ("?offset=12", &[]),
    ] {
        let reply = api.list(CUSTOMER, query).await?.expect_status(200)?;
        let list = reply.json();
        assert_eq!(list["object"], "list");
        assert_eq!(list["count"], wanted.len(), "{query}");
        assert_eq!(list["total"], 12, "{query}");
        let offset = query
            .split("offset=")
            .nth(1)
            .map_or("0", |rest| rest.split('&').next().unwrap());
        assert_eq!(list["offset"].to_string(), offset, "{query}");
        assert_eq!(ids(&reply.accounts()?), wanted, "{query}");
    }
    let one = api.get(CUSTOMER, &created[0]).await?.account()?;
    let first = api.list(CUSTOMER, "?count=1").await?.accounts()?;
    assert_eq!(first, [one]);
    Ok(())
}

#[tokio::test]
async fn a_customer_is_created_once_and_found_by_id_or_reference() -> Result<()> {
    let stack = TestStack::start(Setup {
        workers: 0,
        ..Setup::default()
    })
    .await?;
    let api = &stack.api;
    // The API page's id does not have the form of a Khata id: it is a reference.
    let created = api
        .create("cst_wexxxxsfdkl", &bank("026291800001191", "AABF0008032"))
        .await?;
    let account = created.account()?;
    assert_eq!(account["object_reference_id"], "cst_wexxxxsfdkl");
    let (id, customer) = (text(&account, "/id"), text(&account, "/customer_id"));
    for name in ["cst_wexxxxsfdkl", customer] {
        assert_eq!(text(&api.get(name, id).await?.account()?, "/id"), id);
        assert_eq!(api.list(name, "").await?.accounts()?.len(), 1);
        let again = api
            .create(name, &named("026291800001191", "aabf0008032", "x"))
            .await?;
        assert_eq!(text(&again.account()?, "/id"), id, "the same account again");
    }
    assert_eq!(stack.database.row_counts()?, [1, 1, 1]);
    // The same details of another customer are another account.
    let other = api
        .create("somebody_else", &bank("026291800001191", "AABF0008032"))
        .await?;
    assert_ne!(text(&other.account()?, "/id"), id);
    Ok(())
}

#[tokio::test]
async fn a_reference_accepts_any_visible_characters() -> Result<()> {
    let stack = TestStack::start(Setup {
        workers: 0,
        ..Setup::default()
    })
    .await?;
    let longest = "r".repeat(128);
    for (path, reference) in [
        ("a%2Fb%3Fc%23%25%7E", "a/b?c#%~"),
        ("+91-98765;x=%22%5C%22", "+91-98765;x=\"\\\""),
        (
            "%7B3F2504E0-4F89-11D3-9A0C-0305E82C3301%7D",
            "{3F2504E0-4F89-11D3-9A0C-0305E82C3301}",
        ),
        (&longest, &longest),
    ] {
        let account = stack
            .api
            .create(path, &bank("026291800001191", "AABF0008032"))
            .await?
            .account()?;
        assert_eq!(account["object_reference_id"], reference);
        let found = stack.api.get(path, text(&account, "/id")).await?;
        assert_eq!(found.account()?["object_reference_id"], reference);
    }
    Ok(())
}

#[tokio::test]
async fn a_customer_stored_under_a_placeholder_can_be_read_and_deleted() -> Result<()> {
    let stack = TestStack::start(Setup {
        workers: 0,
        traces: true,
        ..Setup::default()
    })
    .await?;
    let api = &stack.api;
    let form = bank("026291800001191", "AABF0008032");
    let account = api.create("earlier", &form).await?.account()?;
    let id = text(&account, "/id");
    // As a version stored it that did not know placeholders.
    stack.database.execute(
        "update customers set object_reference_id = 'undefined' where object_reference_id = 'earlier'",
    )?;
    let form = bank("50000001", "AABF0008032");
    let create = api.create("undefined", &form).await?;
    assert_faults("create", &create, &["customer_id"]);
    let customer = api.call(Method::GET, "/customers/undefined");
    api.send(customer).await?.expect_status(200)?;
    assert_eq!(api.list("undefined", "").await?.accounts()?.len(), 1);
    api.get("undefined", id).await?.account()?;
    let update = api.call(Method::POST, "/customers/undefined");
    let update = update.form(&[("first_name", "Asha")]);
    api.send(update).await?.expect_status(200)?;
    let path = format!("/customers/undefined/customer-accounts/{id}");
    let validate = api.call(Method::POST, &format!("{path}/validate"));
    let validate = validate.form(&[("wait_seconds", "0")]);
    api.send(validate).await?.account()?;
    let delete = || api.call(Method::POST, &path).form(&[("command", "delete")]);
    let deleted = api.send(delete()).await?.account()?;
    assert_eq!(deleted["status"], "DELETED");
    // The error for a deleted account names the placeholder.
    for reply in [api.send(delete()).await?, api.get("undefined", id).await?] {
        assert_faults("deleted", &reply, &["customer_id"]);
    }
    assert_eq!(stack.database.row_counts()?, [1, 1, 1]);
    Ok(())
}

#[tokio::test]
async fn another_merchants_objects_are_not_found() -> Result<()> {
    let mut stack = TestStack::start(Setup {
        workers: 0,
        ..Setup::default()
    })
    .await?;
    let api = stack.api.clone();
    let account = api
        .create("mine", &bank("026291800001191", "AABF0008032"))
        .await?
        .account()?;
    let (id, customer) = (text(&account, "/id"), text(&account, "/customer_id"));
    api.create("other", &bank("50000001", "AABF0008032"))
        .await?
        .accounts()?;
    let stranger = api.with_key(&stack.issue_key("stranger")?);
    // Another last character gives an unknown id of the right form.
    let other = |id: &str| {
        let (start, last) = id.split_at(id.len() - 1);
        format!("{start}{}", if last == "0" { "1" } else { "0" })
    };
    let (unknown_account, unknown_customer) = (other(id), other(customer));
    for (who, call) in [
        ("another customer", api.get("other", id).await?),
        ("an unknown reference", api.get("unknown", id).await?),
        ("an unknown customer", api.get(&unknown_customer, id).await?),
        (
            "an unknown account",
            api.get("mine", &unknown_account).await?,
        ),
        ("no account id", api.get("mine", "banh_x").await?),
        ("another merchant", stranger.get("mine", id).await?),
        ("another merchant by id", stranger.get(customer, id).await?),
        (
            "a list of an unknown reference",
            api.list("unknown", "").await?,
        ),
        (
            "a list of an unknown customer",
            api.list(&unknown_customer, "").await?,
        ),
        ("another merchant's list", stranger.list("mine", "").await?),
        (
            "another merchant's list by id",
            stranger.list(customer, "").await?,
        ),
        (
            "a create for another merchant's customer",
            stranger
                .create(customer, &bank("50000002", "AABF0008032"))
                .await?,
        ),
        (
            "a create for an unknown customer",
            api.create(&unknown_customer, &bank("50000002", "AABF0008032"))
                .await?,
        ),
    ] {
        assert_eq!(call.status, 404, "{who}: {}", call.text);
        let body = call.json();
        assert_eq!(body["status"], "invalid_request_error", "{who}");
        assert_eq!(body["error_code"], "object_not_found", "{who}");
        assert_eq!(body["error_info"]["code"], "RESOURCE_NOT_FOUND", "{who}");
        assert_eq!(body["error_info"]["category"], "USER_ERROR", "{who}");
    }
    // The other merchant's customer of that name is another customer, with its own account.
    let theirs = stranger
        .create("mine", &bank("026291800001191", "AABF0008032"))
        .await?
        .account()?;
    assert_ne!(theirs["id"], account["id"]);
    assert_ne!(theirs["customer_id"], account["customer_id"]);
    assert_eq!(stack.database.row_counts()?, [3, 3, 3]);
    // Each is validated by its merchant's gateways; the other merchant has only DUMMY, and no call named it.
    stack.start_worker().await?;
    api.wait_for("mine", id, &["ACTIVE"], TIMEOUT).await?;
    let waiting = stranger
        .get("mine", text(&theirs, "/id"))
        .await?
        .account()?;
    assert_eq!(waiting["status"], "CREATED");
    Ok(())
}

#[tokio::test]
async fn a_call_can_name_its_gateway_and_carry_metadata() -> Result<()> {
    let stack = TestStack::start(Setup::default()).await?;
    let api = &stack.api;
    let mut form = bank("50000001", "AABF0008032");
    form.extend([
        ("gateway_id", "70"),
        ("gateway_reference_id", "cashfree_e2e"),
        ("metadata.order", "ord 7 & more"),
        ("metadata.ünïcode", "आशा"),
        ("bank_code", "JP_HDFC"),
    ]);
    let created = api.create("pinned", &form).await?.account()?;
    let metadata = json!({"order": "ord 7 & more", "ünïcode": "आशा"});
    for account in [
        created.clone(),
        api.wait_for("pinned", text(&created, "/id"), &["ACTIVE"], TIMEOUT)
            .await?,
    ] {
        assert_eq!(account["gateway_id"], 70);
        assert_eq!(account["gateway_reference_id"], "cashfree_e2e");
        assert_eq!(account["metadata"], metadata);
        assert_eq!(
            account["account_details"]["bank_account_details"]["bank_code"],
            "JP_HDFC"
        );
    }
    // Cashfree does not accept a number of five characters: the account waits for another gateway.
    let short = api
        .create("pinned", &bank("12345", "AABF0008032"))
        .await?
        .account()?;
    let completed = "select count(*) from validations where due_at > now() + interval '20 s' and state = 'WAITING'";
    eventually(
        TIMEOUT,
        "the validation without a gateway waiting",
        async || anyhow::Ok((stack.database.number(completed)? == 1).then_some(())),
    )
    .await?;
    let short = api.get("pinned", text(&short, "/id")).await?.account()?;
    assert_eq!(
        (
            text(&short, "/status"),
            text(&short, "/validation/pending_reason")
        ),
        ("CREATED", "NO_GATEWAY_AVAILABLE"),
        "{short}"
    );
    Ok(())
}
