//! The context of one request of a merchant: who calls, what the request carries, and the parts it may use.

use std::future::Future;
use std::num::NonZeroU32;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;

use actix_web::dev::Payload;
use actix_web::http::Method;
use actix_web::{FromRequest, HttpMessage, HttpRequest, web};
use khata_crypto::{ApiKeyHash, Keyring};
use khata_domain::events::EndpointId;
use khata_domain::ids::CustomerRef;
use khata_domain::routing::Pin as GatewayPin;
use khata_domain::text::is_placeholder_id;
use khata_domain::{AccountId, AccountKind, KeyId, MerchantId, ValidationKey};
use khata_queue::{DeliverySignalPublisher, Wakeup, WakeupPublisher};
use khata_store::audit::Actor;
use khata_store::merchants::Merchant;
use khata_store::service_check::ServiceCheck;
use khata_store::webhooks::AccountUrl;
use khata_webhooks::EndpointUrl;
use serde_json::{Map, Value};
use tracing::{Span, field};

use crate::account_urls::AccountUrls;
use crate::auth::{Authenticator, Caller};
use crate::connection::ConnectionState;
use crate::connectors::WebhookAccounts;
use crate::create_commits::Creates;
use crate::database::{Database, RecentRows};
use crate::decode::{Body, MAX_BODY, check_content_encoding, nearest, pairs, printable};
use crate::error::{ApiError, FaultCode, Faults, NO_ACCOUNT, NO_CUSTOMER};
use crate::gateway_choices::GatewayChoices;
use crate::idempotency::{Idempotent, StoredReplies};
use crate::limits::{InProgress, Limits};
use crate::metrics::{Metrics, StartedBy};
use crate::observe::{Observed, ReplyMemory, Waiting};
use crate::outcomes::Outcomes;
use crate::schema;
use crate::shares::Share;

/// The parts that requests share.
pub(crate) struct State {
    pub(crate) database: Database,
    pub(crate) keyring: Arc<Keyring>,
    pub(crate) creates: Creates,
    pub(crate) wakeup_publisher: WakeupPublisher,
    pub(crate) delivery_signals: DeliverySignalPublisher,
    pub(crate) outcomes: Outcomes,
    pub(crate) authenticator: Authenticator,
    pub(crate) limits: Limits,
    pub(crate) in_progress: InProgress,
    pub(crate) gateway_choices: GatewayChoices,
    pub(crate) account_urls: AccountUrls,
    pub(crate) stored_replies: Arc<StoredReplies>,
    pub(crate) webhook_accounts: WebhookAccounts,
    /// Replies with the public keys of webhook endpoints; unknown ids are among them, so that guessing an id costs one query.
    pub(crate) webhook_keys: RecentRows<EndpointId, Option<web::Bytes>>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) sandbox_mode: bool,
    /// Schema, rights and keyring, which must be right before the API is ready.
    pub(crate) service_check: Arc<ServiceCheck>,
}

/// An authenticated request within its limit.
pub(crate) struct RequestContext {
    pub(crate) state: web::Data<State>,
    /// The database, for queries of the merchant.
    pub(crate) database: Database,
    key: ApiKeyHash,
    key_id: KeyId,
    pub(crate) merchant: Merchant,
    pub(crate) observed: Observed,
    /// The parameters of the path: `customer_id` and `account_id`, as far as it has them; of other resources, the id.
    path: Vec<String>,
    request: HttpRequest,
    payload: Payload,
    body: Arc<Body>,
    _in_progress: Share,
}

impl FromRequest for RequestContext {
    type Error = ApiError;
    type Future = Pin<Box<dyn Future<Output = Result<Self, ApiError>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let (request, payload) = (request.clone(), payload.take());
        Box::pin(async move {
            let state = request.app_data::<web::Data<State>>().cloned();
            let state = state.ok_or(ApiError::Internal)?;
            let caller = state
                .authenticator
                .authenticate(
                    &state.database,
                    &state.keyring,
                    &state.metrics,
                    request.headers(),
                )
                .await?;
            let route = request.match_pattern();
            let in_scope = caller.check_scope(request.method(), route.as_deref().unwrap_or(""));
            let Caller {
                key,
                key_id,
                merchant,
                ..
            } = caller;
            if let Some(connection) = request.conn_data::<Rc<ConnectionState>>() {
                connection.authenticate();
            }
            Span::current().record("khata.merchant_id", field::display(merchant.id));
            let (limit, within_limit) = state.limits.take(
                key,
                merchant.requests_per_second.unsigned_abs(),
                NonZeroU32::MIN,
            );
            request.extensions_mut().insert(limit);
            request.extensions_mut().insert(merchant.id);
            within_limit?;
            in_scope?;
            check_query(&request, route.as_deref().unwrap_or(""))?;
            let in_progress = &state.in_progress;
            request
                .extensions_mut()
                .insert(ReplyMemory(in_progress.replies.clone()));
            let mut this = in_progress.requests.of(merchant.id);
            if !this.try_grow(1) {
                return Err(ApiError::TooMuchInProgress);
            }
            let observed = request.extensions().get::<Observed>().cloned();
            let path = web::Path::<Vec<String>>::extract(&request).await;
            Ok(Self {
                database: state.database.of(merchant.id),
                state,
                key,
                key_id,
                merchant,
                observed: observed.ok_or(ApiError::Internal)?,
                path: path.map_err(|_| ApiError::Internal)?.into_inner(),
                request,
                payload,
                body: Arc::default(),
                _in_progress: this,
            })
        })
    }
}

impl RequestContext {
    pub(crate) fn merchant_id(&self) -> MerchantId {
        self.merchant.id
    }

    /// The key that makes the call, as the audit log names it.
    pub(crate) fn actor(&self) -> Result<Actor, ApiError> {
        Actor::parse(&format!("key:{}", self.key_id)).ok_or(ApiError::Internal)
    }

    /// The first parameter of the path; empty if it has none.
    pub(crate) fn id(&self) -> &str {
        self.path.first().map_or("", String::as_str)
    }

    /// Takes a request from the key's limit for each account after the first: a call with many accounts is as much work as many
    /// calls. A call with more accounts than the limit needs the whole second, so that it is possible at all.
    pub(crate) fn take_accounts(&self, accounts: usize) -> Result<(), ApiError> {
        let per_second = self.merchant.requests_per_second.unsigned_abs();
        let accounts = u32::try_from(accounts).unwrap_or(u32::MAX).min(per_second);
        let Some(more) = NonZeroU32::new(accounts.saturating_sub(1)) else {
            return Ok(());
        };
        let (limit, within_limit) = self.state.limits.take(self.key, per_second, more);
        self.request.extensions_mut().insert(limit);
        within_limit
    }

    /// Receives and decodes the body.
    pub(crate) async fn receive(&mut self) -> Result<Map<String, Value>, ApiError> {
        check_content_encoding(self.request.headers())?;
        let memory = self.state.in_progress.bodies.of(self.merchant_id());
        let body = Body::receive(&self.request, self.payload.take(), MAX_BODY, memory);
        self.body = Arc::new(body.await?);
        self.body.decode().await
    }

    /// The idempotency of the call, once its body is received.
    pub(crate) fn idempotent(&self) -> Result<Idempotent, ApiError> {
        let (merchant, body) = (self.merchant_id(), self.body.bytes());
        let State {
            keyring,
            stored_replies,
            ..
        } = &**self.state;
        Idempotent::of(
            &self.database,
            keyring,
            stored_replies,
            merchant,
            &self.request,
            body,
        )
    }

    /// The customer that the path names.
    pub(crate) fn customer(&self) -> Result<CustomerRef, ApiError> {
        let customer = self.path.first();
        let customer = customer.and_then(|text| CustomerRef::parse(text));
        customer.ok_or_else(|| self.not_found(NO_CUSTOMER))
    }

    /// The customer that the path names, for a call that registers an unknown one. A placeholder would be a customer that many
    /// payees share.
    pub(crate) fn new_customer(&self) -> Result<CustomerRef, ApiError> {
        let reason = "must be a customer id, or 1 to 128 visible ASCII characters";
        match self.placeholder() {
            Some(fault) => Err(fault),
            None => self
                .customer()
                .map_err(|_| ApiError::field("customer_id", FaultCode::Format, reason)),
        }
    }

    /// The error of a call that found nothing. Where the path has a placeholder, the error is about that: calls find a customer
    /// that an earlier version stored under one.
    pub(crate) fn not_found(&self, error: ApiError) -> ApiError {
        match error {
            ApiError::NotFound(_) => self.placeholder().unwrap_or(error),
            other => other,
        }
    }

    /// The fault of what a program put into the path because it had no value.
    pub(crate) fn placeholder(&self) -> Option<ApiError> {
        let names = self.request.match_info().iter().map(|(name, _)| name);
        let mut values = names.zip(&self.path);
        let (name, _) = values.find(|(_, text)| is_placeholder_id(text))?;
        let reason = "is a placeholder in the path that was not filled in: put the id in its place";
        Some(ApiError::field(name, FaultCode::Placeholder, reason))
    }

    /// The customer and the account that the path names.
    pub(crate) fn account(&self) -> Result<(CustomerRef, AccountId), ApiError> {
        let customer = self.customer()?;
        let account = self.path.get(1).and_then(|text| AccountId::parse(text));
        let account = account.ok_or_else(|| self.not_found(NO_ACCOUNT))?;
        Span::current().record("khata.account_id", field::display(account));
        Ok((customer, account))
    }

    /// Checks that the call may be recorded, if it has a key, and that the merchant has the gateway account that it names, if it
    /// names one.
    pub(crate) async fn check(
        &self,
        idempotent: &Idempotent,
        pin: Option<&GatewayPin>,
    ) -> Result<(), ApiError> {
        idempotent.check_room().await?;
        match pin {
            Some(pin) => self.check_gateway(pin).await,
            None => Ok(()),
        }
    }

    /// Checks that the merchant has the gateway account that the call names.
    pub(crate) async fn check_gateway(&self, pin: &GatewayPin) -> Result<(), ApiError> {
        let choices = &self.state.gateway_choices;
        choices.check(&self.database, self.merchant_id(), pin).await
    }

    /// Finds the webhook endpoint that allows the URL, if the call names one for the events of its accounts.
    pub(crate) async fn account_url(
        &self,
        url: Option<&EndpointUrl>,
    ) -> Result<Option<AccountUrl>, ApiError> {
        let Some(url) = url else {
            return Ok(None);
        };
        let found = &self.state.account_urls;
        let found = found.find(&self.database, self.merchant_id(), url);
        found.await.map(Some)
    }

    /// Counts a validation that this call started, and publishes its wake-up.
    pub(crate) fn announce(&self, key: ValidationKey, kind: AccountKind, by: StartedBy) {
        self.state.metrics.accepted(key.merchant, kind, by);
        let trace_parent = self.observed.trace_parent.clone();
        let wakeup = Wakeup { key, trace_parent };
        if self.is_waiting() {
            self.state.wakeup_publisher.publish_awaited(wakeup);
        } else {
            self.state.wakeup_publisher.publish(wakeup);
        }
    }

    /// Publishes the wake-up of a validation that another call started, because this call waits for it too.
    pub(crate) fn hurry(&self, key: ValidationKey) {
        let trace_parent = self.observed.trace_parent.clone();
        let wakeup = Wakeup { key, trace_parent };
        self.state.wakeup_publisher.publish_awaited(wakeup);
    }

    /// Signals that the call wrote deliveries, or made some due, so that their attempts begin at once.
    pub(crate) fn signal_deliveries(&self) {
        self.state.delivery_signals.publish(self.merchant_id());
    }

    /// The query parameters.
    pub(crate) fn query<T: serde::de::DeserializeOwned>(&self) -> Option<T> {
        let query = web::Query::<T>::from_query(self.request.query_string());
        query.ok().map(web::Query::into_inner)
    }

    /// Marks the request as waiting for outcomes, for its span and its metrics.
    pub(crate) fn mark_waiting(&self) {
        self.request.extensions_mut().insert(Waiting);
    }

    fn is_waiting(&self) -> bool {
        self.request.extensions().contains::<Waiting>()
    }
}

/// Refuses query parameters that the call does not know.
fn check_query(request: &HttpRequest, route: &str) -> Result<(), ApiError> {
    let query = request.query_string();
    if query.is_empty() {
        return Ok(());
    }
    let known = schema::query_parameters(request.method(), route);
    let mut faults = Faults::default();
    for (name, _) in pairs(query.as_bytes()) {
        if faults.is_full() {
            break;
        }
        let Some(name) = name else {
            let reason = "has a name that is not UTF-8 in percent-encoding";
            faults.push("query", FaultCode::Encoding, reason);
            continue;
        };
        if known.contains(&name.as_ref()) {
            continue;
        }
        let reason = match nearest(&name, known) {
            Some(nearest) => {
                format!("is not a query parameter of this call: did you mean {nearest}?")
            }
            None if *request.method() == Method::POST => {
                "is a query parameter, and this call takes none: send the fields in the body"
                    .to_owned()
            }
            None if known.is_empty() => "is a query parameter, and this call takes none".to_owned(),
            None => format!(
                "is not a query parameter of this call, which knows {}",
                known.join(", ")
            ),
        };
        faults.push(printable(&name), FaultCode::Unknown, reason);
    }
    faults.check().map_err(ApiError::Invalid)
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    #[test]
    fn a_query_has_known_parameters_only() {
        let customer = "/customers/{customer_id}";
        for (query, fault) in [
            ("", None),
            ("id=a", None),
            ("options.get_client_auth_token=true", None),
            ("id=a&options%5Bget_client_auth_token%5D=1", None),
            (
                "options.create_mandate=true",
                Some("options.create_mandate"),
            ),
            ("count=5", Some("count")),
            ("%ff=x", Some("query")),
        ] {
            let request = TestRequest::with_uri(&format!("/customers/a?{query}")).to_http_request();
            let found = match check_query(&request, customer) {
                Ok(()) => None,
                Err(ApiError::Invalid(faults)) => Some(faults[0].field_name.clone()),
                Err(other) => panic!("{query}: {other:?}"),
            };
            assert_eq!(found.as_deref(), fault, "{query}");
        }
    }
}
