//! Checks the URL of Postgres before it is used. libpq quotes what it cannot read, and a part of a password that is not percent-encoded
//! looks to it like a host or a database: neither may reach a log.

/// Returns the URL or connection string unchanged if libpq can read it. An error does not quote it, as it holds a password.
pub fn check(url: &str) -> Result<String, &'static str> {
    match url.split_once("://") {
        Some(("postgres" | "postgresql", rest)) => check_rest(rest)?,
        // A connection string: `host=… user=…`.
        None if is_connection_string(url) => {}
        _ => return Err("expected postgres://user:password@host/database"),
    }
    Ok(url.to_owned())
}

const ENCODE: &str = "it cannot be read as postgres://user:password@host/database: percent-encode the characters of the user and the \
    password that are no letters or digits (`@` as %40, `/` as %2F, `?` as %3F, `%` as %25)";
const PORT: &str = "expected a port from 1 to 65535 behind the colon of postgres://user:password@host:port/database; if the password \
    has a colon, an `@` or a `/`, percent-encode it (%3A, %40, %2F)";

fn is_connection_string(text: &str) -> bool {
    let name = text.split_once('=').map(|(name, _)| name.trim());
    name.is_some_and(|name| {
        !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
    })
}

fn check_rest(rest: &str) -> Result<(), &'static str> {
    if !is_percent_encoded(rest) {
        return Err(ENCODE);
    }
    // As libpq does: a user is before the first `@`, if no `/` comes before it.
    let before_path = rest.split('/').next().unwrap_or_default();
    let (user, rest) = match before_path.find('@') {
        Some(at) => (&rest[..at], &rest[at + 1..]),
        None => ("", rest),
    };
    let (address, parameters) = rest.split_once('?').unwrap_or((rest, ""));
    let (hosts, database) = address.split_once('/').unwrap_or((address, ""));
    // The values of parameters may have an `@`.
    if user.contains('?') || hosts.contains('@') || database.contains('@') {
        return Err(ENCODE);
    }
    if !hosts.split(',').all(has_valid_port) {
        return Err(PORT);
    }
    let mut parameters = parameters
        .split('&')
        .filter(|parameter| !parameter.is_empty());
    if !parameters.all(|parameter| parameter.matches('=').count() == 1) {
        return Err(
            "expected parameters as postgres://…/database?name=value&name=value; percent-encode a `=` or `&` in a value",
        );
    }
    Ok(())
}

/// Whether two hexadecimal digits other than 00 follow each `%`.
fn is_percent_encoded(text: &str) -> bool {
    text.split('%').skip(1).all(|rest| {
        let digits = rest.get(..2).unwrap_or_default();
        digits != "00" && digits.len() == 2 && digits.bytes().all(|digit| digit.is_ascii_hexdigit())
    })
}

fn has_valid_port(host: &str) -> bool {
    // An IPv6 address is in brackets.
    let behind = host.rsplit_once(']').map_or(host, |(_, behind)| behind);
    match behind.split_once(':') {
        None | Some((_, "")) => true,
        Some((_, port)) => port.parse::<u16>().is_ok_and(|port| port > 0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_that_libpq_can_read_pass() {
        for url in [
            "postgres://h/d",
            "postgresql:///d",
            "postgres://khata_api:p%40ss%2Fw@one:5432,two:5433/khata?target_session_attrs=read-write",
            "postgres://u:p#w@[::1]:5432/d?sslmode=verify-full&sslrootcert=/run/ca.crt",
            "postgres://u@h:/d?options=-csearch_path%3Da",
            "postgres://u:a:b@h",
            "host=h user=u password='a b@c'",
        ] {
            assert_eq!(check(url).as_deref(), Ok(url));
        }
    }

    #[test]
    fn what_libpq_cannot_read_is_refused_without_a_quotation() {
        for url in [
            "",
            "khata",
            "mysql://user:secret@h",
            "http://secret",
            "postgres://khata_api:sec@ret/w#rd%zz@h/d",
            "postgres://u:sec@ret@h/d",
            "postgres://u:sec/ret@h/d",
            "postgres://u:sec?ret@h/d",
            "postgres://u:sec%ret@h/d",
            "postgres://u:secret%00@h/d",
            "postgres://u:secret@h:port/d",
            "postgres://u:secret@h:0/d",
            "postgres://u:secret@h/d?sslmode",
        ] {
            let why = check(url).expect_err(url);
            assert!(
                why.starts_with("expected ") || why.contains("percent-encode"),
                "{url}: {why}"
            );
            assert!(!why.contains("sec"), "{url}: {why}");
        }
    }
}
