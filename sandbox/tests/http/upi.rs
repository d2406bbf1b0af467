//! VPAs: penny drop with consent, the older lookup, and the status call.

use serde_json::json;

use crate::support::{Sandbox, ok, penny_drop};

#[actix_web::test]
async fn a_penny_drop_returns_the_account_behind_the_vpa() {
    let sandbox = Sandbox::start(&[]);
    for (place, vpa) in ["success@upi", "9164326296@upi"].into_iter().enumerate() {
        let id = format!("att-{place}");
        let reply = ok(sandbox.post("/upi/penny-drop", &penny_drop(&id, vpa)).await);
        assert_eq!(reply["verification_id"], id.as_str());
        assert_eq!(reply["vpa"], vpa);
        assert_eq!(reply["status"], "VALID");
        assert_eq!(reply["name_at_bank"], "ASHA RAO");
        assert_eq!(reply["name_match_score"], "100.00");
        assert_eq!(reply["name_match_result"], "MATCH");
        assert!(reply["reference_id"].is_u64());
        for text in ["utr", "bank_account", "ifsc"] {
            assert!(reply[text].is_string(), "{text}");
        }
        assert_eq!(reply["ifsc_details"]["upi"], "Live");

        let asked = ok(sandbox.get(&format!("/upi?verification_id={id}")).await);
        assert_eq!(asked, reply, "an reply that got lost can be had again");
    }
    assert_eq!(sandbox.counted().await, (2, 2));
}

#[actix_web::test]
async fn published_vpas_that_fail_are_invalid_and_still_counted() {
    let sandbox = Sandbox::start(&[]);
    for (place, vpa) in ["incorrect@upi", "invalid@upi"].into_iter().enumerate() {
        let id = format!("att-{place}");
        let reply = ok(sandbox.post("/upi/penny-drop", &penny_drop(&id, vpa)).await);
        assert_eq!(reply["status"], "INVALID");
        for null in ["name_at_bank", "utr", "name_match_score", "ifsc_details"] {
            assert!(reply[null].is_null(), "{null}");
        }
    }
    assert_eq!(sandbox.counted().await, (2, 2));
}

#[actix_web::test]
async fn the_lookup_moves_no_money() {
    let sandbox = Sandbox::start(&[]);
    let body = json!({"verification_id": "v.1", "vpa": "asha@okhdfcbank", "name": "asha rao"});
    let reply = ok(sandbox.post("/upi", &body).await);
    assert_eq!(reply["status"], "VALID");
    assert_eq!(reply["name_at_bank"], "ASHA RAO");
    assert_eq!(reply["name_match_result"], "DIRECT_MATCH");
    assert_eq!(ok(sandbox.get("/upi?verification_id=v.1").await), reply);

    let body = json!({"verification_id": "v.2", "vpa": "invalid@upi"});
    assert_eq!(ok(sandbox.post("/upi", &body).await)["status"], "INVALID");
    assert_eq!(sandbox.counted().await, (0, 0));
}

#[actix_web::test]
async fn a_verification_id_is_valid_once() {
    let sandbox = Sandbox::start(&[]);
    let body = penny_drop("v-1", "asha@upi");
    ok(sandbox.post("/upi/penny-drop", &body).await);
    let look_up = json!({"verification_id": "v-1", "vpa": "asha@upi"});
    for (path, body) in [("/upi/penny-drop", &body), ("/upi", &look_up)] {
        let (status, refused) = sandbox.post(path, body).await;
        assert_eq!(status, 409);
        assert_eq!(refused["code"], "verification_id_already_exists");
        assert!(refused["message"].is_string() && refused["type"].is_string());
    }
    assert_eq!(sandbox.counted().await, (1, 1));
}
