//! Each rule finds the change that violates it.

use super::*;

#[test]
fn every_rule_holds_and_has_something_to_check() {
    let verdict = Verdict::of(&history(&good()).unwrap());
    assert_eq!(verdict.exit_status(), 0, "{verdict}");
}

#[test]
fn a_history_that_checks_nothing_does_not_pass() {
    let empty = Verdict::of(&history(&good()[..1]).unwrap());
    assert_eq!(empty.exit_status(), 2, "{empty}");
    assert!(empty.to_string().contains("nothing to check"), "{empty}");
}

#[test]
fn a_truncated_or_foreign_history_is_unreadable() {
    let error = |text: &str| format!("{:#}", History::parse(text).unwrap_err());
    let lines: Vec<String> = good().iter().map(Value::to_string).collect();
    assert!(error(&lines.join("\n")).contains("interrupted"));
    let short = format!("{}\n{}", lines[0], json!({"kind": "end", "records": 9}));
    assert!(error(&short).contains("2 records instead of 9"));
    assert!(error("{\"kind\":\"end\",\"records\":1}").contains("not `run`"));
    assert!(error("[]").contains("line 1"));
    let mut other = good();
    other[0]["format"] = json!(2);
    assert!(history(&other).unwrap_err().to_string().contains("format"));
}

#[test]
fn an_accepted_account_without_a_row_is_found() {
    assert!(remove("account", "id", &json!("a")).contains(&"accepted-is-stored"));
}

#[test]
fn an_open_validation_and_a_second_final_event_are_found() {
    let open = |validation: &mut Value| validation["state"] = json!("LEASED");
    assert_eq!(
        violated("validation", "id", &json!("v2"), open),
        ["one-outcome"]
    );
    let twice = violated("event", "id", &json!("evt_5"), |event| {
        event["name"] = json!("CUSTOMER_ACCOUNT_ACTIVE");
    });
    assert!(twice.contains(&"one-outcome"), "{twice:?}");
}

#[test]
fn another_outcome_than_the_script_dictates_is_found() {
    let code = |validation: &mut Value| validation["failure_code"] = json!("INVALID_IFSC");
    assert_eq!(
        violated("validation", "id", &json!("v3"), code),
        ["outcome-as-scripted"]
    );
    let gave_up = |validation: &mut Value| {
        validation["outcome"] = json!("UNAVAILABLE");
        validation["failure_code"] = json!("ATTEMPTS_EXHAUSTED");
    };
    assert_eq!(
        violated("validation", "id", &json!("v1"), gave_up),
        ["outcome-as-scripted"]
    );
}

#[test]
fn a_stored_account_of_a_rejected_call_is_found() {
    let account =
        json!({"kind": "account", "id": "x", "customer": "c2", "status": "CREATED", "version": 0});
    let found = violated_by(|records| records.push(account));
    assert!(found.contains(&"rejected-is-not-stored"), "{found:?}");
}

#[test]
fn an_older_version_after_a_newer_one_is_found() {
    let old = account("a", NUMBER, "CREATED", 1);
    let found = violated("call", "began", &json!(15_000), |list| {
        list["reply"] = json!(json!({"list": [old]}).to_string());
    });
    assert_eq!(found, ["state-never-goes-back"]);
    let other = account("a", NUMBER, "FAILURE", 4);
    let more = json!({"customer": "c1"});
    let list = call("list", 15_500, &more, &json!({"list": [other]}));
    assert_eq!(
        violated_by(|records| records.push(list)),
        ["state-never-goes-back"]
    );
}

#[test]
fn a_deleted_account_that_is_listed_or_revived_is_found() {
    let late =
        json!({"list": [account("a", NUMBER, "ACTIVE", 4), account("b", OTHER, "DELETED", 3)]});
    let list = call("list", 15_500, &json!({}), &late);
    assert_eq!(
        violated_by(|records| records.push(list)),
        ["deleted-stays-deleted"]
    );
    let revived = |row: &mut Value| row["status"] = json!("FAILURE");
    let found = violated("account", "id", &json!("b"), revived);
    assert!(found.contains(&"deleted-stays-deleted"), "{found:?}");
}

#[test]
fn two_rupees_under_one_reference_are_found() {
    let drop = json!({"kind": "drop", "gateway": "CASHFREE", "reference": "khv1_01", "at": 10_060});
    let found = violated_by(|records| records.push(drop));
    assert_eq!(found, ["reference-paid-once", "rupees-per-validation"]);
}

/// Adds a second attempt with its rupee to validation `v1`.
fn second_rupee(flagged: bool, first_class: &str, gateway: (u32, &str, &str)) -> Vec<&'static str> {
    let (id, name, ledger) = gateway;
    violated_by(|records| {
        let first = place(records, "attempt", "validation", &json!("v1"));
        records[first]["class"] = json!(first_class);
        records.extend([
            json!({"kind": "attempt", "validation": "v1", "number": 2, "gateway_id": id, "method": "PENNY_DROP",
                "reference": "khv1_02", "class": "VALID", "gateway_reference": null, "possible_double_drop": flagged,
                "started_at": 10_040}),
            json!({"kind": "drop", "gateway": name, "reference": ledger, "at": 10_050}),
        ]);
    })
}

#[test]
fn a_second_rupee_without_a_flag_or_a_known_result_is_found() {
    let razorpay = (23, "RAZORPAY", "khv1_02");
    // SHA-256 of "700012345678/AABF0008032".
    let digest = "account:c81da57385dd1c291993496a";
    assert_eq!(
        second_rupee(false, "PENDING", razorpay),
        ["rupees-per-validation"]
    );
    assert_eq!(
        second_rupee(false, "PENDING", (1001, "SETU", digest)),
        ["rupees-per-validation"]
    );
    assert!(second_rupee(true, "PENDING", razorpay).is_empty());
    assert!(second_rupee(true, "PENDING", (1001, "SETU", digest)).is_empty());
    assert!(second_rupee(false, "INCONCLUSIVE", razorpay).is_empty());
}

#[test]
fn a_rupee_without_an_attempt_or_before_it_is_found() {
    let found = remove("attempt", "validation", &json!("v1"));
    assert_eq!(found, ["rupee-has-attempt"]);
    let late = |attempt: &mut Value| attempt["started_at"] = json!(10_090);
    assert_eq!(
        violated("attempt", "validation", &json!("v1"), late),
        ["rupee-has-attempt"]
    );
}

#[test]
fn a_result_without_a_rupee_is_found() {
    assert_eq!(
        remove("drop", "reference", &json!("khv2_01")),
        ["attempt-has-rupee"]
    );
}

#[test]
fn two_replies_to_one_key_are_found() {
    let other = json!({"object": "list", "list": [account("a", NUMBER, "CREATED", 1), account("b", OTHER, "FAILURE", 2)]});
    let found = violated("call", "began", &json!(11_000), |call| {
        call["reply"] = json!(other.to_string());
    });
    assert_eq!(found, ["same-key-same-reply"]);
}

#[test]
fn a_second_effect_of_a_call_is_found() {
    let found = violated_by(|records| {
        for id in ["c", "d"] {
            records.push(json!({"kind": "account", "id": id, "customer": "c1", "status": "ACTIVE", "version": 0}));
        }
    });
    assert!(found.contains(&"same-call-one-effect"), "{found:?}");
}

#[test]
fn a_reply_with_other_accounts_is_found() {
    let swapped =
        json!({"list": [account("b", OTHER, "CREATED", 1), account("a", NUMBER, "CREATED", 1)]});
    let found = violated_by(|records| {
        for began in [10_000, 11_000] {
            let place = place(records, "call", "began", &json!(began));
            records[place]["reply"] = json!(swapped.to_string());
        }
    });
    assert!(found.contains(&"reply-shows-what-was-sent"), "{found:?}");
}

#[test]
fn an_accepted_account_that_a_list_lacks_is_found() {
    let found = violated("call", "began", &json!(15_000), |list| {
        list["reply"] = json!("{\"list\":[]}");
    });
    assert_eq!(found, ["writes-are-read"]);
}

#[test]
fn a_missing_version_is_found() {
    let found = remove("event", "id", &json!("evt_5"));
    assert!(found.contains(&"versions-grow-by-one"), "{found:?}");
}

#[test]
fn a_status_that_may_not_follow_is_found() {
    let found = violated("event", "id", &json!("evt_5"), |event| {
        event["name"] = json!("CUSTOMER_ACCOUNT_CREATED");
    });
    assert_eq!(found, ["status-machine"]);
    let unasked = violated_by(|records| {
        let place = place(records, "call", "operation", &json!("validate"));
        records.remove(place);
    });
    assert_eq!(unasked, ["status-machine"]);
}

/// Changes the page of the cursor.
fn with_page(change: impl FnOnce(&mut Vec<Value>)) -> Vec<&'static str> {
    violated("call", "operation", &json!("events"), |call| {
        let mut page: Value = serde_json::from_str(call["reply"].as_str().unwrap()).unwrap();
        change(page["list"].as_array_mut().unwrap());
        call["reply"] = json!(page.to_string());
    })
}

#[test]
fn an_event_that_the_cursor_skips_or_repeats_is_found() {
    assert_eq!(with_page(|page| drop(page.remove(3))), ["cursor-complete"]);
    let repeated = with_page(|page| page.push(page[6].clone()));
    assert_eq!(repeated, ["cursor-complete", "cursor-in-order"]);
}

#[test]
fn events_out_of_order_are_found() {
    assert_eq!(with_page(|page| page.swap(2, 4)), ["cursor-in-order"]);
}

#[test]
fn an_event_that_no_receiver_accepted_is_found() {
    let refused = |receipt: &mut Value| receipt["status"] = json!(500);
    let found = violated("receipt", "id", &json!("evt_6"), refused);
    assert_eq!(found, ["webhook-delivered"]);
}

#[test]
fn webhooks_out_of_order_are_found() {
    let early = |receipt: &mut Value| receipt["began"] = json!(20_001);
    let found = violated("receipt", "id", &json!("evt_3"), early);
    assert!(found.contains(&"webhook-in-order"), "{found:?}");
}

#[test]
fn a_wrong_signature_or_an_old_timestamp_is_found() {
    let wrong = |receipt: &mut Value| receipt["signature"] = json!("v1,AAAA");
    assert_eq!(
        violated("receipt", "id", &json!("evt_1"), wrong),
        ["webhook-signature"]
    );
    let old = violated_by(|records| {
        let place = place(records, "receipt", "id", &json!("evt_7"));
        for time in ["began", "ended"] {
            records[place][time] = json!(records[place][time].as_u64().unwrap() + 100_000);
        }
    });
    assert_eq!(old, ["webhook-signature"]);
}

#[test]
fn a_changed_body_is_found() {
    let state = account("a", NUMBER, "ACTIVE", 2);
    let other = receipt(&event("evt_3", &account("a", NUMBER, "FAILURE", 2)), 22_000);
    let found = violated_by(|records| {
        let place = place(records, "receipt", "id", &json!("evt_3"));
        records[place] = other;
    });
    assert_eq!(found, ["webhook-body"], "not as the cursor shows it");
    let mut again = receipt(&event("evt_3", &state), 22_002);
    again["body"] = json!(STANDARD.encode(format!(" {}", event("evt_3", &state))));
    again["attempt"] = json!(2);
    let found = violated_by(|records| {
        let place = place(records, "receipt", "id", &json!("evt_3"));
        records[place]["status"] = json!(null);
        records.push(again);
    });
    assert!(found.contains(&"webhook-body"), "other bytes: {found:?}");
}

#[test]
fn an_unexplained_duplicate_is_found() {
    let state = account("b", OTHER, "DELETED", 3);
    let again = |began| {
        let mut again = receipt(&event("evt_7", &state), began);
        again["attempt"] = json!(2);
        again
    };
    let far = again(60_000);
    let found = violated_by(|records| {
        // The fault is long over.
        let place = place(records, "fault", "name", &json!("worker killed"));
        records[place]["began"] = json!(1_000);
        records[place]["healed"] = json!(1_100);
        records.push(far);
    });
    assert!(found.contains(&"webhook-duplicates"), "{found:?}");
    assert!(
        violated_by(|records| records.push(again(26_500))).is_empty(),
        "a fault explains it"
    );
}

#[test]
fn an_outcome_that_is_too_late_is_found() {
    let late = |validation: &mut Value| validation["completed_at"] = json!(19_000);
    assert_eq!(
        violated("validation", "id", &json!("v2"), late),
        ["outcome-in-time"]
    );
    let within = |validation: &mut Value| validation["completed_at"] = json!(17_500);
    assert!(
        violated("validation", "id", &json!("v2"), within).is_empty(),
        "the fault delays it"
    );
}

#[test]
fn a_call_that_fails_without_a_fault_is_found() {
    let failed = |call: &mut Value| call["status"] = json!(503);
    let found = violated("call", "began", &json!(12_000), failed);
    assert_eq!(found, ["available"]);
}
