//! What PayU lets in (PayU, "Verify Account or Penny Test API" and the payouts' error codes).

use crate::payu::refusal::Refusal;
use crate::payu::wire::AccountRequest;

/// A request that keeps to the limits.
#[derive(Debug)]
pub(super) struct Wanted<'a> {
    pub(super) merchant_ref_id: &'a str,
    pub(super) account: &'a str,
    pub(super) ifsc: &'a str,
    /// The name sent, "" where none was.
    pub(super) name: &'a str,
    pub(super) name_matching: bool,
    /// Whether the IFSC is to be looked at before any money moves.
    pub(super) validate_ifsc: bool,
    pub(super) purpose: &'a str,
}

/// The form of `verifyAccount`.
pub(super) fn wanted(request: &AccountRequest) -> Result<Wanted<'_>, Refusal> {
    let merchant_ref_id = present(request.merchant_ref_id.as_deref())
        .filter(|value| value.len() <= 40)
        .ok_or(Refusal::MERCHANT_REF_ID)?;
    let account = present(request.account_number.as_deref())
        .filter(|value| value.bytes().all(|byte| byte.is_ascii_alphanumeric()))
        .ok_or(Refusal::ACCOUNT_NUMBER)?;
    let ifsc = present(request.ifsc_code.as_deref()).ok_or(Refusal::IFSC_CODE)?;
    let validate_ifsc = flag(request.validate_ifsc.as_deref());
    if validate_ifsc && !well_formed(ifsc) {
        return Err(Refusal::IFSC_CODE_PATTERN);
    }
    let name_matching = flag(request.name_matching.as_deref());
    let name = present(request.bene_name.as_deref()).unwrap_or_default();
    if name_matching && name.is_empty() {
        return Err(Refusal::NAME);
    }
    let purpose = present(request.purpose.as_deref()).ok_or(Refusal::PURPOSE)?;
    Ok(Wanted {
        merchant_ref_id,
        account,
        ifsc,
        name,
        name_matching,
        validate_ifsc,
        purpose,
    })
}

/// Four capitals, a zero, six capitals or digits.
fn well_formed(ifsc: &str) -> bool {
    ifsc.len() == 11
        && ifsc.bytes().enumerate().all(|(place, byte)| match place {
            0..=3 => byte.is_ascii_uppercase(),
            4 => byte == b'0',
            _ => byte.is_ascii_uppercase() || byte.is_ascii_digit(),
        })
}

fn flag(sent: Option<&str>) -> bool {
    sent == Some("true")
}

fn present(sent: Option<&str>) -> Option<&str> {
    sent.filter(|value| !value.trim().is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good() -> AccountRequest {
        let text = |value: &str| Some(value.to_owned());
        AccountRequest {
            account_number: text("51234567890"),
            ifsc_code: text("HDFC0001098"),
            merchant_ref_id: text("987668124234235"),
            validate_ifsc: text("true"),
            bene_name: text("Asha Rao"),
            name_matching: text("true"),
            purpose: text("Test"),
        }
    }

    fn refused(change: impl FnOnce(&mut AccountRequest)) -> Option<Refusal> {
        let mut request = good();
        change(&mut request);
        wanted(&request).err()
    }

    #[test]
    fn each_field_has_its_code() {
        assert_eq!(refused(|_| {}), None);
        let long = "a".repeat(41);
        assert_eq!(
            refused(|it| it.merchant_ref_id = None),
            Some(Refusal::MERCHANT_REF_ID)
        );
        assert_eq!(
            refused(|it| it.merchant_ref_id = Some(long)),
            Some(Refusal::MERCHANT_REF_ID)
        );
        assert_eq!(
            refused(|it| it.account_number = None),
            Some(Refusal::ACCOUNT_NUMBER)
        );
        assert_eq!(
            refused(|it| it.account_number = Some("12-34".into())),
            Some(Refusal::ACCOUNT_NUMBER)
        );
        assert_eq!(refused(|it| it.ifsc_code = None), Some(Refusal::IFSC_CODE));
        assert_eq!(
            refused(|it| it.ifsc_code = Some("HDFC1001098".into())),
            Some(Refusal::IFSC_CODE_PATTERN)
        );
        assert_eq!(
            refused(|it| {
                it.ifsc_code = Some("HDFC1001098".into());
                it.validate_ifsc = Some("false".into());
            }),
            None,
            "not looked at unless asked for"
        );
        assert_eq!(refused(|it| it.bene_name = None), Some(Refusal::NAME));
        assert_eq!(
            refused(|it| {
                it.bene_name = None;
                it.name_matching = None;
            }),
            None
        );
        assert_eq!(refused(|it| it.purpose = None), Some(Refusal::PURPOSE));
    }
}
