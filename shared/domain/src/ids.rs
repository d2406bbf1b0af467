//! Ids: UUIDs v7 (time-ordered, 74 random bits), shown to merchants as a prefix and 26 characters.

use std::fmt;

use chrono::{DateTime, Utc};
use uuid::Uuid;

/// Base 32 with digits before letters, so that the text sorts as the bytes do.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghijklmnopqrstuv";
/// Characters for 128 bits at five bits each.
const ENCODED_LENGTH: usize = 26;

/// The 26-character form of a UUID: lower-case base 32, order-preserving, URL-safe.
pub fn encode(id: Uuid) -> String {
    let bits = id.as_u128();
    (0..ENCODED_LENGTH)
        .rev()
        .map(|place| char::from(ALPHABET[((bits >> (place * 5)) & 31) as usize]))
        .collect()
}

/// Reads back what [`encode`] wrote; `None` for any other text, also for other UUID versions.
pub fn decode(text: &str) -> Option<Uuid> {
    if text.len() != ENCODED_LENGTH {
        return None;
    }
    let mut bits: u128 = 0;
    for (index, byte) in text.bytes().enumerate() {
        let digit = match byte {
            b'0'..=b'9' => byte - b'0',
            b'a'..=b'v' => byte - b'a' + 10,
            _ => return None,
        };
        // 26 × 5 = 130: the first character holds only the upper three of 128 bits.
        if index == 0 && digit > 7 {
            return None;
        }
        bits = (bits << 5) | u128::from(digit);
    }
    let id = Uuid::from_u128(bits);
    (id.get_version_num() == 7 && id.get_variant() == uuid::Variant::RFC4122).then_some(id)
}

/// Returns the smallest id of this time: a range of times becomes a range of ids.
pub fn first_at(time: DateTime<Utc>) -> Uuid {
    let millis = u64::try_from(time.timestamp_millis()).unwrap_or(0);
    uuid::Builder::from_unix_timestamp_millis(millis, &[0; 10]).into_uuid()
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[cfg_attr(
            feature = "diesel",
            derive(diesel::AsExpression, diesel::FromSqlRow),
            diesel(sql_type = diesel::sql_types::Uuid)
        )]
        pub struct $name(pub Uuid);

        impl $name {
            /// The prefix of the text.
            pub const PREFIX: &'static str = $prefix;

            /// A new id, later than every id made before in this process.
            #[allow(clippy::new_without_default)]
            pub fn new() -> Self {
                Self(Uuid::now_v7())
            }

            /// Parses the text of an id; `None` unless the form is exact.
            pub fn parse(text: &str) -> Option<Self> {
                text.strip_prefix($prefix).and_then(decode).map(Self)
            }

            /// Parses the text of an id, or the UUID that Postgres shows, for operators.
            pub fn parse_or_uuid(text: &str) -> Option<Self> {
                Self::parse(text).or_else(|| Uuid::try_parse(text).ok().map(Self))
            }
        }

        #[cfg(feature = "diesel")]
        impl diesel::serialize::ToSql<diesel::sql_types::Uuid, diesel::pg::Pg> for $name {
            fn to_sql<'b>(
                &'b self,
                out: &mut diesel::serialize::Output<'b, '_, diesel::pg::Pg>,
            ) -> diesel::serialize::Result {
                diesel::serialize::ToSql::<diesel::sql_types::Uuid, diesel::pg::Pg>::to_sql(&self.0, out)
            }
        }

        #[cfg(feature = "diesel")]
        impl diesel::deserialize::FromSql<diesel::sql_types::Uuid, diesel::pg::Pg> for $name {
            fn from_sql(value: diesel::pg::PgValue<'_>) -> diesel::deserialize::Result<Self> {
                diesel::deserialize::FromSql::<diesel::sql_types::Uuid, diesel::pg::Pg>::from_sql(value)
                    .map(Self)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}{}", $prefix, encode(self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
    };
}

id!(
    /// A merchant.
    MerchantId, "mrc_"
);
id!(
    /// A merchant's customer.
    CustomerId, "cst_"
);
id!(
    /// A customer's bank account or UPI address.
    AccountId, "banh_"
);
id!(
    /// One validation of an account.
    ValidationId, "val_"
);
id!(
    /// An event: one change of an account that Khata reports to its merchant.
    EventId, "evt_"
);
id!(
    /// A merchant's account at a gateway.
    GatewayAccountId, "gwa_"
);
id!(
    /// An API key. The id is not a secret and does not authenticate.
    KeyId, "key_"
);

id!(
    /// A merchant's webhook endpoint.
    EndpointId, "whe_"
);

/// Khata's reference for an attempt at a gateway, 31 characters `[a-z0-9_]`: the idempotency key or reference id there. Every
/// gateway accepts this length (RazorpayX at most 36, Cashfree 40 for `user_id` and 50 for `verification_id`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AttemptReference {
    pub validation: ValidationId,
    /// 1 for the first.
    pub number: i16,
}

impl AttemptReference {
    /// Parses a reference; `None` unless the form is exact.
    pub fn parse(text: &str) -> Option<Self> {
        let (id, number) = text.strip_prefix("kh")?.split_once('_')?;
        let digits = number.len() >= 2 && number.bytes().all(|b| b.is_ascii_digit());
        Some(Self {
            validation: ValidationId(decode(id)?),
            number: number.parse().ok().filter(|number| digits && *number > 0)?,
        })
    }
}

impl fmt::Display for AttemptReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "kh{}_{:02}", encode(self.validation.0), self.number)
    }
}

/// A validation and its merchant: the key of every row of a validation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[cfg_attr(feature = "diesel", derive(diesel::QueryableByName))]
pub struct ValidationKey {
    #[cfg_attr(
        feature = "diesel",
        diesel(column_name = merchant_id, sql_type = diesel::sql_types::Uuid)
    )]
    pub merchant: MerchantId,
    #[cfg_attr(
        feature = "diesel",
        diesel(column_name = validation_id, sql_type = diesel::sql_types::Uuid)
    )]
    pub id: ValidationId,
}

/// The merchant's reference for a customer: 1–128 visible ASCII characters.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct ObjectReferenceId(String);

impl ObjectReferenceId {
    pub const PATTERN: &'static str = "^[!-~]{1,128}$";
    pub const MAX_LENGTH: usize = 128;
    pub const MESSAGE: &'static str = "must be 1 to 128 visible ASCII characters";

    /// Parses the text unchanged; `None` if it breaks the rule.
    pub fn parse(text: &str) -> Option<Self> {
        let is_valid = (1..=Self::MAX_LENGTH).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_graphic());
        is_valid.then(|| Self(text.to_owned()))
    }

    /// Returns the text. The merchant may have chosen a phone number, so keep it out of spans and logs.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for ObjectReferenceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ObjectReferenceId(…)")
    }
}

/// A customer as a request names it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum CustomerRef {
    /// By Khata's id.
    Id(CustomerId),
    /// By the merchant's reference.
    Reference(ObjectReferenceId),
}

impl CustomerRef {
    /// Reads text in the exact form of a Khata id as an id, and any other visible ASCII as a reference.
    pub fn parse(text: &str) -> Option<Self> {
        CustomerId::parse(text)
            .map(Self::Id)
            .or_else(|| ObjectReferenceId::parse(text).map(Self::Reference))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn text_that_only_resembles_an_id_is_a_reference() {
        assert!(matches!(
            CustomerRef::parse("cst_wexxxxsfdkl"),
            Some(CustomerRef::Reference(_))
        ));
        let id = CustomerId::new();
        assert_eq!(
            CustomerRef::parse(&id.to_string()),
            Some(CustomerRef::Id(id))
        );
    }

    #[test]
    fn references_are_visible_ascii_of_bounded_length() {
        for good in ["customer_1122", "!", "a/b?c#%~", &"x".repeat(128)] {
            assert!(ObjectReferenceId::parse(good).is_some(), "{good}");
        }
        for bad in ["", "a b", "é", "a\u{0}", &"x".repeat(129)] {
            assert!(ObjectReferenceId::parse(bad).is_none(), "{bad:?}");
        }
    }

    #[test]
    fn only_exact_attempt_references_parse() {
        for number in [1, 7, 42, 100] {
            let reference = AttemptReference {
                validation: ValidationId::new(),
                number,
            };
            assert_eq!(
                AttemptReference::parse(&reference.to_string()),
                Some(reference)
            );
        }
        let id = encode(ValidationId::new().0);
        for bad in [
            format!("kh{id}"),
            format!("kh{id}_1"),
            format!("kh{id}_00"),
            format!("kh{id}_+1"),
            format!("xx{id}_01"),
            "kh_01".into(),
        ] {
            assert_eq!(AttemptReference::parse(&bad), None, "{bad}");
        }
    }

    #[test]
    fn operators_may_write_an_id_as_a_uuid() {
        let id = MerchantId::new();
        for text in [id.to_string(), id.0.to_string(), id.0.simple().to_string()] {
            assert_eq!(MerchantId::parse_or_uuid(&text), Some(id), "{text}");
        }
        assert_eq!(MerchantId::parse(&id.0.to_string()), None);
        for text in ["", "acme", "mrc_", &AccountId::new().to_string()] {
            assert_eq!(MerchantId::parse_or_uuid(text), None, "{text}");
        }
    }

    #[test]
    fn ids_of_a_time_are_not_below_its_first_id() {
        let before = Utc::now();
        let id = AccountId::new().0;
        assert!(first_at(before) <= id);
        assert!(first_at(Utc::now() + chrono::TimeDelta::milliseconds(1)) > id);
    }

    #[test]
    fn an_id_is_safe_in_a_url_and_ends_in_random_bits() {
        let ids: Vec<AccountId> = (0..1_000).map(|_| AccountId::new()).collect();
        for id in &ids {
            let text = id.to_string();
            assert!(text.len() == 31 && text.starts_with("banh_"), "{text}");
            assert!(
                text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_'),
                "{text}"
            );
        }
        // Most ids share one millisecond: the random bits must make them differ, not a counter alone.
        let ends: std::collections::HashSet<[u8; 4]> = ids
            .iter()
            .filter_map(|id| id.0.as_bytes().last_chunk().copied())
            .collect();
        assert!(ends.len() >= 999, "{} different ends", ends.len());
        let steps: std::collections::HashSet<u128> = ids
            .windows(2)
            .map(|pair| pair[1].0.as_u128().wrapping_sub(pair[0].0.as_u128()))
            .collect();
        assert!(steps.len() >= 998, "{} different steps", steps.len());
    }

    #[test]
    fn other_uuid_versions_are_rejected() {
        assert_eq!(decode(&encode(Uuid::new_v4())), None);
    }

    proptest! {
        #[test]
        fn text_parses_back_to_the_same_id(low in any::<u64>(), millis in 0u64..(1 << 48)) {
            let id = uuid::Builder::from_unix_timestamp_millis(millis, &low.to_be_bytes().repeat(2)[..10].try_into().unwrap()).into_uuid();
            let account = AccountId(id);
            prop_assert_eq!(AccountId::parse(&account.to_string()), Some(account));
        }

        #[test]
        fn text_sorts_like_the_id(a in 0u64..(1 << 48), b in 0u64..(1 << 48)) {
            let id = |m| uuid::Builder::from_unix_timestamp_millis(m, &[7; 10]).into_uuid();
            prop_assert_eq!(a.cmp(&b), encode(id(a)).cmp(&encode(id(b))));
        }

        #[test]
        fn the_published_pattern_of_references_accepts_what_parse_accepts(text in "[!-~]{0,140}|.{0,40}") {
            let pattern = regex::Regex::new(ObjectReferenceId::PATTERN).unwrap();
            prop_assert_eq!(ObjectReferenceId::parse(&text).is_some(), pattern.is_match(&text));
        }

        #[test]
        fn parsing_never_panics(text in ".{0,40}") {
            let _ = CustomerRef::parse(&text);
        }
    }
}
