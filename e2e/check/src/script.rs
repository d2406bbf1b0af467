//! The outcome that the sandbox's script dictates for an account, by the ending of its number or of the user of its UPI address
//! (sandbox/README.md, "Outcomes by account number"). Only endings on which all gateways agree are here.

/// The outcome that a validation must have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Scripted {
    /// `ACTIVE` or `FAILURE`
    pub(crate) status: &'static str,
    /// Codes of a failure; gateways differ in how much they say.
    pub(crate) codes: &'static [&'static str],
}

const VALID: Scripted = Scripted {
    status: "ACTIVE",
    codes: &[],
};
const fn failure(codes: &'static [&'static str]) -> Scripted {
    Scripted {
        status: "FAILURE",
        codes,
    }
}

const ENDINGS: [(&str, Scripted); 5] = [
    ("99009911", VALID),
    ("99009912", failure(&["INVALID_ACCOUNT", "INVALID_VPA"])),
    ("99009921", VALID),
    ("99009931", failure(&["INVALID_ACCOUNT", "INVALID_VPA"])),
    (
        "99009934",
        // DECENTRO's code says only that the account cannot be used.
        failure(&[
            "ACCOUNT_BLOCKED",
            "ACCOUNT_FROZEN",
            "INVALID_ACCOUNT",
            "INVALID_VPA",
        ]),
    ),
];

/// Returns the outcome of an account number or UPI address; `None` if the ending is one of the sandbox's that this table does
/// not have.
pub(crate) fn outcome_of(payee: &str) -> Option<Scripted> {
    let user = payee.split('@').next().unwrap_or_default();
    let ending = user.get(user.len().checked_sub(8)?..)?;
    if let Some((_, scripted)) = ENDINGS.iter().find(|(known, _)| *known == ending) {
        return Some(*scripted);
    }
    let is_special = ending.starts_with("990099") || ending.starts_with("990088");
    (!is_special).then_some(VALID)
}

#[cfg(test)]
mod tests {
    use super::outcome_of;

    #[test]
    fn the_ending_decides() {
        let status = |payee| outcome_of(payee).map(|scripted| scripted.status);
        assert_eq!(status("700012345678"), Some("ACTIVE"));
        assert_eq!(status("7000199009912"), Some("FAILURE"));
        assert_eq!(status("user99009931@upi"), Some("FAILURE"));
        assert_eq!(status("7000199009911"), Some("ACTIVE"));
        assert_eq!(status("7000199009941"), None, "gateways differ");
        assert_eq!(status("short"), None);
    }
}
