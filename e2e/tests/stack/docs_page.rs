//! The documentation page in a browser without network, as a merchant's developer uses it.

use anyhow::{Context, Result};
use khata_e2e::client::text;
use khata_e2e::{Browser, Setup, TestStack};
use serde_json::{Value, json};

/// CSS selector of *Create accounts*.
const CREATE: &str = ".opblock-post:has([data-path=\"/customers/{customer_id}/accounts\"])";

/// Opens the reference of a new stack without workers.
async fn reference() -> Result<(TestStack, Browser)> {
    let stack = TestStack::start(Setup {
        workers: 0,
        ..Setup::default()
    })
    .await?;
    let page = Browser::start(stack.folder()).await?;
    page.open(&format!("{}/docs", stack.api.url)).await?;
    page.find(CREATE).await?;
    Ok((stack, page))
}

#[tokio::test]
async fn a_developer_creates_an_account_from_the_page() -> Result<()> {
    let (stack, page) = reference().await?;
    page.screenshot("docs").await?;
    assert_eq!(
        operations_shown(&page).await?,
        operations_documented(&stack).await?
    );
    assert!(
        page.console_errors().await?.is_empty(),
        "the page loads without console errors"
    );

    authorize(&page, &stack.api.key).await?;
    open_create(&page).await?;
    let (status, body) = execute(&page).await?;
    page.screenshot("docs_created").await?;
    assert_eq!(status, "200", "{body}");
    let account: Value = serde_json::from_str(&body).context("the answer that is shown")?;
    let shown = account["id"].as_str().unwrap_or_default();
    assert!(shown.starts_with("banh_"), "{body}");
    let stored = stack.api.get("from_the_page", shown).await?.account()?;
    assert_eq!(stored["id"], shown);
    assert!(
        page.console_errors().await?.is_empty(),
        "a call causes no console errors"
    );

    authorize(&page, "kh_test_wrong").await?;
    let (status, body) = execute(&page).await?;
    page.screenshot("docs_wrong_key").await?;
    assert_eq!(status, "401", "{body}");
    assert!(body.contains("Invalid API Key"), "{body}");

    let strangers: Vec<String> = page
        .requested()
        .await?
        .iter()
        .filter(|url| ["http", "https", "ws", "wss"].contains(&url.scheme()))
        .filter(|url| !url.as_str().starts_with(&stack.api.url))
        .map(ToString::to_string)
        .collect();
    assert!(
        strangers.is_empty(),
        "requests to other servers: {strangers:?}"
    );
    Ok(())
}

#[tokio::test]
async fn the_form_of_the_page_works_as_it_is_filled_in() -> Result<()> {
    let (stack, page) = reference().await?;
    assert_eq!(
        page.run("return document.title", &[]).await?,
        "API reference – Khata"
    );
    for (link, path) in [
        ("Guide", "/docs/api"),
        ("quickstarts", "/docs/quickstart"),
        ("rules of the API", "/docs/api"),
        ("events and webhooks", "/docs/webhooks"),
    ] {
        let shown = page.find_with_text(".info a", link).await?;
        let url = shown.prop("href").await?.unwrap_or_default();
        assert_eq!(url, format!("{}{path}", stack.api.url), "{link}");
        stack.api.get_path(path).await?.expect_status(200)?;
    }
    authorize(&page, &stack.api.key).await?;
    try_out_create(&page, "application/x-www-form-urlencoded").await?;
    let (status, body) = execute(&page).await?;
    page.screenshot("docs_form").await?;
    assert_eq!(status, "200", "{body}");
    let account: Value = serde_json::from_str(&body).context("the answer that is shown")?;
    let details = &account["account_details"]["bank_account_details"];
    assert_eq!(
        text(details, "/account_number"),
        "026291800001191",
        "{body}"
    );
    Ok(())
}

#[tokio::test]
async fn errors_refer_to_sections_of_the_guide() -> Result<()> {
    let stack = TestStack::start(Setup {
        workers: 0,
        ..Setup::default()
    })
    .await?;
    let refused = stack.api.create("guided", &[("vpa", "asha")]).await?;
    let refused = refused.expect_status(400)?.json();
    let section = text(&refused, "/error_info/doc_url");
    let (path, anchor) = section.split_once('#').context("no section")?;
    let page = stack.api.get_path(path).await?.expect_status(200)?;
    assert_eq!(
        page.header("content-type"),
        Some("text/html; charset=utf-8")
    );
    let policy = page.header("content-security-policy").unwrap_or_default();
    assert!(policy.starts_with("default-src 'none'"), "{policy}");
    assert!(
        page.text.contains(&format!(" id=\"{anchor}\"")),
        "{section}"
    );
    assert!(!page.text.contains("<script"));

    // As a developer sees it, also the part below.
    let browser = Browser::start(stack.folder()).await?;
    browser.open(&format!("{}{section}", stack.api.url)).await?;
    browser.find(&format!("#{anchor}")).await?;
    browser.screenshot("guide").await?;
    for (name, section) in [
        ("webhooks", "#retries"),
        ("quickstart", "#python"),
        ("api", "#errors"),
    ] {
        browser
            .open(&format!("{}/docs/{name}", stack.api.url))
            .await?;
        browser.find(section).await?;
        browser.screenshot(&format!("guide_{name}")).await?;
        // A table scrolls rather than break `CREATED` inside.
        let broken = "return [...document.querySelectorAll('td:first-child code, th code')]
            .filter(code => code.getClientRects().length > 1).map(code => code.textContent)";
        assert_eq!(browser.run(broken, &[]).await?, json!([]), "{name}");
    }
    let sample = "/docs/samples/webhooks/python/receiver.py";
    let sample = stack.api.get_path(sample).await?.expect_status(200)?;
    assert!(sample.text.contains("def verify("), "{}", sample.text);
    for (path, likely) in [
        ("/docs/webhook", "/docs/webhooks"),
        ("/docs/errors", "/docs/api#errors"),
    ] {
        let reply = stack.api.get_path(path).await?.expect_status(404)?;
        let message = text(&reply.json(), "/error_info/developer_message").to_owned();
        assert!(
            message.contains(&format!("Did you mean {likely}?")),
            "{message}"
        );
    }
    assert!(browser.console_errors().await?.is_empty());
    Ok(())
}

/// Returns the operations on the page, such as `POST /customers`, sorted.
async fn operations_shown(page: &Browser) -> Result<Vec<String>> {
    let script = "return [...document.querySelectorAll('.opblock')].map(one =>
        one.querySelector('.opblock-summary-method').textContent + ' ' +
        one.querySelector('[data-path]').dataset.path)";
    let mut shown: Vec<String> = serde_json::from_value(page.run(script, &[]).await?)?;
    shown.sort();
    Ok(shown)
}

async fn operations_documented(stack: &TestStack) -> Result<Vec<String>> {
    let document = stack.api.get_path("/openapi.json").await?.json();
    let paths = document["paths"].as_object().context("no paths")?;
    let webhooks = document["webhooks"].as_object().context("no webhooks")?;
    let mut documented = Vec::new();
    for (path, item) in paths.iter().chain(webhooks) {
        for method in ["get", "put", "post", "delete", "patch"] {
            if item.get(method).is_some() {
                documented.push(format!("{} {path}", method.to_uppercase()));
            }
        }
    }
    documented.sort();
    anyhow::ensure!(!documented.is_empty(), "nothing is documented");
    Ok(documented)
}

/// Enters the key as the user name of HTTP Basic, in place of an earlier one.
async fn authorize(page: &Browser, key: &str) -> Result<()> {
    page.click(&page.find(".auth-wrapper > .authorize").await?)
        .await?;
    let dialog = page.find(".dialog-ux .modal-ux").await?;
    if dialog.text().await?.contains("Logout") {
        let out = page.find_with_text(".modal-ux button", "Logout").await?;
        page.click(&out).await?;
    }
    let user = page.find(".modal-ux input[name=username]").await?;
    page.fill(&user, key).await?;
    page.click(&page.find(".modal-ux button.authorize").await?)
        .await?;
    page.find_with_text(".modal-ux button", "Logout").await?;
    page.click(&page.find(".modal-ux .btn-done").await?).await?;
    Ok(())
}

/// Opens the operation and fills in a call with one UPI address, as JSON.
async fn open_create(page: &Browser) -> Result<()> {
    let within = |rest: &str| format!("{CREATE} {rest}");
    try_out_create(page, "application/json").await?;
    let customer = page
        .find(&within("[data-param-name=customer_id] input"))
        .await?;
    page.fill(&customer, "from_the_page").await?;
    let body = page.find(&within("textarea.body-param__text")).await?;
    page.fill(&body, r#"{"vpa":"asha@okhdfcbank"}"#).await
}

/// Opens the operation with a body in this encoding.
async fn try_out_create(page: &Browser, encoding: &str) -> Result<()> {
    let within = |rest: &str| format!("{CREATE} {rest}");
    page.click(&page.find(&within(".opblock-summary-control")).await?)
        .await?;
    // The page may show the fields at once: the button would then hide them.
    page.find(&within(".try-out__btn")).await?;
    let button = within(".try-out__btn:not(.cancel)");
    page.click_if_present(&button).await?;
    page.find(&within("[data-param-name=customer_id] input"))
        .await?;
    let script = "const choice = document.querySelector(arguments[0] + ' .opblock-section-request-body select');
        if (!choice) return;
        Object.getOwnPropertyDescriptor(HTMLSelectElement.prototype, 'value').set.call(choice, arguments[1]);
        choice.dispatchEvent(new Event('change', { bubbles: true }));";
    page.run(script, &[CREATE, encoding]).await?;
    if !encoding.ends_with("json") {
        page.find(&within("[data-property-name=ifsc] input"))
            .await?;
    }
    Ok(())
}

/// Sends the call. Returns the status and the body that the page shows.
async fn execute(page: &Browser) -> Result<(String, String)> {
    let within = |rest: &str| format!("{CREATE} {rest}");
    // The page must not show the previous reply.
    page.click_if_present(&within(".btn-clear")).await?;
    page.wait_until_gone(&within(".live-responses-table"))
        .await?;
    page.click(&page.find(&within("button.execute")).await?)
        .await?;
    let reply = within(".live-responses-table .response");
    let status = page.find(&format!("{reply} .response-col_status")).await?;
    let body = page
        .find(&format!("{reply} .response-col_description pre"))
        .await?;
    let status = status.text().await?;
    let status = status.split_whitespace().next().unwrap_or_default();
    Ok((status.to_owned(), body.text().await?))
}
