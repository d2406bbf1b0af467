//! The SQL type of each Rust type that statements bind and read, so that a statement or a row names no SQL types.

use chrono::{DateTime, Utc};
use diesel::sql_types::{
    Array, BigInt, Binary, Bool, Double, Integer, Jsonb, Nullable, SmallInt, Text, Timestamptz,
    Uuid as SqlUuid,
};
use khata_domain::events::{DeliveryState, DisabledBy, EndpointId, EventId, EventName, Payload};
use khata_domain::validation::{AttemptState, FailureCode, Outcome};
use khata_domain::{
    AccountId, AccountKind, AccountStatus, Class, CustomerId, GatewayAccountId, KeyId, MerchantId,
    Method, PendingReason, ValidationId, ValidationState,
};

/// A value of a column or a parameter.
pub trait Column {
    type Sql: 'static;
}

impl<T: Column + ?Sized> Column for &T {
    type Sql = T::Sql;
}

impl<T: Column> Column for Option<T> {
    type Sql = Nullable<T::Sql>;
}

macro_rules! columns {
    ($($sql:ty: $($rust:ty),+;)+) => {
        $($(impl Column for $rust {
            type Sql = $sql;
        })+)+
    };
}

columns! {
    BigInt: i64;
    Binary: [u8], Vec<u8>;
    Bool: bool;
    Double: f64;
    Integer: i32;
    Jsonb: serde_json::Value;
    SmallInt: i16;
    Text: str, String, AccountKind, AccountStatus, AttemptState, Class, DeliveryState, DisabledBy, EventName, FailureCode, Method,
        Outcome, Payload, PendingReason, ValidationState;
    Timestamptz: DateTime<Utc>;
    SqlUuid: uuid::Uuid, AccountId, CustomerId, EndpointId, EventId, GatewayAccountId, KeyId, MerchantId, ValidationId;
    Array<Text>: Vec<String>, Vec<EventName>;
    Array<SqlUuid>: [AccountId], [EventId], [GatewayAccountId], [MerchantId], [ValidationId], Vec<AccountId>, Vec<ValidationId>;
}

macro_rules! tuples {
    ($(($($name:ident),+))+) => {
        $(impl<$($name: Column),+> Column for ($($name),+) {
            type Sql = ($($name::Sql),+);
        })+
    };
}

tuples! { (A, B) (A, B, C) (A, B, C, D) (A, B, C, D, E) }

/// Declares structs that the rows of a statement are read into by the names of the columns; `#[diesel(column_name = …)]`
/// names a column that is not called as its field.
macro_rules! row {
    ($($(#[$attribute:meta])* $visibility:vis struct $name:ident {
        $($(#[$field_attribute:meta])* $field_visibility:vis $field:ident: $type:ty,)+
    })+) => {$(
        #[derive(diesel::QueryableByName)]
        $(#[$attribute])*
        $visibility struct $name {$(
            $(#[$field_attribute])*
            #[diesel(sql_type = <$type as $crate::column::Column>::Sql)]
            $field_visibility $field: $type,
        )+}
    )+};
}
pub(super) use row;
