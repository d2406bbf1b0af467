//! Faults of fields: which field, a code for programs, and a reason for developers.

use khata_domain::words;
use khata_present::named_schema;
use khata_present::schema::enum_of;
use serde::Serialize;
use utoipa::ToSchema;

/// Most faults that a reply lists. One more is collected, to know that there are more.
pub(crate) const MAX_FAULTS: usize = 100;

words! {
    /// Kind of a field error, for programs.
    FaultCode {
        Required = "required",
        Unknown = "unknown",
        Duplicate = "duplicate",
        Type = "type",
        Format = "format",
        TooLong = "too_long",
        OutOfRange = "out_of_range",
        Placeholder = "placeholder",
        Conflict = "conflict",
        Encoding = "encoding",
        NotFound = "not_found",
        Limit = "limit",
    }
}

named_schema! {
    pub(crate) FieldErrorCode = enum_of("What is wrong with the field. `required`: it is missing. `unknown`: the call has no such field or parameter. `duplicate`: it is given twice, or the same account is. `type`: the value has another JSON type. `format`: the value does not have the field's form. `too_long`: it has too many characters, bytes or items. `out_of_range`: a number or a time beyond its range. `placeholder`: a program put it in place of a value that it did not have. `conflict`: it excludes another field of the call, or requires one that is missing. `encoding`: the body cannot be decoded to one meaning. `not_found`: it names what you do not have, or what is not listed. `limit`: a limit is reached.", FaultCode::ALL.iter().map(|one| one.as_str()));
}

/// A field and its problem.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = FieldError)]
pub(crate) struct FieldFault {
    /// As the merchant wrote it: `bank_account_details[1].ifsc`.
    #[schema(example = "bank_account_details[1].ifsc")]
    pub(crate) field_name: String,
    #[schema(value_type = FieldErrorCode)]
    pub(crate) code: FaultCode,
    /// Continues a sentence that begins with the field's name.
    #[schema(example = "is required")]
    pub(crate) reason: String,
}

impl FieldFault {
    pub(crate) fn new(
        field_name: impl Into<String>,
        code: FaultCode,
        reason: impl Into<String>,
    ) -> Self {
        Self {
            field_name: field_name.into(),
            code,
            reason: reason.into(),
        }
    }
}

/// Faults of a call. Those beyond the most that a reply lists are dropped.
#[derive(Debug, Default)]
pub(crate) struct Faults(Vec<FieldFault>);

impl Faults {
    pub(crate) fn push(
        &mut self,
        field_name: impl Into<String>,
        code: FaultCode,
        reason: impl Into<String>,
    ) {
        if !self.is_full() {
            self.0.push(FieldFault::new(field_name, code, reason));
        }
    }

    /// Whether a reply cannot list more faults, so that reading on has no use.
    pub(crate) fn is_full(&self) -> bool {
        self.0.len() > MAX_FAULTS
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn into_list(self) -> Vec<FieldFault> {
        self.0
    }

    /// The faults, if there are any.
    pub(crate) fn check(self) -> Result<(), Vec<FieldFault>> {
        if self.is_empty() { Ok(()) } else { Err(self.0) }
    }
}

/// The first fault as a sentence, and how many more there are.
pub(crate) fn summary(faults: &[FieldFault]) -> String {
    let Some((first, more)) = faults.split_first() else {
        return String::new();
    };
    let first = format!("{} {}", first.field_name, first.reason);
    let is_whole = first.ends_with(['?', '.']);
    let more = match more.len() {
        0 if is_whole => return first,
        0 => return format!("{first}."),
        1 => "1 more field error".to_owned(),
        more if faults.len() <= MAX_FAULTS => format!("{more} more field errors"),
        _ => format!("more than {} more field errors", MAX_FAULTS - 1),
    };
    let mark = if is_whole { "" } else { ";" };
    format!("{first}{mark} {more}.")
}
