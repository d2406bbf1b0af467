//! `GET /banks/ifsc/{ifsc}`: the bank and the branch of an IFSC, from the directory that is part of the program.

use actix_web::http::header::{
    CacheControl, CacheDirective, ContentType, ETag, EntityTag, Header, IfNoneMatch,
};
use actix_web::{HttpRequest, HttpResponse, web};
use khata_domain::Ifsc;
use khata_domain::text::trim;
use khata_ifsc as ifsc;
use serde::Serialize;
use utoipa::ToSchema;

use crate::context::RequestContext;
use crate::error::{ApiError, FaultCode};
use crate::{reply, schema};

/// Seconds for which a client may keep the reply: a new list comes with a new release.
const MAX_AGE: u32 = 24 * 60 * 60;

/// A branch of a bank.
#[derive(Serialize, ToSchema)]
#[allow(clippy::struct_excessive_bools, reason = "the list's own flags")]
pub(crate) struct BankBranch {
    #[schema(value_type = schema::BankBranchObject)]
    object: &'static str,
    #[schema(example = "HDFC0000001")]
    ifsc: String,
    /// The bank that keeps the branch's accounts; `null` if unknown.
    #[schema(required, example = "HDFC Bank")]
    bank_name: Option<&'static str>,
    /// First four letters of the IFSC.
    #[schema(example = "HDFC")]
    bank_code: String,
    #[schema(example = "TULSIANI CHMBRS - NARIMAN PT")]
    branch_name: &'static str,
    #[schema(required, example = "GREATER MUMBAI")]
    city: Option<&'static str>,
    #[schema(required, example = "MUMBAI")]
    district: Option<&'static str>,
    #[schema(required, example = "MAHARASHTRA")]
    state: Option<&'static str>,
    /// The nine digits on the branch's cheques; `null` if the list has none.
    #[schema(required, example = "400240003")]
    micr: Option<String>,
    /// `false`: the branch takes no IMPS payments, and Khata pays no penny drop to it.
    #[schema(example = true)]
    imps: bool,
    #[schema(example = true)]
    neft: bool,
    #[schema(example = true)]
    rtgs: bool,
    /// Whether the bank was a member of UPI when the list of members was read, which is less often than the other lists.
    #[schema(example = true)]
    upi: bool,
    /// The bank that this bank became part of; `null` if none is known.
    #[schema(required, example = json!(null))]
    successor: Option<Successor>,
    /// Day of the list.
    #[schema(format = Date, example = "2026-06-30")]
    list_date: &'static str,
}

/// A bank that another one became part of.
#[derive(Serialize, ToSchema)]
struct Successor {
    #[schema(example = "State Bank of India")]
    bank_name: &'static str,
    /// First four letters of its IFSCs; `null` if it has none of its own.
    #[schema(required, example = "SBIN")]
    bank_code: Option<&'static str>,
    #[schema(format = Date, example = "2017-04-01")]
    since: &'static str,
}

/// Get a bank branch
///
/// The bank and the branch of an IFSC, from the published lists. 404 if the list does not have the IFSC: such an IFSC may be valid,
/// because the list lags behind the banks; `error_info.fields` says what to check.
#[utoipa::path(get, path = "/banks/ifsc/{ifsc}", operation_id = "getBankBranch", tag = "Banks", params(schema::IfscPath),
    responses((status = 200, description = "The branch.", body = BankBranch),
        (status = 304, description = "Your copy, named by `If-None-Match`, is current.")))]
pub(crate) async fn get(
    context: RequestContext,
    ifsc: web::Path<String>,
    request: HttpRequest,
) -> Result<HttpResponse, ApiError> {
    if let Some(fault) = context.placeholder() {
        return Err(fault);
    }
    let text = ifsc.into_inner();
    let ifsc = Ifsc::parse(&text).map_err(|fault| {
        let reason = fault_of_ifsc(&text, fault.reason());
        ApiError::field("ifsc", FaultCode::Format, reason)
    })?;
    let branch = branch(ifsc.as_str())?;
    let tag = EntityTag::new_strong(ifsc::edition());
    let is_current = match IfNoneMatch::parse(&request) {
        Ok(IfNoneMatch::Any) => true,
        Ok(IfNoneMatch::Items(tags)) => tags.iter().any(|one| one.weak_eq(&tag)),
        Err(_) => false,
    };
    let mut response = if is_current {
        HttpResponse::NotModified()
    } else {
        HttpResponse::Ok()
    };
    response
        .insert_header(CacheControl(vec![
            CacheDirective::Private,
            CacheDirective::MaxAge(MAX_AGE),
        ]))
        .insert_header(ETag(tag));
    if is_current {
        return Ok(response.finish());
    }
    let body = reply::to_json(&branch)?;
    Ok(response.content_type(ContentType::json()).body(body))
}

fn branch(ifsc: &str) -> Result<BankBranch, ApiError> {
    let known = ifsc::lookup(ifsc);
    let Some(branch) = known.branch else {
        return Err(ApiError::IfscNotListed {
            hint: ifsc::hint(ifsc),
        });
    };
    let successor = ifsc::successor(ifsc).map(|successor| Successor {
        bank_name: successor.bank,
        bank_code: successor.letters,
        since: successor.since,
    });
    Ok(BankBranch {
        object: "bank_branch",
        ifsc: ifsc.to_owned(),
        bank_name: known.bank,
        bank_code: ifsc[..Ifsc::BANK_LENGTH].to_owned(),
        branch_name: branch.name(),
        city: branch.city(),
        district: branch.district(),
        state: branch.state(),
        micr: branch.micr(),
        imps: branch.imps(),
        neft: branch.neft(),
        rtgs: branch.rtgs(),
        upi: branch.upi(),
        successor,
        list_date: ifsc::list_date(),
    })
}

/// Returns the reason why this text is no IFSC, with what was probably typed in place of what.
pub(crate) fn fault_of_ifsc(text: &str, reason: &str) -> String {
    match ifsc::explain(trim(text)) {
        Some(explanation) => format!("{reason}: {explanation}"),
        None => reason.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_branch_shows_its_bank_place_and_services() {
        let shown =
            serde_json::to_value(branch("HDFC0000001").unwrap_or_else(|_| panic!("not listed")))
                .unwrap();
        for (member, value) in [
            ("bank_name", "HDFC Bank"),
            ("bank_code", "HDFC"),
            ("branch_name", "TULSIANI CHMBRS - NARIMAN PT"),
            ("city", "GREATER MUMBAI"),
            ("district", "MUMBAI"),
            ("state", "MAHARASHTRA"),
            ("micr", "400240003"),
            ("list_date", ifsc::list_date()),
        ] {
            assert_eq!(shown[member], value, "{member}");
        }
        for service in ["imps", "neft", "rtgs", "upi"] {
            assert_eq!(shown[service], true, "{service}");
        }
        assert!(shown["successor"].is_null());
    }

    #[test]
    fn a_code_that_is_not_listed_gets_a_hint() {
        for (code, hint) in [
            ("SBHY0020039", Some("State Bank of India")),
            ("SBIN0OO1077", Some("SBIN0001077")),
            ("AABF0008032", None),
        ] {
            let Err(ApiError::IfscNotListed { hint: given }) = branch(code) else {
                panic!("{code} is listed");
            };
            assert_eq!(given.is_some(), hint.is_some(), "{code}");
            let given = given.unwrap_or_default();
            assert!(given.contains(hint.unwrap_or_default()), "{code}: {given}");
        }
    }

    #[test]
    fn a_slip_in_an_ifsc_is_explained_once() {
        let letter_o = "the fifth character is the letter O; it must be the digit 0";
        let spaces = "the code must be written without spaces and marks";
        for (code, explained) in [
            ("UTBIOKTLC32", letter_o),
            ("\u{200b}hdfco000001 ", letter_o),
            ("HDFC 0000001", spaces),
            ("HDFC-0000001", spaces),
            ("C0RP0000001", "it must be the letter O"),
        ] {
            let reason = Ifsc::parse(code).unwrap_err();
            assert_eq!(reason.reason(), Ifsc::MESSAGE, "{code}");
            let fault = fault_of_ifsc(code, reason.reason());
            assert!(
                fault.starts_with(&format!("{}: ", Ifsc::MESSAGE)) && fault.contains(explained),
                "{code}: {fault}"
            );
        }
        assert_eq!(fault_of_ifsc("?", Ifsc::MESSAGE), Ifsc::MESSAGE);
    }
}
