//! What all calls have in common, added to each: the key, the headers that may be sent, the headers that are answered. What
//! recurs stands once, under `components`.

use utoipa::Modify;
use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::path::{Operation, ParameterBuilder, ParameterIn};
use utoipa::openapi::schema::{Components, ObjectBuilder, SchemaType, Type};
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{OpenApi, Ref, RefOr, Required, Schema};

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
        for (name, schema) in &mut components.schemas {
            if super::FORMS.contains(&name.as_str()) {
                never_null(schema);
            }
        }
        for (path, item) in &mut document.paths.paths {
            if path.starts_with("/health") || path == "/version" {
                continue;
            }
            if let Some(operation) = &mut item.get {
                complete(components, operation, false);
            }
            if let Some(operation) = &mut item.post {
                complete(components, operation, true);
            }
        }
    }
}

/// Headers of answers: name, component, type, description.
const HEADERS: [(&str, &str, Type, &str); 7] = [
    (
        "x-request-id",
        "RequestId",
        Type::String,
        "Yours, if you sent one; else a new one.",
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
        "What this key may do (draft-ietf-httpapi-ratelimit-headers).",
    ),
    (
        "RateLimit",
        "RateLimit",
        Type::String,
        "What is left of it.",
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
        "`true` where this is the answer to the first call with this key.",
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
            "Kept with the account and on the trace.",
        ),
        (
            IDEMPOTENCY_KEY,
            "Idempotency-Key",
            255,
            "The same key with the same call answers what the first one did, for 24 hours, with `Idempotent-Replayed: true`.",
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

fn complete(components: &mut Components, operation: &mut Operation, is_post: bool) {
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
            let stands = match name {
                "RateLimit" | "RateLimit-Policy" => status != "401",
                "Retry-After" => ["409", "429", "503"].contains(&status.as_str()),
                "Idempotent-Replayed" => status == "200" && is_post,
                "WWW-Authenticate" => status == "401",
                _ => true,
            };
            if stands {
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

/// A form has no null. In JSON it means what leaving the field out means.
fn never_null(schema: &mut RefOr<Schema>) {
    if let RefOr::T(Schema::OneOf(one)) = schema {
        one.items.retain(|item| {
            !matches!(item, RefOr::T(Schema::Object(object)) if object.schema_type == SchemaType::Type(Type::Null))
        });
        if let [only] = one.items.as_slice() {
            *schema = only.clone();
        }
    }
    let RefOr::T(schema) = schema else {
        return;
    };
    let not_null = |of: &mut SchemaType| {
        if let SchemaType::Array(types) = of {
            types.retain(|one| *one != Type::Null);
            if let [only] = types.as_slice() {
                *of = SchemaType::Type(only.clone());
            }
        }
    };
    match schema {
        Schema::Object(object) => {
            not_null(&mut object.schema_type);
            object.properties.values_mut().for_each(never_null);
        }
        Schema::Array(array) => not_null(&mut array.schema_type),
        Schema::OneOf(one) => one.items.iter_mut().for_each(never_null),
        Schema::AllOf(all) => all.items.iter_mut().for_each(never_null),
        _ => {}
    }
}
