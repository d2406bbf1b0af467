//! A request field: one definition parses the field and publishes its OpenAPI schema.
#![allow(deprecated, reason = "merchants' tools read `example`, not `examples`")]

use std::ops::{Deref, RangeInclusive};

use khata_domain::account::ValueError;
use khata_domain::text::prose_pattern;
use serde_json::Value;
use utoipa::openapi::schema::{
    AdditionalProperties, ArrayBuilder, OneOfBuilder, Schema, SchemaType, Type,
};
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
    /// Text that matches a regular expression; with a number, of at most this many characters.
    Pattern(&'static str, Option<usize>),
    /// The same, or an empty text.
    MayBeEmpty(&'static str, Option<usize>),
    /// Text in any script with this many characters after trimming.
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
    /// List of names of events; in a form, a text with commas between them.
    EventNames,
    /// Object of the named schema, in JSON only.
    Object(&'static str),
    /// Object of the named schema, whose members the merchant names; in a form, a field for each member.
    Open(&'static str),
    /// Any value that some clients send, and that is ignored.
    Ignored,
}

/// A field's name, rule and documentation.
#[derive(Debug)]
pub(crate) struct Field {
    pub(crate) name: &'static str,
    pub(crate) rule: Rule,
    /// `{gateways}` is replaced with the list of gateway ids. Empty: no description.
    pub(crate) description: &'static str,
    /// Empty: no example.
    pub(crate) example: &'static str,
}

/// A field whose text is parsed into a value.
pub(crate) struct TextField<T> {
    pub(crate) field: Field,
    pub(crate) parse: fn(&str) -> Result<T, ValueError>,
}

impl<T> Deref for TextField<T> {
    type Target = Field;

    fn deref(&self) -> &Field {
        &self.field
    }
}

/// `12 PAYU, 23 RAZORPAY, …`
fn gateway_ids() -> String {
    let named = khata_gateways::all().map(|info| {
        let sandbox = if info.sandbox_only { " (sandbox)" } else { "" };
        format!("{} {}{sandbox}", info.gateway.id(), info.gateway)
    });
    named.collect::<Vec<_>>().join(", ")
}

impl Field {
    /// Whether an empty text is a value of the field; elsewhere it means that the field is absent.
    pub(crate) fn may_be_empty(&self) -> bool {
        match &self.rule {
            Rule::MayBeEmpty(..) => true,
            Rule::Length(length) => *length.start() == 0,
            _ => false,
        }
    }

    /// Whether a form has a field for each member of this object, whose names the merchant chooses.
    fn is_open(&self) -> bool {
        matches!(self.rule, Rule::Open(_))
    }

    fn description(&self) -> Option<String> {
        let text = self.description;
        (!text.is_empty()).then(|| text.replace("{gateways}", &gateway_ids()))
    }

    fn example(&self) -> Option<Value> {
        (!self.example.is_empty()).then(|| Value::from(self.example))
    }

    /// The schema with this example; in JSON, an optional field may be null.
    fn schema(&self, encoding: Encoding, required: bool, example: Option<Value>) -> RefOr<Schema> {
        let nullable = encoding == Encoding::Json && !required;
        match &self.rule {
            Rule::Words(words) => {
                let words = words.iter().map(|word| Value::from(*word));
                let null = nullable.then_some(Value::Null);
                let words = ObjectBuilder::new().enum_values(Some(words.chain(null)));
                let words = words.schema_type(type_of(Type::String, nullable));
                words.description(self.description()).into()
            }
            Rule::Object(name) | Rule::Open(name) => {
                self.or_null(nullable, Ref::from_schema_name(*name).into())
            }
            Rule::List(item, most) if encoding == Encoding::Json => {
                self.array(nullable, item, Some(*most))
            }
            Rule::EventNames if encoding == Encoding::Json => {
                self.array(nullable, "EventChoice", None)
            }
            _ => self.scalar(nullable, required, example),
        }
    }

    /// An array of the named schema.
    fn array(&self, nullable: bool, item: &str, most: Option<usize>) -> RefOr<Schema> {
        let items = RefOr::<Schema>::Ref(Ref::from_schema_name(item));
        let list = ArrayBuilder::new().items(items).max_items(most);
        let list = list.schema_type(type_of(Type::Array, nullable));
        list.description(self.description()).into()
    }

    /// This schema or null. A schema that is never null has its own description.
    fn or_null(&self, nullable: bool, schema: RefOr<Schema>) -> RefOr<Schema> {
        if !nullable {
            return schema;
        }
        let null = ObjectBuilder::new().schema_type(Type::Null).build();
        let either = OneOfBuilder::new().item(schema).item(null);
        Schema::from(either.description(self.description()).build()).into()
    }

    fn scalar(&self, nullable: bool, required: bool, example: Option<Value>) -> RefOr<Schema> {
        let or_empty = |pattern: String| {
            let is_open = required && !self.may_be_empty() || pattern.starts_with("^$|");
            Some(if is_open {
                pattern
            } else {
                format!("^$|{pattern}")
            })
        };
        let known = |format| Some(SchemaFormat::KnownFormat(format));
        let of = match self.rule {
            Rule::Number(_) => Type::Integer,
            Rule::Flag => Type::Boolean,
            _ => Type::String,
        };
        let schema = ObjectBuilder::new()
            .schema_type(type_of(of, nullable))
            .description(self.description())
            .example(example);
        match &self.rule {
            Rule::Pattern(pattern, most) | Rule::MayBeEmpty(pattern, most) => schema
                .pattern(or_empty((*pattern).to_owned()))
                .max_length(*most),
            Rule::Length(length) => {
                schema.pattern(or_empty(prose_pattern(*length.start(), *length.end())))
            }
            Rule::Number(range) => schema
                .format(known(KnownFormat::Int32))
                .minimum(Some(*range.start()))
                .maximum(Some(*range.end())),
            Rule::Time => schema.format(known(KnownFormat::DateTime)),
            Rule::Ignored => schema.schema_type(SchemaType::AnyValue),
            _ => schema,
        }
        .into()
    }
}

fn type_of(of: Type, nullable: bool) -> SchemaType {
    if nullable {
        SchemaType::Array(vec![of, Type::Null])
    } else {
        SchemaType::Type(of)
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

/// The schema of an object with these members and no others; `metadata` permits the members of a form that begin with its name.
/// The fields of a form have the examples of the form's own example, so that all of them together make one call that works.
/// Where all names are dotted, they lose their first part: the schema of `consent` holds `consent.obtained` as `obtained`.
pub(crate) fn object(
    encoding: Encoding,
    description: &str,
    example: Option<Value>,
    members: &[Member],
) -> RefOr<Schema> {
    let example_of = |field: &Field| match (encoding, &example) {
        (Encoding::Form, Some(whole)) => whole.get(field.name).cloned(),
        (Encoding::Form, None) => None,
        (Encoding::Json, _) => field.example(),
    };
    let mut object = ObjectBuilder::new()
        .schema_type(Type::Object)
        .description(Some(description));
    let is_open = encoding == Encoding::Form && members.iter().any(|(field, _)| field.is_open());
    if !is_open {
        object = object.additional_properties(Some(AdditionalProperties::FreeForm(false)));
    }
    let is_group = members.iter().all(|(field, _)| field.name.contains('.'));
    for (field, required) in members {
        if is_open && field.is_open() {
            continue;
        }
        let dotted = field.name.split_once('.');
        let dotted = dotted.filter(|_| is_group);
        let name = dotted.map_or(field.name, |(_, name)| name);
        object = object.property(name, field.schema(encoding, *required, example_of(field)));
        if *required {
            object = object.required(name);
        }
    }
    object.example(example).into()
}

/// The schema of one of these named schemas.
pub(crate) fn one_of(
    description: &str,
    example: Option<Value>,
    names: &[&'static str],
) -> RefOr<Schema> {
    let one_of = OneOfBuilder::new().description(Some(description));
    let names = names.iter().map(|name| Ref::from_schema_name(*name));
    let one_of = names.fold(one_of.example(example), OneOfBuilder::item);
    Schema::from(one_of.build()).into()
}

/// Declares fields: name, rule, description; for a field with a value also example and parser.
macro_rules! fields {
    () => {};
    ($name:ident: $type:ty = $text:literal, $rule:expr, $description:literal, $example:literal, $parse:expr; $($rest:tt)*) => {
        pub(crate) static $name: TextField<$type> = TextField {
            field: Field { name: $text, rule: $rule, description: $description, example: $example },
            parse: $parse,
        };
        fields!($($rest)*);
    };
    ($name:ident = $text:literal, $rule:expr, $description:literal; $($rest:tt)*) => {
        pub(crate) static $name: Field =
            Field { name: $text, rule: $rule, description: $description, example: "" };
        fields!($($rest)*);
    };
}
pub(super) use fields;
