//! The web service of PayU's payment gateway: its look at a UPI address.

use std::time::Duration;

use khata_domain::{CallFailure, Class, GatewayResponse, ValidationId, Vpa};
use reqwest::header::CONTENT_TYPE;
use sha2::{Digest, Sha512};
use zeroize::Zeroizing;

use super::wire::{ServiceResponse, form};
use super::{FORM, codes, refused};
use crate::connector::Check;
use crate::http::{Reply, send};
use crate::meaning::Meaning;
use crate::name::real_name;
use crate::signature::hex;

pub(super) const ROUTE: &str = "/merchant/postservice.php";

/// A merchant's account there.
pub(super) struct Service {
    pub(super) http: reqwest::Client,
    pub(super) url: String,
    pub(super) key: Zeroizing<String>,
    pub(super) salt: Zeroizing<String>,
    pub(super) call_timeout: Duration,
}

impl Service {
    /// The payment gateway's look-up: it moves nothing, and may be asked again.
    pub(super) async fn look_at(&self, vpa: &Vpa) -> Result<GatewayResponse, CallFailure> {
        let reply = self.command("validateVPA", vpa.expose()).await?;
        if reply.status != 200 {
            return refused(&reply);
        }
        let response: ServiceResponse = reply.json()?;
        let Some(word) = response.is_vpa_valid else {
            let sentence = response.msg.unwrap_or_default();
            return if codes::is_about_key(&sentence) {
                Ok(Meaning::of(Class::Misconfigured).answer("command_refused"))
            } else {
                Err(CallFailure::ResponseLost(
                    "an answer that does not say whether it exists".into(),
                ))
            };
        };
        let code = format!("isVPAValid:{word}");
        Ok(GatewayResponse {
            name_at_bank: real_name(response.payer_account_name),
            ..codes::is_vpa_valid(&word).answer(&code)
        })
    }

    /// Asks after a payment that was never made.
    pub(super) async fn check(&self) -> Result<Check, CallFailure> {
        let nobodys = ValidationId::new().to_string();
        let reply = self.command("verify_payment", &nobodys).await?;
        let said = format!("http_{}", reply.status);
        let sentence = reply
            .json::<ServiceResponse>()
            .ok()
            .and_then(|response| response.msg)
            .unwrap_or_default();
        Ok(match reply.status {
            200 if codes::is_about_key(&sentence) => Check::Refused("command_refused".into()),
            // "0 out of 1 Transactions Fetched Successfully"
            200 if sentence.to_ascii_lowercase().contains("transactions") => {
                Check::Accepted("no_such_payment".into())
            }
            401 | 403 => Check::Refused(said),
            _ => Check::Unclear(said),
        })
    }

    /// One command of the web service, signed: sha512 of `key|command|var1|salt`.
    async fn command(&self, command: &str, var1: &str) -> Result<Reply, CallFailure> {
        let (key, salt) = (self.key.as_str(), self.salt.as_str());
        let mut digest = Sha512::new();
        for part in [key, "|", command, "|", var1, "|", salt] {
            digest.update(part);
        }
        let hash = hex(&digest.finalize());
        let body = form(&[
            ("key", key),
            ("command", command),
            ("var1", var1),
            ("hash", &hash),
        ]);
        let request = self
            .http
            .post(&self.url)
            .query(&[("form", "2")])
            .header(CONTENT_TYPE, FORM)
            .timeout(self.call_timeout)
            .body(body);
        send(&self.http, request, ROUTE).await
    }
}
