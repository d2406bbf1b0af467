//! What Setu calls back with. The notification of a bank verification is sent for the async API only,
//! is not signed and tells no code; that of a VPA is signed.

use std::sync::Arc;
use std::time::Duration;

use actix_web::web::Data;
use chrono::{SecondsFormat, Utc};
use serde::Serialize;

use crate::Sandbox;
use crate::setu::bank::{self, BankVerification};
use crate::setu::house::{BankHouse, VpaHouse};
use crate::setu::ids;
use crate::setu::vpa::VpaVerification;
use crate::setu::wire::{
    BankNotification, Bav, NotifiedAccount, NotifiedBank, NotifiedReason, Verification, VpaAnswer,
    VpaNotification, VpaStatus,
};
use crate::webhooks::{Notice, Notices, call_back};

/// Tells of a bank verification when its outcome is there. One whose outcome is a 500 is not told of.
pub(super) fn tell_of_bank(
    sandbox: &Data<Sandbox>,
    after: Duration,
    verification: Arc<BankVerification>,
) {
    call_back::<BankHouse>(sandbox, after, move |_| {
        let code = verification.code()?;
        let told = match verification.account() {
            Some(account) => NotifiedAccount::Verified {
                account,
                match_key: None,
            },
            None => NotifiedAccount::Failed {},
        };
        Some(Notices {
            outcome: of_bank(
                &verification.id,
                bank::outcome(code),
                Some(code.message),
                told,
            )?,
            older: of_bank(
                &verification.id,
                Verification::Pending,
                None,
                NotifiedAccount::Failed {},
            )?,
        })
    });
}

/// Tells of a VPA's verification when its outcome is there.
pub(super) fn tell_of_vpa(
    sandbox: &Data<Sandbox>,
    after: Duration,
    verification: Arc<VpaVerification>,
) {
    call_back::<VpaHouse>(sandbox, after, move |_| {
        Some(Notices {
            outcome: of_vpa(&verification.settled)?,
            older: of_vpa(&verification.pending)?,
        })
    });
}

fn of_bank(
    id: &str,
    verification: Verification,
    message: Option<&'static str>,
    data: NotifiedAccount,
) -> Option<Notice> {
    notice(&BankNotification {
        data: NotifiedBank {
            bav: Bav {
                id: id.to_owned(),
                verification,
                message,
                data,
            },
        },
        event: "BAV_WEBHOOK_NOTIFICATION",
        time_stamp: ids::india(Utc::now(), SecondsFormat::Micros),
    })
}

fn of_vpa(answer: &VpaAnswer) -> Option<Notice> {
    let reference = answer.merchant_reference_id.as_ref();
    notice(&VpaNotification {
        event_id: ids::ulid(),
        event_ts: ids::india(Utc::now(), SecondsFormat::Secs),
        event_type: match answer.status {
            VpaStatus::Pending => "customer_vpa.pending",
            VpaStatus::Valid => "customer_vpa.valid",
            VpaStatus::Invalid => "customer_vpa.invalid",
            VpaStatus::Failed => "customer_vpa.failed",
        },
        resource: "customer_vpa",
        status: answer.status,
        merchant_id: answer.merchant_id,
        merchant_reference_id: reference.or(answer.reference_id.as_ref()).cloned(),
        id: answer.id.clone(),
        customer_vpa: answer.customer_vpa.clone(),
        customer_name: answer.customer_name.clone(),
        customer_account_type: answer.customer_account_type,
        reason: answer
            .reason
            .map_or(NotifiedReason::None {}, NotifiedReason::Known),
    })
}

fn notice(body: &impl Serialize) -> Option<Notice> {
    Some(Notice {
        body: serde_json::to_string(body).ok()?,
        headers: Vec::new(),
    })
}
