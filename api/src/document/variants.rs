//! Names each variant of a schema that is one of several objects with one member: generators of clients make a type of a named schema
//! only.

use utoipa::Modify;
use utoipa::openapi::schema::{OneOf, Schema};
use utoipa::openapi::{OpenApi, Ref, RefOr};

pub(super) struct Variants;

impl Modify for Variants {
    fn modify(&self, document: &mut OpenApi) {
        let components = document.components.get_or_insert_default();
        let mut named = Vec::new();
        for schema in components.schemas.values_mut() {
            if let RefOr::T(Schema::OneOf(one_of)) = schema {
                name_variants(one_of, &mut named);
            }
        }
        components.schemas.extend(named);
    }
}

/// Moves each object with one member to a schema that has the name of the member's type, with `Member`.
fn name_variants(one_of: &mut OneOf, named: &mut Vec<(String, RefOr<Schema>)>) {
    for variant in &mut one_of.items {
        let RefOr::T(Schema::Object(object)) = &*variant else {
            continue;
        };
        let mut members = object.properties.values();
        let (Some(RefOr::Ref(member)), None) = (members.next(), members.next()) else {
            continue;
        };
        let Some((_, of)) = member.ref_location.rsplit_once('/') else {
            continue;
        };
        let name = format!("{of}Member");
        let reference = Ref::from_schema_name(&name);
        named.push((name, std::mem::replace(variant, reference.into())));
    }
}
