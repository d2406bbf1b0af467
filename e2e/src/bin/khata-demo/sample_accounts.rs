//! The accounts that the demo posts, with their known outcomes.

/// The sample for which Cashfree's bank gives no result; the next gateway by priority does.
pub(crate) const SECOND_GATEWAY: &str = "valid at the second gateway";

/// A call that creates one account, and its expected result.
pub(crate) struct Sample {
    /// Meaning of the example.
    pub(crate) what: String,
    /// The account in masked form.
    pub(crate) masked: String,
    /// The gateway that gives the outcome.
    pub(crate) gateway: &'static str,
    /// The form of the call.
    pub(crate) form: Vec<(&'static str, &'static str)>,
    /// `validation.failure.code`; empty unless the account fails.
    pub(crate) failure: &'static str,
}

/// Returns a bank account that Cashfree finds.
fn bank(what: &str, ifsc: &'static str, account_number: &'static str) -> Sample {
    let (_, last_digits) = account_number.split_at(account_number.len() - 4);
    Sample {
        what: what.to_owned(),
        masked: format!("XXXXXXX{last_digits} {ifsc}"),
        gateway: "CASHFREE",
        form: vec![("ifsc", ifsc), ("account_number", account_number)],
        failure: "",
    }
}

/// Returns a UPI address that Cashfree finds.
fn upi(what: &str, vpa: &'static str) -> Sample {
    Sample {
        what: what.to_owned(),
        masked: format!("{}***@upi", &vpa[..2]),
        gateway: "CASHFREE",
        form: vec![("vpa", vpa)],
        failure: "",
    }
}

impl Sample {
    /// Adds a field to the form.
    fn with(mut self, name: &'static str, value: &'static str) -> Self {
        self.form.push((name, value));
        self
    }

    /// Names the gateway in the call.
    fn at(self, gateway: &'static str, id: &'static str) -> Self {
        Self { gateway, ..self }.with("gateway_id", id)
    }

    fn failing(self, failure: &'static str) -> Self {
        Self { failure, ..self }
    }

    /// Returns the final status.
    pub(crate) fn status(&self) -> &'static str {
        if self.failure.is_empty() {
            "ACTIVE"
        } else {
            "FAILURE"
        }
    }
}

/// Returns all samples, in the order of the table.
pub(crate) fn samples() -> Vec<Sample> {
    let name = "beneficiary_name";
    // The create page's own example, Cashfree's published test data, and the built-in dummy gateway.
    let mut samples = vec![
        bank("the API page's example", "AABF0008032", "026291800001191").with(name, "test"),
        upi("its UPI example", "9164326296@upi"),
        bank(
            "Cashfree's test data: valid",
            "YESB0000262",
            "026291800001191",
        )
        .with(name, "John Doe"),
        bank("  no such account", "YESB0000262", "026291800001190").failing("INVALID_ACCOUNT"),
        bank("  no such branch", "ICIC0000001", "1234567890").failing("INVALID_IFSC"),
        bank("  blocked", "RATN0000070", "7766667989884").failing("ACCOUNT_BLOCKED"),
        bank("  a non-resident's", "ICIC0000001", "7766667755761").failing("NRE_ACCOUNT"),
        bank("  pending, then valid", "YESB0000001", "00224412311300"),
        // A UPI address gets a penny drop only with the payee's consent.
        upi("  UPI, by penny drop", "success@upi")
            .with("consent.obtained", "true")
            .with("consent.purpose", "payouts")
            .with("consent.timestamp", "2026-01-01T00:00:00Z"),
        upi("  UPI, no such address", "invalid@upi").failing("INVALID_VPA"),
        // The last two digits give the outcome: 92 is pending for two seconds, then valid.
        bank("named gateway: DUMMY", "AABF0008032", "00012345692")
            .with(name, "Asha Rao")
            .at("DUMMY", "100"),
    ];
    // Calls that name a gateway. The endings of the numbers have the same meaning at every gateway of the sandbox
    // (sandbox/README.md).
    for (gateway, id) in [
        ("CASHFREE", "70"),
        ("RAZORPAY", "23"),
        ("SETU", "1001"),
        ("DECENTRO", "1002"),
        ("PAYU", "12"),
    ] {
        let at_gateway = |what: &str, number| bank(what, "HDFC0000001", number).at(gateway, id);
        samples.extend([
            at_gateway(&format!("{gateway}: valid"), "600000000001").with(name, "Asha Rao"),
            at_gateway("  no such account", "600099009931").failing("INVALID_ACCOUNT"),
            at_gateway("  pending, then valid", "600099009911"),
        ]);
    }
    let second = bank(SECOND_GATEWAY, "HDFC0000001", "600099008812").with(name, "Asha Rao");
    samples.push(Sample {
        gateway: "DECENTRO",
        ..second
    });
    samples
}
