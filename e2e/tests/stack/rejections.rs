//! Calls that are rejected for another reason than a field: command, gateway, path, method, type, size.

use anyhow::Result;
use reqwest::Method;
use serde_json::json;

use crate::bad_values::{FORM, GOOD, post, stack};
use crate::errors::{assert_error, assert_faults};
use crate::requests::{bank, basic};

#[tokio::test]
async fn other_errors_have_their_own_codes() -> Result<()> {
    let stack = stack().await?;
    let api = &stack.api;
    let invalid_command = [
        "Invalid Request",
        "bad_request",
        "INVALID_ACTION",
        "USER_ERROR",
    ];
    for command in ["destroy", "delete", "CREATE", "create\0"] {
        let mut form = bank("026291800001191", "AABF0008032");
        form.push(("command", command));
        let reply = api.create("bad", &form).await?;
        assert_error(command, &reply, 400, invalid_command);
        assert_eq!(reply.json()["error_message"], "Invalid command");
    }
    let reply = api
        .create_json("bad", &json!({"command": ["create"]}))
        .await?;
    assert_error("a list of commands", &reply, 400, invalid_command);

    let no_gateway = [
        "Bad Request",
        "invalid_request_error",
        "GATEWAY_NOT_FOUND",
        "CONFIG_ERROR",
    ];
    for (id, reference) in [
        ("7", ""),
        ("12", ""),
        ("1001", ""),
        ("70", "elsewhere"),
        ("100", "cashfree_e2e"),
    ] {
        let mut form = bank("026291800001191", "AABF0008032");
        form.push(("gateway_id", id));
        if !reference.is_empty() {
            form.push(("gateway_reference_id", reference));
        }
        assert_error(id, &api.create("bad", &form).await?, 400, no_gateway);
    }

    let too_long = "x".repeat(129);
    for name in [
        "a%20b",
        "%00",
        "a%00b",
        "%C3%A9",
        "%ff",
        "a%0Ab",
        too_long.as_str(),
    ] {
        let reply = api
            .create(name, &bank("026291800001191", "AABF0008032"))
            .await?;
        assert_faults(name, &reply, &["customer_id"]);
        for reply in [api.list(name, "").await?, api.get(name, "banh_x").await?] {
            assert_eq!(reply.status, 404, "{name}: {}", reply.text);
        }
    }
    for (query, fields) in [
        ("?count=0", &["count"][..]),
        ("?count=-1", &["count"]),
        ("?offset=1e9", &["offset"]),
        ("?offset=1000000001", &["offset"]),
        ("?count=101", &["count"]),
        ("?count=ten&offset=-1", &["count", "offset"]),
        ("?count=+5", &["count"]),
        ("?offset=99999999999999999999", &["offset"]),
        ("?count=5&count=6", &["query"]),
    ] {
        assert_faults(query, &api.list("bad", query).await?, fields);
    }
    let empty = api.list("bad", "?count=&offset=").await?;
    assert_eq!(empty.status, 404, "no such customer: {}", empty.text);
    let not_found = [
        "invalid_request_error",
        "object_not_found",
        "RESOURCE_NOT_FOUND",
        "USER_ERROR",
    ];
    for path in [
        "/",
        "/customers//accounts",
        "/customers/a/accounts/b",
        "/admin",
        "/customers/a/customer-accounts/b/c",
    ] {
        assert_error(
            path,
            &api.send(api.call(Method::GET, path)).await?,
            404,
            not_found,
        );
    }
    let path = "/customer/a/accounts";
    let reply = api.send(api.call(Method::POST, path)).await?;
    assert_error(path, &reply, 404, not_found);
    let likely =
        "No such endpoint. Did you mean POST /customers/{customer_id}/accounts? See /docs.";
    let message = reply.json()["error_info"]["developer_message"].clone();
    assert_eq!(message, likely);
    assert_eq!(stack.database.row_counts()?, [0, 0, 0]);
    Ok(())
}

#[tokio::test]
async fn wrong_methods_types_and_sizes_get_the_http_status_for_it() -> Result<()> {
    let stack = stack().await?;
    let api = &stack.api;
    let not_allowed = [
        "error",
        "method_not_allowed",
        "METHOD_NOT_ALLOWED",
        "USER_ERROR",
    ];
    for (path, allowed, refused) in [
        (
            "/customers/a/accounts",
            "POST",
            [Method::GET, Method::PUT, Method::DELETE],
        ),
        (
            "/customers/a/customer-accounts/list",
            "GET, HEAD",
            [Method::POST, Method::PATCH, Method::DELETE],
        ),
    ] {
        for method in refused {
            let reply = api.send(api.call(method.clone(), path)).await?;
            assert_error(&format!("{method} {path}"), &reply, 405, not_allowed);
            assert_eq!(reply.header("allow"), Some(allowed), "{method} {path}");
        }
    }
    let account = "/customers/a/customer-accounts/banh_x";
    let reply = api.send(api.call(Method::PUT, account)).await?;
    assert_error(account, &reply, 405, not_allowed);
    assert_eq!(reply.header("allow"), Some("GET, HEAD, POST"));

    let unsupported = [
        "error",
        "unsupported_media_type",
        "UNSUPPORTED_MEDIA_TYPE",
        "USER_ERROR",
    ];
    for content_type in [
        "text/plain",
        "multipart/form-data; boundary=x",
        "application/xml",
        "application/x-www-form-urlencoded; charset=utf-16",
        "application/jsonp",
        "é",
        "",
    ] {
        assert_error(
            content_type,
            &post(&stack, content_type, GOOD).await?,
            415,
            unsupported,
        );
    }
    let reply = api.send(api.creation("bad").body(GOOD)).await?;
    assert_error("a body without a type", &reply, 415, unsupported);
    let latin = format!("{FORM}; charset=ISO-8859-1");
    let name = format!("{GOOD}&beneficiary_name=Ren%E9");
    let reply = post(&stack, &latin, name).await?;
    assert_error("a name in Latin-1", &reply, 415, unsupported);
    assert!(reply.text.contains("ISO-8859-1"), "{}", reply.text);
    for encoding in ["gzip", "deflate", "br"] {
        let call = api.creation("bad").header("content-type", FORM);
        let call = call.header("content-encoding", encoding).body("\x1f");
        let reply = api.send(call).await?;
        assert_error(encoding, &reply, 415, unsupported);
        assert!(reply.text.contains(encoding), "{}", reply.text);
    }

    let too_large = [
        "error",
        "payload_too_large",
        "PAYLOAD_TOO_LARGE",
        "USER_ERROR",
    ];
    for size in [256 * 1024 + 1, 1024 * 1024] {
        let body = format!(
            "{GOOD}&beneficiary_name={}",
            "x".repeat(size - GOOD.len() - 18)
        );
        assert_eq!(body.len(), size);
        assert_error(
            "a long body",
            &post(&stack, FORM, body).await?,
            413,
            too_large,
        );
    }
    let just_fits = format!(
        "{GOOD}&beneficiary_name={}",
        "x".repeat(256 * 1024 - GOOD.len() - 18)
    );
    assert_faults(
        "a body that just fits",
        &post(&stack, FORM, just_fits).await?,
        &["beneficiary_name"],
    );
    assert_eq!(stack.database.row_counts()?, [0, 0, 0]);

    // These content types are accepted.
    for (customer, content_type) in [
        ("a", "application/x-www-form-urlencoded;charset=UTF-8"),
        ("b", "Application/X-WWW-Form-URLencoded ; charset=\"utf-8\""),
        ("c", "application/x-www-form-urlencoded; charset=utf8"),
        ("d", "application/x-www-form-urlencoded; charset=ISO-8859-1"),
    ] {
        let request = api
            .creation(customer)
            .header("content-type", content_type)
            .body(GOOD);
        api.send(request).await?.account()?;
    }
    // Java and PHP programs name their charset in a header that is about compression.
    let call = api.creation("e").header("content-type", FORM);
    let call = call.header("content-encoding", "UTF-8").body(GOOD);
    api.send(call).await?.account()?;
    Ok(())
}

#[tokio::test]
async fn a_long_chunked_body_is_rejected() -> Result<()> {
    let stack = stack().await?;
    let credentials = basic(&format!("{}:", stack.api.key));
    let mut request = format!(
        "POST /customers/bad/accounts HTTP/1.1\r\nhost: khata\r\nauthorization: {credentials}\r\ncontent-type: {FORM}\r\ntransfer-encoding: chunked\r\n\r\n"
    )
    .into_bytes();
    for _ in 0..64 {
        request.extend_from_slice(b"4000\r\n");
        request.extend(std::iter::repeat_n(b'x', 0x4000));
        request.extend_from_slice(b"\r\n");
    }
    request.extend_from_slice(b"0\r\n\r\n");
    let reply = stack.api.raw(&request).await?;
    assert!(reply.starts_with("HTTP/1.1 413 "), "{reply:?}");
    assert!(reply.contains("PAYLOAD_TOO_LARGE"), "{reply:?}");
    // Bytes that are not HTTP.
    for junk in [
        "\x16\x03\x01\x02",
        "GET\r\n\r\n",
        "POST /customers/a/accounts HTTP/9.9\r\n\r\n",
    ] {
        let reply = stack.api.raw(junk.as_bytes()).await?;
        assert!(!reply.contains(" 500 "), "{junk:?}: {reply:?}");
    }
    let headers = format!(
        "GET /health/live HTTP/1.1\r\nhost: khata\r\nx-long: {}\r\n\r\n",
        "x".repeat(1 << 20)
    );
    let reply = stack.api.raw(headers.as_bytes()).await?;
    assert!(
        !reply.contains(" 200 ") && !reply.contains(" 500 "),
        "{reply:?}"
    );
    stack
        .api
        .get_path("/health/live")
        .await?
        .expect_status(200)?;
    assert_eq!(stack.database.row_counts()?, [0, 0, 0]);
    Ok(())
}

#[tokio::test]
async fn placeholders_and_unknown_parameters_are_refused() -> Result<()> {
    let stack = stack().await?;
    let api = &stack.api;
    let good = bank("026291800001191", "AABF0008032");
    for name in [
        "undefined",
        "null",
        "None",
        "nil",
        "NaN",
        "%7Bcustomer_id%7D",
        ":customer_id",
        "%3Ccustomer_id%3E",
        "%257Bcustomer_id%257D",
        "$%7Bcustomer_id%7D",
        "[object%20Object]",
        "customer_id",
        "$customer_id",
        "@customer_id",
        "[customer_id]",
        "%25(customer_id)s",
        "00000000-0000-0000-0000-000000000000",
    ] {
        assert_faults(name, &api.create(name, &good).await?, &["customer_id"]);
        assert_faults(name, &api.list(name, "").await?, &["customer_id"]);
        let customer = api
            .send(api.call(Method::GET, &format!("/customers/{name}")))
            .await?;
        assert_faults(name, &customer, &["customer_id"]);
        assert_faults(name, &api.get("a", name).await?, &["account_id"]);
    }
    let account = "/customers/a/customer-accounts/banh_x";
    for (method, path, field) in [
        (Method::GET, format!("{account}?status=FAILURE"), "status"),
        (
            Method::GET,
            "/customers/a/customer-accounts/list?limit=5".into(),
            "limit",
        ),
        (
            Method::GET,
            "/customers/a/customer-accounts/list?count=5&Offset=5".into(),
            "Offset",
        ),
        (
            Method::GET,
            "/customers/a/bank-accounts/list?page=2".into(),
            "page",
        ),
        (Method::GET, "/customers/a?expand=accounts".into(), "expand"),
        (
            Method::POST,
            "/customers/a/accounts?command=validate".into(),
            "command",
        ),
        (
            Method::POST,
            format!("{account}/validate?wait_seconds=5"),
            "wait_seconds",
        ),
        (Method::POST, format!("{account}?command=delete"), "command"),
        (Method::POST, "/customers?dry_run=true".into(), "dry_run"),
    ] {
        let reply = api.send(api.call(method, &path)).await?;
        assert_faults(&path, &reply, &[field]);
    }
    for (path, form, field) in [
        (
            "/customers",
            &[("object_reference_id", "a"), ("phone", "9")][..],
            "phone",
        ),
        ("/customers/a", &[("firstName", "Asha")], "firstName"),
        (
            "/customers/a/customer-accounts/banh_x",
            &[("command", "delete"), ("reason", "x")],
            "reason",
        ),
        (
            "/customers/a/customer-accounts/banh_x/validate",
            &[("metadata.a", "b")],
            "metadata.a",
        ),
        (
            "/customers/a/bank-accounts/banh_x/validate",
            &[("force", "true")],
            "force",
        ),
    ] {
        let reply = api.send(api.call(Method::POST, path).form(form)).await?;
        assert_faults(path, &reply, &[field]);
    }
    // What Juspay's clients send beside the fields is ignored.
    let request = api
        .call(Method::POST, "/customers")
        .form(&[("object_reference_id", "a")]);
    api.send(request).await?.expect_status(200)?;
    for query in [
        "id=a",
        "options.get_client_auth_token=true",
        "options[get_client_auth_token]=true",
    ] {
        let path = format!("/customers/a?{query}");
        let reply = api.send(api.call(Method::GET, &path)).await?;
        reply.expect_status(200)?;
    }
    assert_eq!(stack.database.row_counts()?[1..], [0, 0]);
    Ok(())
}
