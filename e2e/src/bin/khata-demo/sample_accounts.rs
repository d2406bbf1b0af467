//! What the demo posts, and what is known to become of it.

/// A call that creates one account.
#[derive(Clone, Copy)]
pub(crate) struct Case {
    /// What it is an example of.
    pub(crate) what: &'static str,
    /// The account as people may see it.
    pub(crate) masked: &'static str,
    /// Who tells the outcome.
    pub(crate) gateway: &'static str,
    /// The call's form.
    pub(crate) form: &'static [(&'static str, &'static str)],
    /// How it ends.
    pub(crate) status: &'static str,
    /// `validation.failure.code`, empty unless it fails.
    pub(crate) failure: &'static str,
}

/// The create page's own example, Cashfree's published test data, and the built-in dummy gateway.
const EXAMPLES: [Case; 11] = [
    Case {
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
    Case {
        what: "its UPI example",
        masked: "91***@upi",
        gateway: "CASHFREE",
        form: &[("vpa", "9164326296@upi")],
        status: "ACTIVE",
        failure: "",
    },
    Case {
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
    Case {
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
    Case {
        what: "  no such branch",
        masked: "XXXXXXX7890 ICIC0000001",
        gateway: "CASHFREE",
        form: &[("ifsc", "ICIC0000001"), ("account_number", "1234567890")],
        status: "FAILURE",
        failure: "INVALID_IFSC",
    },
    Case {
        what: "  blocked",
        masked: "XXXXXXX9884 RATN0000070",
        gateway: "CASHFREE",
        form: &[("ifsc", "RATN0000070"), ("account_number", "7766667989884")],
        status: "FAILURE",
        failure: "ACCOUNT_BLOCKED",
    },
    Case {
        what: "  a non-resident's",
        masked: "XXXXXXX5761 ICIC0000001",
        gateway: "CASHFREE",
        form: &[("ifsc", "ICIC0000001"), ("account_number", "7766667755761")],
        status: "FAILURE",
        failure: "NRE_ACCOUNT",
    },
    Case {
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
    Case {
        what: "  UPI, by penny drop",
        masked: "su***@upi",
        gateway: "CASHFREE",
        // A rupee is sent to a UPI address only with the payee's consent.
        form: &[
            ("vpa", "success@upi"),
            ("consent.obtained", "true"),
            ("consent.purpose", "payouts"),
            ("consent.timestamp", "2026-01-01T00:00:00Z"),
        ],
        status: "ACTIVE",
        failure: "",
    },
    Case {
        what: "  UPI, no such address",
        masked: "in***@upi",
        gateway: "CASHFREE",
        form: &[("vpa", "invalid@upi")],
        status: "FAILURE",
        failure: "INVALID_VPA",
    },
    Case {
        what: "named gateway: the dummy",
        masked: "XXXXXXX5692 AABF0008032",
        gateway: "DUMMY",
        // Its outcome is in the number's last two digits: 92 is pending for two seconds, then valid.
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

/// A gateway asked by name: an account that it finds, one that it does not, and one that it takes a moment for. The
/// endings mean the same at every gateway of the sandbox (sandbox/README.md).
macro_rules! at {
    ($id:literal, $gateway:literal) => {
        [
            Case {
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
            Case {
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
            Case {
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

const GATEWAYS: [[Case; 3]; 5] = [
    at!("70", "CASHFREE"),
    at!("23", "RAZORPAY"),
    at!("1001", "SETU"),
    at!("1002", "DECENTRO"),
    at!("12", "PAYU"),
];

/// Cashfree's bank would not say; the next gateway by priority can.
pub(crate) const SAVED: Case = Case {
    what: "saved by the next gateway",
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

/// All of them, in the order in which they are shown.
pub(crate) fn cases() -> impl Iterator<Item = Case> {
    EXAMPLES
        .into_iter()
        .chain(GATEWAYS.into_iter().flatten())
        .chain([SAVED])
}
