//! The parts that all calls share: the key, request headers, reply headers. Each part is defined once, under `components`.

use utoipa::Modify;
use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::path::{Operation, ParameterBuilder, ParameterIn};
use utoipa::openapi::schema::{Components, ObjectBuilder, Type};
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{Content, OpenApi, Ref, RefOr, Required, Response, ResponseBuilder};

const KEY: &str = "api_key";
const ROUTING_ID: &str = "RoutingId";
const IDEMPOTENCY_KEY: &str = "IdempotencyKey";

pub(super) struct Common;

impl Modify for Common {
    fn modify(&self, document: &mut OpenApi) {
        let components = document.components.get_or_insert_default();
        let mut basic = Http::new(HttpAuthScheme::Basic);
        basic.description = Some("User name: the API key. Password: empty.".to_owned());
        components.add_security_scheme(KEY, SecurityScheme::Http(basic));
        add_headers(components);
        add_parameters(components);
        for (path, item) in &mut document.paths.paths {
            if path.starts_with("/health") || path == "/version" {
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
    [
        "x-request-id",
        "RequestId",
        "Your `x-request-id`, or a new one.",
    ],
    [
        "traceresponse",
        "TraceResponse",
        "W3C trace context of this call.",
    ],
    ["RateLimit-Policy", "RateLimitPolicy", RATE_LIMIT_POLICY],
    [
        "RateLimit",
        "RateLimit",
        "Requests left in the current window.",
    ],
    [
        "Retry-After",
        "RetryAfter",
        "Seconds to wait before trying again.",
    ],
    ["Idempotent-Replayed", "IdempotentReplayed", REPLAYED],
    ["WWW-Authenticate", "WwwAuthenticate", "HTTP Basic."],
];
const RATE_LIMIT_POLICY: &str = "Request limit of this key (draft-ietf-httpapi-ratelimit-headers).";
const REPLAYED: &str = "`true` if this is the reply to the first call with this key.";

/// Error replies: status, description for reads, description for writes. Empty: the call never fails so.
const ERRORS: [[&str; 3]; 11] = [
    [
        "400",
        "A field is missing or invalid. `error_info.fields` lists every problem.",
        INVALID_WRITE,
    ],
    ["401", UNAUTHORIZED, UNAUTHORIZED],
    ["404", NOT_FOUND, NOT_FOUND],
    ["408", "", "The request body did not arrive in time."],
    [
        "409",
        "",
        "The first call with this `Idempotency-Key` is still running, or the account is deleted.",
    ],
    ["413", "", "The request body is larger than 256 KiB."],
    ["415", "", "The body is neither a form nor JSON."],
    [
        "422",
        "",
        "The `Idempotency-Key` was used for another call.",
    ],
    [
        "429",
        "Too many requests with this key. See `Retry-After`.",
        TOO_MANY_WRITE,
    ],
    ["500", "Internal error.", "Internal error."],
    ["503", UNAVAILABLE, UNAVAILABLE],
];
const INVALID_WRITE: &str = "Invalid field, missing field, unknown command, gateway not configured, or customer already exists. See `error_info.code`.";
const UNAUTHORIZED: &str = "The key is missing, malformed, unknown, expired or revoked.";
const NOT_FOUND: &str = "Not found, or belongs to another merchant.";
const TOO_MANY_WRITE: &str =
    "Too many requests with this key, or too many validations of an account. See `Retry-After`.";
const UNAVAILABLE: &str = "The database cannot be reached. Nothing was stored. See `Retry-After`.";

fn add_headers(components: &mut Components) {
    for [name, component, description] in HEADERS {
        let of = if name == "Retry-After" {
            Type::Integer
        } else {
            Type::String
        };
        let schema = ObjectBuilder::new().schema_type(of).build();
        let header = HeaderBuilder::new()
            .schema(Some(schema))
            .description(Some(description));
        let header = header.build().into();
        components.headers.insert(component.to_owned(), header);
    }
}

fn add_parameters(components: &mut Components) {
    for (component, name, most, description) in [
        (
            ROUTING_ID,
            "x-routing-id",
            128,
            "Stored with the account and recorded on the trace.",
        ),
        (
            IDEMPOTENCY_KEY,
            "Idempotency-Key",
            255,
            "Repeating the call with the same key returns the first response for 24 hours, with `Idempotent-Replayed: true`.",
        ),
    ] {
        let text = ObjectBuilder::new()
            .schema_type(Type::String)
            .pattern(Some(format!("^[!-~]{{1,{most}}}$")))
            .build();
        let parameter = ParameterBuilder::new()
            .name(name)
            .parameter_in(ParameterIn::Header)
            .required(Required::False)
            .description(Some(description))
            .schema(Some(text))
            .build();
        components
            .parameters
            .insert(component.to_owned(), parameter.into());
    }
}

fn add_common_parts(components: &mut Components, operation: &mut Operation, is_post: bool) {
    operation.security = Some(vec![SecurityRequirement::new::<_, [&str; 0], &str>(
        KEY,
        [],
    )]);
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
    for [status, read, write] in ERRORS {
        let description = if is_post { write } else { read };
        if description.is_empty() {
            continue;
        }
        let content = Content::new(Some(Ref::from_schema_name("Error")));
        let mut response = ResponseBuilder::new()
            .description(description)
            .content("application/json", content)
            .build();
        refer_to_headers(&mut response, status, is_post);
        let name = format!("{}{status}", if is_post { "Post" } else { "Get" });
        components.responses.insert(name.clone(), response.into());
        let reference = RefOr::Ref(component("responses", &name));
        let responses = &mut operation.responses.responses;
        responses.insert(status.to_owned(), reference);
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
