//! The accounts that the demo posts, with their known outcomes.

/// A call that creates one account, and its expected result.
#[derive(Clone, Copy)]
pub(crate) struct Sample {
    /// Meaning of the example.
    pub(crate) what: &'static str,
    /// The account in masked form.
    pub(crate) masked: &'static str,
    /// The gateway that gives the outcome.
    pub(crate) gateway: &'static str,
    /// The form of the call.
    pub(crate) form: &'static [(&'static str, &'static str)],
    /// Final status.
    pub(crate) status: &'static str,
    /// `validation.failure.code`; empty unless the account fails.
    pub(crate) failure: &'static str,
}

/// The create page's own example, Cashfree's published test data, and the built-in dummy gateway.
const EXAMPLES: [Sample; 11] = [
    Sample {
        what: "the API page's example",
        masked: "XXXXXXX1191 AABF0008032",
        gateway: "CASHFREE",
        form: &[
            ("ifsc", "AABF0008032"),
            ("account_number", "026291800001191"),
            ("beneficiary_name", "test"),
        ],
        status: "ACTIVE",
        failure: "",
    },
    Sample {
        what: "its UPI example",
        masked: "91***@upi",
        gateway: "CASHFREE",
        form: &[("vpa", "9164326296@upi")],
        status: "ACTIVE",
        failure: "",
    },
    Sample {
        what: "Cashfree's test data: valid",
        masked: "XXXXXXX1191 YESB0000262",
        gateway: "CASHFREE",
        form: &[
            ("ifsc", "YESB0000262"),
            ("account_number", "026291800001191"),
            ("beneficiary_name", "John Doe"),
        ],
        status: "ACTIVE",
        failure: "",
    },
    Sample {
        what: "  no such account",
        masked: "XXXXXXX1190 YESB0000262",
        gateway: "CASHFREE",
        form: &[
            ("ifsc", "YESB0000262"),
            ("account_number", "026291800001190"),
        ],
        status: "FAILURE",
        failure: "INVALID_ACCOUNT",
    },
    Sample {
        what: "  no such branch",
        masked: "XXXXXXX7890 ICIC0000001",
        gateway: "CASHFREE",
        form: &[("ifsc", "ICIC0000001"), ("account_number", "1234567890")],
        status: "FAILURE",
        failure: "INVALID_IFSC",
    },
    Sample {
        what: "  blocked",
        masked: "XXXXXXX9884 RATN0000070",
        gateway: "CASHFREE",
        form: &[("ifsc", "RATN0000070"), ("account_number", "7766667989884")],
        status: "FAILURE",
        failure: "ACCOUNT_BLOCKED",
    },
    Sample {
        what: "  a non-resident's",
        masked: "XXXXXXX5761 ICIC0000001",
        gateway: "CASHFREE",
        form: &[("ifsc", "ICIC0000001"), ("account_number", "7766667755761")],
        status: "FAILURE",
        failure: "NRE_ACCOUNT",
    },
    Sample {
        what: "  pending, then valid",
        masked: "XXXXXXX1300 YESB0000001",
        gateway: "CASHFREE",
        form: &[
            ("ifsc", "YESB0000001"),
            ("account_number", "00224412311300"),
        ],
        status: "ACTIVE",
        failure: "",
    },
    Sample {
        what: "  UPI, by penny drop",
        masked: "su***@upi",
        gateway: "CASHFREE",
        // A UPI address gets a penny drop only with the payee's consent.
        form: &[
            ("vpa", "success@upi"),
            ("consent.obtained", "true"),
            ("consent.purpose", "payouts"),
            ("consent.timestamp", "2026-01-01T00:00:00Z"),
        ],
        status: "ACTIVE",
        failure: "",
    },
    Sample {
        what: "  UPI, no such address",
        masked: "in***@upi",
        gateway: "CASHFREE",
        form: &[("vpa", "invalid@upi")],
        status: "FAILURE",
        failure: "INVALID_VPA",
    },
    Sample {
        what: "named gateway: DUMMY",
        masked: "XXXXXXX5692 AABF0008032",
        gateway: "DUMMY",
        // The last two digits give the outcome: 92 is pending for two seconds, then valid.
        form: &[
            ("ifsc", "AABF0008032"),
            ("account_number", "00012345692"),
            ("beneficiary_name", "Asha Rao"),
            ("gateway_id", "100"),
        ],
        status: "ACTIVE",
        failure: "",
    },
];

/// Calls that name a gateway: an account that the gateway finds, one that it does not, and one that is pending for a
/// moment. The endings of the numbers have the same meaning at every gateway of the sandbox (sandbox/README.md).
macro_rules! at {
    ($id:literal, $gateway:literal) => {
        [
            Sample {
                what: concat!($gateway, ": valid"),
                masked: "XXXXXXX0001 HDFC0000001",
                gateway: $gateway,
                form: &[
                    ("ifsc", "HDFC0000001"),
                    ("account_number", "600000000001"),
                    ("beneficiary_name", "Asha Rao"),
                    ("gateway_id", $id),
                ],
                status: "ACTIVE",
                failure: "",
            },
            Sample {
                what: "  no such account",
                masked: "XXXXXXX9931 HDFC0000001",
                gateway: $gateway,
                form: &[
                    ("ifsc", "HDFC0000001"),
                    ("account_number", "600099009931"),
                    ("gateway_id", $id),
                ],
                status: "FAILURE",
                failure: "INVALID_ACCOUNT",
            },
            Sample {
                what: "  pending, then valid",
                masked: "XXXXXXX9911 HDFC0000001",
                gateway: $gateway,
                form: &[
                    ("ifsc", "HDFC0000001"),
                    ("account_number", "600099009911"),
                    ("gateway_id", $id),
                ],
                status: "ACTIVE",
                failure: "",
            },
        ]
    };
}

const GATEWAYS: [[Sample; 3]; 5] = [
    at!("70", "CASHFREE"),
    at!("23", "RAZORPAY"),
    at!("1001", "SETU"),
    at!("1002", "DECENTRO"),
    at!("12", "PAYU"),
];

/// Cashfree's bank gives no result; the next gateway by priority does.
pub(crate) const SECOND_GATEWAY: Sample = Sample {
    what: "valid at the second gateway",
    masked: "XXXXXXX8812 HDFC0000001",
    gateway: "DECENTRO",
    form: &[
        ("ifsc", "HDFC0000001"),
        ("account_number", "600099008812"),
        ("beneficiary_name", "Asha Rao"),
    ],
    status: "ACTIVE",
    failure: "",
};

/// Returns all samples, in the order of the table.
pub(crate) fn samples() -> impl Iterator<Item = Sample> {
    EXAMPLES
        .into_iter()
        .chain(GATEWAYS.into_iter().flatten())
        .chain([SECOND_GATEWAY])
}
