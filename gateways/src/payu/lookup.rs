//! Lookup of a UPI address, by the web service of PayU's payment gateway.

use data_encoding::HEXLOWER;
use khata_domain::validation::CallResult;
use khata_domain::{CallFailure, Class, GatewayResponse, ValidationId, Vpa};
use sha2::{Digest, Sha512};
use zeroize::Zeroizing;

use super::codes;
use super::response::error_response;
use crate::body::Word;
use crate::connector::Check;
use crate::http::{Client, Reply};
use crate::meaning::{Meaning, conclude, meaning_of};

const ROUTE: &str = "/merchant/postservice.php";

/// A merchant's account at the payment gateway.
pub(super) struct VpaLookup {
    pub(super) client: Client,
    pub(super) key: Zeroizing<String>,
    pub(super) salt: Zeroizing<String>,
}

impl VpaLookup {
    /// Looks up an address; moves no money and may be repeated.
    pub(super) async fn verify(&self, vpa: &Vpa) -> CallResult {
        let reply = self.command("validateVPA", vpa.expose()).await?;
        if reply.status != 200 {
            return error_response(&reply);
        }
        let body = reply.body()?;
        let fields = body.fields();
        // 1 or 0; absent if the command was rejected.
        let word = fields.scalar("isVPAValid");
        let is_missing = matches!(word, Word::Absent | Word::Blank);
        if is_missing && codes::is_about_key(fields.word("msg").as_str()) {
            return Ok(Meaning::of(Class::Misconfigured).response("command_refused"));
        }
        let mut meaning = meaning_of(&word, codes::is_vpa_valid);
        let may_have_failed = codes::may_have_failed(&fields.scalar("status"));
        if may_have_failed && meaning.is_some_and(|meaning| meaning.class() == Class::Valid) {
            body.note("isVPAValid");
            meaning = Some(Meaning::Contradictory);
        }
        let code = format!("isVPAValid:{}", word.as_str());
        let without = "response without the result of the lookup";
        let outcome = conclude(&body, meaning, &code, without)?;
        Ok(body.noted(GatewayResponse {
            name_at_bank: fields.text("payerAccountName"),
            ..outcome
        }))
    }

    /// Asks for a payment that does not exist.
    pub(super) async fn check(&self) -> Result<Check, CallFailure> {
        let unknown = ValidationId::new().to_string();
        let reply = self.command("verify_payment", &unknown).await?;
        let status = reply.code_or_status("");
        let sentence = reply.error_body().fields().word("msg");
        let sentence = sentence.as_str();
        Ok(match reply.status {
            200 if codes::is_about_key(sentence) => Check::Refused("command_refused".into()),
            // "0 out of 1 Transactions Fetched Successfully"
            200 if sentence.to_ascii_lowercase().contains("transactions") => {
                Check::Accepted("no_such_payment".into())
            }
            401 | 403 => Check::Refused(status),
            _ => Check::Unclear(status),
        })
    }

    /// Sends a command of the web service, signed with sha512 of `key|command|var1|salt`.
    async fn command(&self, command: &str, var1: &str) -> Result<Reply, CallFailure> {
        let (key, salt) = (self.key.as_str(), self.salt.as_str());
        let mut digest = Sha512::new();
        for part in [key, "|", command, "|", var1, "|", salt] {
            digest.update(part);
        }
        let hash = HEXLOWER.encode(&digest.finalize());
        let form = [
            ("key", key),
            ("command", command),
            ("var1", var1),
            ("hash", &hash),
        ];
        let request = self.client.post(ROUTE).query(&[("form", "2")]).form(&form);
        self.client.send(request, ROUTE).await
    }
}
