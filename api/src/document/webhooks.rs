//! The section `webhooks` of the document: the call that Khata makes to an endpoint, by Standard Webhooks 1.0.0.

use khata_webhooks::{ATTEMPT_HEADER, ID_HEADER, SIGNATURE_HEADER, TIMESTAMP_HEADER};
use utoipa::Modify;
use utoipa::openapi::path::{
    HttpMethod, Operation, OperationBuilder, Parameter, ParameterBuilder, ParameterIn, PathItem,
    PathsBuilder,
};
use utoipa::openapi::request_body::RequestBodyBuilder;
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::security::SecurityRequirement;
use utoipa::openapi::{Content, OpenApi, Ref, Required, ResponseBuilder};

pub(super) struct Webhooks;

impl Modify for Webhooks {
    fn modify(&self, document: &mut OpenApi) {
        let event = PathItem::new(HttpMethod::Post, operation());
        document.webhooks = Some(PathsBuilder::new().path("event", event).build());
    }
}

/// Headers: name, type, description.
const HEADERS: [(&str, Type, &str); 4] = [
    (
        ID_HEADER,
        Type::String,
        "Id of the event: the same in every attempt and every replay. Handle each id once.",
    ),
    (
        TIMESTAMP_HEADER,
        Type::Integer,
        "Unix time of the attempt in seconds. Refuse a time that differs from yours by more than five minutes.",
    ),
    (
        SIGNATURE_HEADER,
        Type::String,
        "Signatures of id, time and body, with blanks between them. One that matches is enough: `v1,` and base64 of HMAC-SHA256; `v1a,` and base64 of an Ed25519 signature.",
    ),
    (
        ATTEMPT_HEADER,
        Type::Integer,
        "Number of the attempt, from 1.",
    ),
];
const EVENT: &str = "Khata sends each event to each endpoint that wants it, at least once. Verify the signature over the raw bytes of the body, reply with 2xx within ten seconds, and do the work afterwards. Another status, and no reply in time, is a failed attempt, which Khata repeats for 75 hours. The body is the same in every attempt. The events of an account arrive in the order of its versions, unless the endpoint has `is_ordered` `false`. If the endpoint has Basic credentials, the call has them in its `Authorization` header.";

fn operation() -> Operation {
    let body = RequestBodyBuilder::new()
        .description(Some("The event, with the payload of the endpoint."))
        .content(
            "application/json",
            Content::new(Some(Ref::from_schema_name("Event"))),
        )
        .required(Some(Required::True));
    OperationBuilder::new()
        .tag("Webhooks")
        .securities(Some(std::iter::empty::<SecurityRequirement>()))
        .summary(Some("Event"))
        .description(Some(EVENT))
        .operation_id(Some("event"))
        .parameters(Some(HEADERS.map(header)))
        .request_body(Some(body.build()))
        .response(
            "2XX",
            reply("The event is delivered. Khata does not read the body beyond 64 KiB."),
        )
        .response("410", reply("Khata disables the endpoint."))
        .response(
            "default",
            reply("The attempt failed; Khata makes another one later."),
        )
        .build()
}

fn header((name, of, description): (&str, Type, &str)) -> Parameter {
    ParameterBuilder::new()
        .name(name)
        .parameter_in(ParameterIn::Header)
        .required(Required::True)
        .description(Some(description))
        .schema(Some(ObjectBuilder::new().schema_type(of).build()))
        .build()
}

fn reply(description: &str) -> utoipa::openapi::Response {
    ResponseBuilder::new().description(description).build()
}
