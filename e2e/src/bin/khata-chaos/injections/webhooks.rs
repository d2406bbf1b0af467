//! Gateways' webhooks: lost, doubled, late, out of order, and forged.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use khata_e2e::{Api, Behaviour, Webhook, WebhookCounts};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::time::sleep;

use super::{Effect, RECONNECTED};
use crate::run::Run;
use crate::steps::set_gateway_account;

/// The gateway whose outcomes come later than the response to the call.
const GATEWAY: &str = "RAZORPAY";
const PENDING_MS: u64 = 2_000;
/// Longer than the outcome takes, so that a webhook that is not lost comes before the poll.
const POLL_MS: u64 = 6_000;
const FORGERY_INTERVAL: Duration = Duration::from_millis(250);

impl Run {
    /// Hits the events that were lost, or signed by another secret. Fails if the API accepts a forged one.
    pub(super) async fn disturb_webhooks(&mut self) -> Result<Effect> {
        let settings = json!({"poll_ms": [POLL_MS]});
        let account = set_gateway_account(&self.stack, GATEWAY, 1, &settings)?;
        let path = format!("/gateways/razorpay/webhooks/{account}");
        let webhook = Webhook {
            gateway: GATEWAY,
            url: format!("{}{path}", self.stack.apis[0].url),
            duplicates: 1,
            out_of_order: true,
            delay_ms: self.random.below(1_500) as u64,
            drop_rate: 0.3,
            old_secret: Some("the_secret_of_another"),
            old_secret_rate: 0.3,
        };
        let pending = Behaviour {
            pending_ms: PENDING_MS,
            ..Behaviour::default()
        };
        self.stack.sandbox.webhook(&webhook).await?;
        self.set_behaviour(pending).await?;
        let until = Instant::now() + self.random.milliseconds(9_000, 13_000);
        let mut forged = 0;
        while Instant::now() < until {
            forged += self.forge(&path).await?;
            sleep(FORGERY_INTERVAL).await;
        }
        self.set_behaviour(Behaviour::default()).await?;
        let counts = self.stack.sandbox.webhook_counts().await?;
        let counts = counts.into_iter().find(|counts| counts.gateway == GATEWAY);
        let WebhookCounts { answered, lost, .. } = counts.context("no webhooks are set")?;
        let with = |status| answered.get(&status).copied().unwrap_or_default();
        // Without one that is accepted, lost ones mean nothing.
        let is_complete = with(200) > 0 && forged > 0;
        let hits = if is_complete { lost + with(401) } else { 0 };
        Ok(Effect::new(RECONNECTED, hits))
    }

    /// Sends each replica of the API the contrary of each outcome that is pending, without the gateway's secret. Returns the number
    /// of forgeries.
    async fn forge(&self, path: &str) -> Result<u64> {
        let pending = "select reference from validation_attempts where state = 'PENDING' limit 5";
        let mut forged = 0;
        for reference in self.stack.database.texts(pending)? {
            for api in &self.stack.apis {
                let api = Api::new(&api.url, "")?;
                let request = api.call(Method::POST, path).json(&failed(&reference));
                let request = request.header("x-razorpay-signature", "0f".repeat(32));
                let reply = api.send(request).await?;
                ensure!(
                    reply.status == 401,
                    "a forged webhook got {}: {}",
                    reply.status,
                    reply.text
                );
                forged += 1;
            }
        }
        Ok(forged)
    }
}

/// Returns the event of a validation that failed.
fn failed(reference: &str) -> Value {
    let entity = json!({
        "id": "fav_Forged00000000", "entity": "fund_account.validation", "status": "failed", "reference_id": reference,
        "fund_account": {"account_type": "bank_account"}, "status_details": {"reason": "bank_account_closed"},
    });
    json!({
        "entity": "event", "event": "fund_account.validation.failed", "contains": ["fund_account.validation"],
        "payload": {"fund_account.validation": {"entity": entity}},
    })
}
