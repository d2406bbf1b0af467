//! The request fields and bodies of the account calls. A new field is defined here and listed in its bodies.

use chrono::{DateTime, Utc};
use khata_domain::account::Fault;
use khata_domain::{AccountNumber, BankCode, BeneficiaryName, Ifsc, Vpa};
use serde_json::{Value, json};
use utoipa::PartialSchema;

use super::field::{
    Encoding, Field, Member, Rule, TextField, named_schema, object, object_within, one_of,
    optional, required,
};
use super::words::Metadata;

/// Accounts in one call (contract, *Limits*).
pub(crate) const MAX_ACCOUNTS: usize = 100;
/// Limits of `metadata`: members, characters of a key, characters of a value.
pub(crate) const MAX_METADATA: usize = 20;
pub(crate) const MAX_METADATA_KEY: usize = 40;
pub(crate) const MAX_METADATA_VALUE: usize = 500;
const MAX_PURPOSE: usize = 250;
const REFERENCE_PATTERN: &str = "^[!-~]{1,128}$";

pub(crate) static IFSC: TextField<Ifsc> = TextField {
    field: Field {
        name: "ifsc",
        rule: Rule::Pattern("^[A-Z]{4}0[A-Z0-9]{6}$"),
        description: "IFSC of the branch. It is trimmed and upper-cased.",
        example: "AABF0008032",
    },
    parse: Ifsc::parse,
};

pub(crate) static ACCOUNT_NUMBER: TextField<AccountNumber> = TextField {
    field: Field {
        name: "account_number",
        rule: Rule::Pattern("^[A-Za-z0-9]{5,35}$"),
        description: "Taken literally: leading zeros count.",
        example: "026291800001191",
    },
    parse: AccountNumber::parse,
};

pub(crate) static BENEFICIARY_NAME: TextField<BeneficiaryName> = TextField {
    field: Field {
        name: "beneficiary_name",
        rule: Rule::Length(1..=120),
        description: "The account holder's name as you know it.",
        example: "test",
    },
    parse: BeneficiaryName::parse,
};

pub(crate) static BANK_CODE: TextField<BankCode> = TextField {
    field: Field {
        name: "bank_code",
        rule: Rule::Pattern("^(JP_[A-Za-z0-9_]{1,29}|[0-9]{1,32})$"),
        description: "`JP_…` or digits; echoed. Next to arrays: the default for their bank accounts.",
        example: "12",
    },
    parse: BankCode::parse,
};

pub(crate) static VPA: TextField<Vpa> = TextField {
    field: Field {
        name: "vpa",
        rule: Rule::PatternUpTo("^[A-Za-z0-9._-]{2,}@[A-Za-z][A-Za-z0-9.-]*$", 255),
        description: "UPI address. It is lower-cased.",
        example: "9164326296@upi",
    },
    parse: Vpa::parse,
};

pub(crate) static BANK_ACCOUNTS: Field = Field {
    name: "bank_account_details",
    rule: Rule::List("BankItem", MAX_ACCOUNTS),
    description: "Bank accounts; in a form, the JSON text of the array.",
    example: "",
};

pub(crate) static UPI_ADDRESSES: Field = Field {
    name: "upi_details",
    rule: Rule::List("UpiItem", MAX_ACCOUNTS),
    description: "UPI addresses; in a form, the JSON text of the array.",
    example: "",
};

pub(crate) static CREATE_COMMAND: Field = Field {
    name: "command",
    rule: Rule::Words(&["create", "validate"]),
    description: "`validate` waits for the outcomes.",
    example: "",
};

static DELETE_COMMAND: Field = Field {
    name: "command",
    rule: Rule::Words(&["delete"]),
    description: "",
    example: "",
};

pub(crate) static WAIT_SECONDS: Field = Field {
    name: "wait_seconds",
    rule: Rule::Number(0..=30),
    description: "Seconds to wait for the outcomes; default 10. *Create* accepts it only with `command=validate`.",
    example: "",
};

pub(crate) static GATEWAY_ID: Field = Field {
    name: "gateway_id",
    rule: Rule::Number(1..=i16::MAX as i64),
    description: "Id of the gateway to validate with: {gateways}. *Validate again* without it uses the gateway that the account was created with.",
    example: "",
};

pub(crate) static GATEWAY_REFERENCE_ID: TextField<String> = TextField {
    field: Field {
        name: "gateway_reference_id",
        rule: Rule::Pattern(REFERENCE_PATTERN),
        description: "Which of your accounts at that gateway; requires `gateway_id`.",
        example: "",
    },
    parse: |text| {
        let valid = (1..=128).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic());
        valid
            .then(|| text.to_owned())
            .ok_or(Fault("must be 1 to 128 visible ASCII characters"))
    },
};

pub(crate) static FRESH: Field = Field {
    name: "fresh",
    rule: Rule::Flag,
    description: "Call a gateway even if an earlier result could be reused; default false.",
    example: "",
};

pub(crate) static METADATA: Field = Field {
    name: "metadata",
    rule: Rule::Inline(Metadata::schema),
    description: "",
    example: "",
};

pub(crate) static CONSENT: Field = Field {
    name: "consent",
    rule: Rule::Object("ConsentBody"),
    description: "",
    example: "",
};

pub(crate) static CONSENT_OBTAINED: Field = Field {
    name: "consent.obtained",
    rule: Rule::Flag,
    description: "Whether the payee agreed to the validation. Send all three consent fields or none.",
    example: "",
};

pub(crate) static CONSENT_PURPOSE: TextField<String> = TextField {
    field: Field {
        name: "consent.purpose",
        rule: Rule::Length(1..=MAX_PURPOSE),
        description: "",
        example: "payout verification",
    },
    parse: |text| {
        let valid = (1..=MAX_PURPOSE).contains(&text.chars().count())
            && !text.chars().any(char::is_control);
        valid.then(|| text.to_owned()).ok_or(Fault(
            "must be 1 to 250 characters without control characters",
        ))
    },
};

pub(crate) static CONSENT_TIMESTAMP: TextField<DateTime<Utc>> = TextField {
    field: Field {
        name: "consent.timestamp",
        rule: Rule::Time,
        description: "Must not be in the future.",
        example: "2025-10-27T09:24:36Z",
    },
    parse: |text| {
        DateTime::parse_from_rfc3339(text)
            .map(|time| time.to_utc())
            .map_err(|_| Fault("must be an RFC 3339 time"))
    },
};

fn bank_account() -> Vec<Member> {
    vec![
        required(&IFSC),
        required(&ACCOUNT_NUMBER),
        optional(&BENEFICIARY_NAME),
        optional(&BANK_CODE),
    ]
}

/// The fields that apply to every validation a call starts.
fn options(encoding: Encoding) -> Vec<Member> {
    let mut options = vec![
        optional(&GATEWAY_ID),
        optional(&GATEWAY_REFERENCE_ID),
        optional(&FRESH),
    ];
    match encoding {
        Encoding::Json => options.push(optional(&CONSENT)),
        Encoding::Form => options.extend([
            optional(&CONSENT_OBTAINED),
            optional(&CONSENT_PURPOSE),
            optional(&CONSENT_TIMESTAMP),
        ]),
    }
    options
}

/// The members of a create call for these accounts.
fn create_members(encoding: Encoding, mut accounts: Vec<Member>) -> Vec<Member> {
    accounts.extend([optional(&CREATE_COMMAND), optional(&WAIT_SECONDS)]);
    accounts.extend(options(encoding));
    if encoding == Encoding::Json {
        accounts.push(optional(&METADATA));
    }
    accounts
}

fn validate_members(encoding: Encoding) -> Vec<Member> {
    let mut members = vec![optional(&WAIT_SECONDS)];
    members.extend(options(encoding));
    members
}

fn example() -> Option<Value> {
    Some(
        json!({ "ifsc": "AABF0008032", "account_number": "026291800001191", "beneficiary_name": "test" }),
    )
}

named_schema!(
    BankItem,
    object(Encoding::Json, "A bank account.", None, &bank_account())
);
named_schema!(
    UpiItem,
    object(Encoding::Json, "A UPI address.", None, &[required(&VPA)])
);
named_schema!(
    ConsentBody,
    object_within(
        "consent.",
        Encoding::Json,
        "Proof that the payee agreed to the validation.",
        None,
        &[
            required(&CONSENT_OBTAINED),
            required(&CONSENT_PURPOSE),
            required(&CONSENT_TIMESTAMP)
        ]
    )
);
named_schema!(
    CreateAccountsForm,
    object(
        Encoding::Form,
        "Either the fields of one account (`ifsc`, `account_number`, `beneficiary_name`, `bank_code`, or `vpa`), or the arrays `bank_account_details` and `upi_details` as JSON text or in the indexed form `bank_account_details[0][ifsc]=…`. `metadata.<name>=<value>` is echoed: at most 20, name 1–40 characters, value at most 500.",
        Some(
            json!({ "ifsc": "AABF0008032", "account_number": "026291800001191", "beneficiary_name": "test", "bank_code": "12" })
        ),
        &create_members(
            Encoding::Form,
            vec![
                optional(&IFSC),
                optional(&ACCOUNT_NUMBER),
                optional(&BENEFICIARY_NAME),
                optional(&BANK_CODE),
                optional(&VPA),
                optional(&BANK_ACCOUNTS),
                optional(&UPI_ADDRESSES),
            ]
        )
    )
);
named_schema!(
    OneBankAccount,
    object(
        Encoding::Json,
        "One bank account.",
        None,
        &create_members(Encoding::Json, bank_account())
    )
);
named_schema!(
    OneUpiAddress,
    object(
        Encoding::Json,
        "One UPI address.",
        None,
        &create_members(Encoding::Json, vec![required(&VPA)])
    )
);
named_schema!(
    ManyAccounts,
    object(
        Encoding::Json,
        "Up to 100 accounts in total, at least one.",
        None,
        &create_members(
            Encoding::Json,
            vec![
                optional(&BANK_ACCOUNTS),
                optional(&UPI_ADDRESSES),
                optional(&BANK_CODE)
            ]
        )
    )
);
named_schema!(
    CreateAccountsJson,
    one_of(
        "One account in flat fields, or many in arrays.",
        Some(json!({
            "bank_account_details": [example()],
            "upi_details": [{ "vpa": "9164326296@upi" }],
        })),
        &["OneBankAccount", "OneUpiAddress", "ManyAccounts"]
    )
);
named_schema!(
    BankAccountForm,
    object(
        Encoding::Form,
        "One bank account. `metadata.<name>=<value>` is echoed.",
        example(),
        &create_members(Encoding::Form, bank_account())
    )
);
named_schema!(
    ValidateForm,
    object(
        Encoding::Form,
        "Every field is optional.",
        None,
        &validate_members(Encoding::Form)
    )
);
named_schema!(
    ValidateJson,
    object(
        Encoding::Json,
        "Every field is optional.",
        None,
        &validate_members(Encoding::Json)
    )
);
named_schema!(
    DeleteBody,
    object(
        Encoding::Json,
        "What to do with the account.",
        None,
        &[required(&DELETE_COMMAND)]
    )
);
