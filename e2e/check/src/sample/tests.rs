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
fn the_first_call_with_a_key_is_no_repetition() {
    let mut records = good();
    let repetition = place(&records, "call", "began", &json!(11_000));
    records.remove(repetition);
    let verdict = Verdict::of(&history(&records).unwrap());
    assert_eq!(verdict.vacuous(), ["same-key-same-reply"]);
    assert_eq!(verdict.exit_status(), 2, "{verdict}");
}

#[test]
fn faults_without_effect_are_counted_apart() {
    let mut records = good();
    let place = place(&records, "fault", "hits", &json!(1));
    records[place]["hits"] = json!(0);
    let verdict = Verdict::of(&history(&records).unwrap()).to_string();
    assert!(verdict.contains("1 faults (1 without effect)"), "{verdict}");
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
    other[0]["format"] = json!(1);
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

/// Ends a validation with `ATTEMPTS_EXHAUSTED`, after two attempts with these classes.
fn exhausted(validation: &str, classes: [Value; 2]) -> Vec<&'static str> {
    violated_by(|records| {
        let row = place(records, "validation", "id", &json!(validation));
        records[row]["outcome"] = json!("UNAVAILABLE");
        records[row]["failure_code"] = json!("ATTEMPTS_EXHAUSTED");
        let first = place(records, "attempt", "validation", &json!(validation));
        let mut second = records[first].clone();
        second["number"] = json!(2);
        second["reference"] = json!(format!("kh{validation}_02"));
        let [class, next] = classes;
        records[first]["class"] = class;
        second["class"] = next;
        records.push(second);
    })
}

#[test]
fn an_end_without_two_lost_attempts_is_found() {
    let lost = || json!(null);
    assert!(exhausted("v3", [lost(), lost()]).is_empty());
    for known in ["INCONCLUSIVE", "RETRYABLE"] {
        assert_eq!(
            exhausted("v3", [lost(), json!(known)]),
            ["outcome-as-scripted"]
        );
    }
}

#[test]
fn a_status_that_is_not_that_of_the_newest_outcome_is_found() {
    assert_eq!(
        exhausted("v2", [json!(null), json!(null)]),
        ["status-fits-outcome"],
        "the account is ACTIVE"
    );
    assert!(
        exhausted("v1", [json!(null), json!(null)]).is_empty(),
        "it is not the newest validation"
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
fn an_account_that_a_rejected_call_stored_before_its_repetition_is_found() {
    let found = |created_at: u64| {
        violated_by(|records| {
            let place = place(records, "call", "customer", &json!("c2"));
            let mut again = records[place].clone();
            (again["began"], again["ended"]) = (json!(16_500), json!(16_510));
            again["status"] = json!(null);
            records.extend([
                again,
                json!({"kind": "account", "id": "x", "customer": "c2", "status": "ACTIVE", "version": 0}),
                json!({"kind": "validation", "id": "v9", "account": "x", "state": "COMPLETED", "outcome": "VALID",
                    "failure_code": null, "created_at": created_at, "completed_at": created_at + 100}),
            ]);
        })
    };
    assert!(found(16_005).contains(&"rejected-is-not-stored"));
    assert!(!found(16_505).contains(&"rejected-is-not-stored"));
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
    let found = |all_delivered: bool| {
        violated_by(|records| {
            let refused = place(records, "receipt", "id", &json!("evt_6"));
            records[refused]["status"] = json!(500);
            records[0]["all_delivered"] = json!(all_delivered);
        })
    };
    assert_eq!(found(true), ["webhook-delivered"]);
    assert!(found(false).is_empty(), "the run ended before the retry");
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
    let found = |fault: Value| violated_by(|records| records.extend([fault, again(60_000)]));
    let accepted_at = 26_005;
    assert!(
        found(fault(accepted_at + 2_000, false, true)).is_empty(),
        "the result may be lost"
    );
    for (fault, why) in [
        (fault(accepted_at + 2_000, false, false), "of a gateway"),
        (fault(accepted_at + 6_000, false, true), "too late"),
        (fault(accepted_at - 6_000, false, true), "too early"),
    ] {
        assert_eq!(found(fault), ["webhook-duplicates"], "{why}");
    }
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
