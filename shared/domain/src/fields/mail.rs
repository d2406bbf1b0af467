//! Domains of e-mail addresses. Merchants' customers type their mail address where a form asks for their UPI address.

/// Names of mail providers before the first dot, with any ending.
const PROVIDERS: [&str; 29] = [
    "aol",
    "fastmail",
    "gmail",
    "gmx",
    "googlemail",
    "hotmail",
    "hushmail",
    "icloud",
    "indiatimes",
    "inbox",
    "live",
    "mail",
    "mailinator",
    "msn",
    "naver",
    "outlook",
    "pm",
    "proton",
    "protonmail",
    "qq",
    "rediff",
    "rediffmail",
    "tutanota",
    "yahoo",
    "yahoomail",
    "yandex",
    "ymail",
    "zoho",
    "zohomail",
];
/// The same without an ending: words that are no name of a bank or payment app.
const BARE: [&str; 10] = [
    "gmail",
    "googlemail",
    "hotmail",
    "icloud",
    "outlook",
    "protonmail",
    "rediffmail",
    "yahoo",
    "yahoomail",
    "ymail",
];
/// Last labels of internet domains, companies' mail domains among them. NPCI's own handles end in `npci`.
const ENDINGS: [&str; 27] = [
    "ai", "app", "au", "bharat", "biz", "ca", "cloud", "co", "com", "dev", "edu", "eu", "gov",
    "in", "info", "io", "me", "mobi", "net", "online", "org", "ru", "site", "tech", "uk", "us",
    "xyz",
];

/// Returns whether the handle, in lower case, is the domain of an e-mail address.
pub(super) fn is_mail_domain(handle: &str) -> bool {
    match handle.rsplit_once('.') {
        None => BARE.contains(&handle),
        Some((rest, ending)) => {
            ending != "npci"
                && (ENDINGS.contains(&ending)
                    || rest.split('.').any(|label| PROVIDERS.contains(&label)))
        }
    }
}
