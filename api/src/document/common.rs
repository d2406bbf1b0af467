//! The parts that all calls share: the key, request headers, reply headers. Each part is defined once, under `components`.

use utoipa::Modify;
use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::path::{Operation, ParameterBuilder, ParameterIn};
use utoipa::openapi::schema::{Components, ObjectBuilder, Type};
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{OpenApi, Ref, RefOr, Required};

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

/// Reply headers: name, component, type, description.
const HEADERS: [(&str, &str, Type, &str); 7] = [
    (
        "x-request-id",
        "RequestId",
        Type::String,
        "Your `x-request-id`, or a new one.",
    ),
    (
        "traceresponse",
        "TraceResponse",
        Type::String,
        "W3C trace context of this call.",
    ),
    (
        "RateLimit-Policy",
        "RateLimitPolicy",
        Type::String,
        "Request limit of this key (draft-ietf-httpapi-ratelimit-headers).",
    ),
    (
        "RateLimit",
        "RateLimit",
        Type::String,
        "Requests left in the current window.",
    ),
    (
        "Retry-After",
        "RetryAfter",
        Type::Integer,
        "Seconds to wait before trying again.",
    ),
    (
        "Idempotent-Replayed",
        "IdempotentReplayed",
        Type::String,
        "`true` if this is the reply to the first call with this key.",
    ),
    (
        "WWW-Authenticate",
        "WwwAuthenticate",
        Type::String,
        "HTTP Basic.",
    ),
];

fn add_headers(components: &mut Components) {
    for (_, component, of, description) in HEADERS {
        let schema = ObjectBuilder::new().schema_type(of).build();
        let header = HeaderBuilder::new()
            .schema(Some(schema))
            .description(Some(description))
            .build();
        components
            .headers
            .insert(component.to_owned(), header.into());
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
        let RefOr::T(whole) = response else {
            continue;
        };
        for (name, header, ..) in HEADERS {
            let applies = match name {
                "RateLimit" | "RateLimit-Policy" => status != "401",
                "Retry-After" => ["409", "429", "503"].contains(&status.as_str()),
                "Idempotent-Replayed" => status == "200" && is_post,
                "WWW-Authenticate" => status == "401",
                _ => true,
            };
            if applies {
                let reference = RefOr::Ref(component("headers", header));
                whole.headers.insert(name.to_owned(), reference);
            }
        }
        if status.starts_with(['4', '5']) {
            let of = if is_post { "Post" } else { "Get" };
            let name = format!("{of}{status}");
            components.responses.insert(name.clone(), response.clone());
            *response = RefOr::Ref(component("responses", &name));
        }
    }
}

fn component(kind: &str, name: &str) -> Ref {
    Ref::new(format!("#/components/{kind}/{name}"))
}
