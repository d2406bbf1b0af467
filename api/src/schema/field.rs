//! A request field: one definition parses the field and publishes its OpenAPI schema.
#![allow(deprecated, reason = "merchants' tools read `example`, not `examples`")]

use std::ops::{Deref, RangeInclusive};

use khata_domain::Gateway;
use khata_domain::account::Fault;
use serde_json::Value;
use utoipa::openapi::schema::{AllOfBuilder, ArrayBuilder, OneOfBuilder, Schema, SchemaType, Type};
use utoipa::openapi::{KnownFormat, ObjectBuilder, Ref, RefOr, SchemaFormat};

/// The encoding of a request body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Encoding {
    /// `application/x-www-form-urlencoded`: every value is text, and there is no null.
    Form,
    /// `application/json`: null means the same as an absent field.
    Json,
}

/// The published rule of a field.
#[derive(Clone, Debug)]
pub(crate) enum Rule {
    /// Text that matches a regular expression.
    Pattern(&'static str),
    /// Text that matches a regular expression, of at most this many characters.
    PatternUpTo(&'static str, usize),
    /// Text with this many characters.
    Length(RangeInclusive<usize>),
    /// RFC 3339 time.
    Time,
    /// Whole number.
    Number(RangeInclusive<i64>),
    /// `true` or `false`.
    Flag,
    /// One of these words.
    Words(&'static [&'static str]),
    /// List of up to this many objects of the named schema; in a form, its JSON text.
    List(&'static str, usize),
    /// Object of the named schema, in JSON only.
    Object(&'static str),
    /// Object of this schema, in JSON only.
    Inline(fn() -> RefOr<Schema>),
}

/// A field's name, rule and documentation.
#[derive(Debug)]
pub(crate) struct Field {
    pub(crate) name: &'static str,
    pub(crate) rule: Rule,
    /// `{gateways}` stands for the list of gateway ids. Empty: no description.
    pub(crate) description: &'static str,
    /// Empty: no example.
    pub(crate) example: &'static str,
}

/// A field whose text is parsed into a value.
pub(crate) struct TextField<T> {
    pub(crate) field: Field,
    pub(crate) parse: fn(&str) -> Result<T, Fault>,
}

impl<T> Deref for TextField<T> {
    type Target = Field;

    fn deref(&self) -> &Field {
        &self.field
    }
}

/// `12 PAYU, 23 RAZORPAY, …`
fn gateway_ids() -> String {
    let named = Gateway::ALL.map(|gateway| {
        let sandbox = if gateway == Gateway::Dummy {
            " (sandbox)"
        } else {
            ""
        };
        format!("{} {}{sandbox}", gateway.id(), gateway.name())
    });
    named.join(", ")
}

impl Field {
    fn description(&self) -> Option<String> {
        (!self.description.is_empty())
            .then(|| self.description.replace("{gateways}", &gateway_ids()))
    }

    fn schema(&self, encoding: Encoding, required: bool) -> RefOr<Schema> {
        let nullable = encoding == Encoding::Json && !required;
        let or_null = |schema: RefOr<Schema>| -> RefOr<Schema> {
            if !nullable {
                return schema;
            }
            let null = ObjectBuilder::new().schema_type(Type::Null).build();
            let either = OneOfBuilder::new().item(schema).item(null);
            Schema::from(either.description(self.description()).build()).into()
        };
        let object = |of: Type| {
            let types = if nullable {
                SchemaType::Array(vec![of, Type::Null])
            } else {
                SchemaType::Type(of)
            };
            let example = (!self.example.is_empty()).then(|| Value::from(self.example));
            ObjectBuilder::new()
                .schema_type(types)
                .description(self.description())
                .example(example)
        };
        let text = || object(Type::String);
        match &self.rule {
            Rule::Pattern(pattern) => text().pattern(Some(*pattern)).into(),
            Rule::PatternUpTo(pattern, most) => text()
                .pattern(Some(*pattern))
                .max_length(Some(*most))
                .into(),
            Rule::Length(length) => {
                let least = Some(*length.start()).filter(|least| *least > 0);
                text()
                    .min_length(least)
                    .max_length(Some(*length.end()))
                    .into()
            }
            Rule::Time => text()
                .format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime)))
                .into(),
            Rule::Number(range) => object(Type::Integer)
                .format(Some(SchemaFormat::KnownFormat(KnownFormat::Int32)))
                .minimum(Some(*range.start()))
                .maximum(Some(*range.end()))
                .into(),
            Rule::Flag => object(Type::Boolean).into(),
            Rule::Words(words) => {
                let mut object = ObjectBuilder::new()
                    .schema_type(Type::String)
                    .enum_values(Some(words.iter().copied()));
                if !nullable {
                    object = object.description(self.description());
                }
                or_null(object.into())
            }
            Rule::List(..) if encoding == Encoding::Form => text().into(),
            Rule::List(item, most) => {
                let mut list = ArrayBuilder::new()
                    .items(RefOr::<Schema>::Ref(Ref::from_schema_name(*item)))
                    .description(self.description())
                    .max_items(Some(*most));
                if nullable {
                    list = list.schema_type(SchemaType::Array(vec![Type::Array, Type::Null]));
                }
                list.into()
            }
            Rule::Object(name) => or_null(Ref::from_schema_name(*name).into()),
            Rule::Inline(schema) => or_null(schema()),
        }
    }
}

/// A field of a body, and whether a call must send it.
pub(crate) type Member = (&'static Field, bool);

pub(crate) fn required(field: &'static Field) -> Member {
    (field, true)
}

pub(crate) fn optional(field: &'static Field) -> Member {
    (field, false)
}

/// The schema of an object with these members. A dotted name loses its first part: `consent.obtained` becomes `obtained` if
/// `within` is `consent.`.
pub(crate) fn object_within(
    within: &str,
    encoding: Encoding,
    description: &str,
    example: Option<Value>,
    members: &[Member],
) -> RefOr<Schema> {
    let mut object = ObjectBuilder::new()
        .schema_type(Type::Object)
        .description(Some(description))
        .example(example);
    for (field, required) in members {
        let name = field.name.strip_prefix(within).unwrap_or(field.name);
        object = object.property(name, field.schema(encoding, *required));
        if *required {
            object = object.required(name);
        }
    }
    object.into()
}

/// The schema of an object with these members.
pub(crate) fn object(
    encoding: Encoding,
    description: &str,
    example: Option<Value>,
    members: &[Member],
) -> RefOr<Schema> {
    object_within("", encoding, description, example, members)
}

/// The schema of one of these named schemas.
pub(crate) fn one_of(
    description: &str,
    example: Option<Value>,
    names: &[&'static str],
) -> RefOr<Schema> {
    let mut one_of = OneOfBuilder::new()
        .description(Some(description))
        .example(example);
    for name in names {
        one_of = one_of.item(Ref::from_schema_name(*name));
    }
    Schema::from(one_of.build()).into()
}

/// The schema of an object that has the members of each of these.
pub(crate) fn all_of(description: &str, schemas: [RefOr<Schema>; 2]) -> RefOr<Schema> {
    let mut all_of = AllOfBuilder::new().description(Some(description));
    for schema in schemas {
        all_of = all_of.item(schema);
    }
    Schema::from(all_of.build()).into()
}

/// Declares a type that stands for a named schema.
macro_rules! named_schema {
    ($name:ident, $schema:expr) => {
        pub(crate) struct $name;

        impl utoipa::PartialSchema for $name {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
                $schema
            }
        }

        impl utoipa::ToSchema for $name {}
    };
}
pub(crate) use named_schema;
