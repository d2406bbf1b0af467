//! The parts that all calls share: the key, request headers, reply headers. Each part is defined once, under `components`.

use serde_json::Value;
use utoipa::Modify;
use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::path::{Operation, ParameterBuilder, ParameterIn};
use utoipa::openapi::schema::{Components, ObjectBuilder, Type};
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{
    Content, Deprecated, OpenApi, Ref, RefOr, Required, Response, ResponseBuilder,
};

use super::examples::{LEGACY_ACCOUNTS, example};

const KEY: &str = "api_key";
const ROUTING_ID: &str = "RoutingId";
const IDEMPOTENCY_KEY: &str = "IdempotencyKey";

pub(super) struct Common;

impl Modify for Common {
    fn modify(&self, document: &mut OpenApi) {
        let components = document.components.get_or_insert_default();
        let mut basic = Http::new(HttpAuthScheme::Basic);
        let text = "User name: the API key. Password: empty. A key has the scope READ (every GET), CREATE (also every POST but deletions) or ADMIN (every call). A POST to webhook endpoints needs ADMIN.";
        basic.description = Some(text.to_owned());
        components.add_security_scheme(KEY, SecurityScheme::Http(basic));
        add_headers(components);
        add_parameters(components);
        for (path, item) in &mut document.paths.paths {
            if path.starts_with("/health") || path.starts_with("/.well-known") || path == "/version"
            {
                if let Some(operation) = &mut item.get {
                    make_public(components, operation);
                }
                continue;
            }
            if let Some(operation) = &mut item.get {
                add_common_parts(components, operation, false);
            }
            if let Some(operation) = &mut item.post {
                add_common_parts(components, operation, true);
            }
        }
    }
}

/// Reply headers: name, component, description. All are text but `Retry-After`.
const HEADERS: [[&str; 3]; 7] = [
    ["x-request-id", "RequestId", REQUEST_ID],
    ["traceresponse", "TraceResponse", TRACE_RESPONSE],
    ["RateLimit-Policy", "RateLimitPolicy", RATE_LIMIT_POLICY],
    ["RateLimit", "RateLimit", RATE_LIMIT],
    ["Retry-After", "RetryAfter", RETRY_AFTER],
    ["Idempotent-Replayed", "IdempotentReplayed", REPLAYED],
    ["WWW-Authenticate", "WwwAuthenticate", "HTTP Basic."],
];
const REQUEST_ID: &str = "Your `x-request-id`, or a new one.";
const TRACE_RESPONSE: &str = "W3C trace context of this call.";
const RATE_LIMIT: &str = "Requests left in the current window.";
const RETRY_AFTER: &str = "Seconds to wait before trying again.";
const RATE_LIMIT_POLICY: &str = "Request limit of this key (draft-ietf-httpapi-ratelimit-headers).";
const REPLAYED: &str = "`true` if this is the reply to the first call with this key.";

const ERRORS: [u16; 12] = [400, 401, 403, 404, 408, 409, 413, 415, 422, 429, 500, 503];

/// Describes the error reply with this status; `None` if the call never fails so.
fn error_description(status: u16, is_post: bool) -> Option<&'static str> {
    Some(match (status, is_post) {
        (400, false) => {
            "A parameter is unknown or invalid. `error_info.fields` lists the problems."
        }
        (400, true) => INVALID_WRITE,
        (401, _) => {
            "The key is missing, malformed, unknown, expired or revoked, or the header has another scheme than Basic. `developer_message` distinguishes a missing key, another scheme, a login that is not Base64 or has a password, and a key of the other mode, and says nothing about any other key."
        }
        (403, true) => FORBIDDEN_WRITE,
        (404, _) => "Not found, or belongs to another merchant.",
        (408, true) => "The request body did not arrive in time.",
        (409, true) => IN_PROGRESS,
        (413, true) => "The request body is larger than 256 KiB.",
        (415, true) => {
            "The body is neither a form nor JSON in UTF-8, or compressed. `developer_message` names what is not supported."
        }
        (422, true) => "The `Idempotency-Key` was used for another call.",
        (429, false) => "Too many requests with this key. See `Retry-After`.",
        (429, true) => TOO_MANY_WRITE,
        (500, _) => "Internal error.",
        (503, _) => "The database cannot be reached. Nothing was stored. See `Retry-After`.",
        _ => return None,
    })
}

const INVALID_WRITE: &str = "Invalid field, missing field, unknown field, unknown command, gateway not configured, or customer already exists. See `error_info.code`.";
const FORBIDDEN_WRITE: &str = "The key's scope does not include this call, or a browser sent the request for a page of another site. See `error_info.code`.";
const IN_PROGRESS: &str = "The first call with this `Idempotency-Key` is still running, or the account is deleted, or the webhook endpoint disabled.";
const TOO_MANY_WRITE: &str = "Too many requests with this key, too many validations of an account, or no penny drops left today. See `error_info.code` and `Retry-After`.";

fn add_headers(components: &mut Components) {
    for [name, component, description] in HEADERS {
        let is_number = name == "Retry-After";
        let of = if is_number {
            Type::Integer
        } else {
            Type::String
        };
        let header = HeaderBuilder::new()
            .schema(Some(ObjectBuilder::new().schema_type(of).build()))
            .description(Some(description));
        let header = header.build().into();
        components.headers.insert(component.to_owned(), header);
    }
}

const ROUTING: &str = "Stored with the account and recorded on the trace.";
const IDEMPOTENCY: &str = "Repeating the call with the same key returns the first response for 24 hours, with `Idempotent-Replayed: true`.";

fn add_parameters(components: &mut Components) {
    for (component, name, most, description) in [
        (ROUTING_ID, "x-routing-id", 128, ROUTING),
        (IDEMPOTENCY_KEY, "Idempotency-Key", 255, IDEMPOTENCY),
    ] {
        let text = ObjectBuilder::new()
            .schema_type(Type::String)
            .pattern(Some(format!("^[!-~]{{1,{most}}}$")));
        let parameter = ParameterBuilder::new()
            .name(name)
            .parameter_in(ParameterIn::Header)
            .required(Required::False)
            .description(Some(description))
            .schema(Some(text));
        let parameter = parameter.build().into();
        components
            .parameters
            .insert(component.to_owned(), parameter);
    }
}

/// Adds the parts of a call without a key.
fn make_public(components: &mut Components, operation: &mut Operation) {
    operation.security = Some(Vec::new());
    let mut response = error_response("`x-routing-id` is not 1 to 128 visible ASCII characters.");
    set_example(&mut response, example(400, false, ""));
    let name = "PublicGet400";
    components
        .responses
        .insert(name.to_owned(), response.into());
    let reference = RefOr::Ref(component("responses", name));
    let responses = &mut operation.responses.responses;
    responses.entry("400".to_owned()).or_insert(reference);
}

fn error_response(description: &str) -> Response {
    let content = Content::new(Some(Ref::from_schema_name("Error")));
    ResponseBuilder::new()
        .description(description)
        .content("application/json", content)
        .build()
}

/// Sets the example of an error. Returns the name of its subject.
fn set_example(response: &mut Response, example: Option<(&'static str, Value)>) -> &'static str {
    let Some((subject, example)) = example else {
        return "";
    };
    for content in response.content.values_mut() {
        if let RefOr::T(content) = content {
            content.example = Some(example.clone());
        }
    }
    subject
}

fn add_common_parts(components: &mut Components, operation: &mut Operation, is_post: bool) {
    let tag = operation.tags.iter().flatten().next();
    let tag = tag.cloned().unwrap_or_default();
    if tag == LEGACY_ACCOUNTS {
        operation.deprecated = Some(Deprecated::True);
    }
    let key = SecurityRequirement::new::<_, [&str; 0], &str>(KEY, []);
    operation.security = Some(vec![key]);
    let parameters = operation.parameters.get_or_insert_default();
    parameters.push(RefOr::Ref(component("parameters", ROUTING_ID)));
    if is_post {
        parameters.push(RefOr::Ref(component("parameters", IDEMPOTENCY_KEY)));
    }
    for (status, response) in &mut operation.responses.responses {
        if let RefOr::T(response) = response {
            refer_to_headers(response, status, is_post);
        }
    }
    for status in ERRORS {
        let Some(description) = error_description(status, is_post) else {
            continue;
        };
        let mut response = error_response(description);
        let subject = set_example(&mut response, example(status, is_post, &tag));
        let status = status.to_string();
        refer_to_headers(&mut response, &status, is_post);
        let method = if is_post { "Post" } else { "Get" };
        let name = format!("{subject}{method}{status}");
        components.responses.insert(name.clone(), response.into());
        let reference = RefOr::Ref(component("responses", &name));
        operation.responses.responses.insert(status, reference);
    }
}

/// Adds the headers that a reply with this status has.
fn refer_to_headers(response: &mut Response, status: &str, is_post: bool) {
    for [name, header, _] in HEADERS {
        let applies = match name {
            "RateLimit" | "RateLimit-Policy" => status != "401",
            "Retry-After" => ["409", "429", "503"].contains(&status),
            "Idempotent-Replayed" => status == "200" && is_post,
            "WWW-Authenticate" => status == "401",
            _ => true,
        };
        if applies {
            let reference = RefOr::Ref(component("headers", header));
            response.headers.insert(name.to_owned(), reference);
        }
    }
}

fn component(kind: &str, name: &str) -> Ref {
    Ref::new(format!("#/components/{kind}/{name}"))
}
