//! Tests of the reader.

use super::*;

fn body(json: &str) -> Body {
    Body::parse(json.as_bytes()).unwrap()
}

#[test]
fn an_id_is_a_text_or_a_whole_number() {
    let long = format!(r#""{}""#, "x".repeat(257));
    for (json, read, is_understood) in [
        (r#"" UTR ""#, Some("UTR"), true),
        ("34", Some("34"), true),
        ("34.0", Some("34"), true),
        (
            "395137559835395137559835",
            Some("395137559835395137559835"),
            true,
        ),
        (r#"" ""#, None, true),
        ("null", None, true),
        (r#""ASHA\tRAO""#, Some("ASHA RAO"), true),
        ("34.5", None, false),
        ("1e5", None, false),
        ("-1", None, false),
        ("true", None, false),
        ("[]", None, false),
        ("{}", None, false),
        (r#""A\u0000B""#, None, false),
        (r#""\ud800""#, None, false),
        (&long, None, false),
    ] {
        let body = body(&format!(r#"{{"utr":{json}}}"#));
        assert_eq!(body.fields().id("utr").as_deref(), read, "{json}");
        assert_eq!(body.not_understood().is_empty(), is_understood, "{json}");
    }
    assert_eq!(body("{}").fields().id("utr"), None);
    let number = body(r#"{"name":34}"#);
    assert_eq!(number.fields().text("name"), None, "a number is no name");
    assert_eq!(number.not_understood(), ["name"]);
    let latin = Body::parse(b"{\"name\":\"Jos\xE9\"}").unwrap();
    assert_eq!(latin.fields().text("name"), None);
    assert_eq!(latin.not_understood(), ["name"]);
}

#[test]
fn a_word_is_absent_blank_clear_or_not() {
    let of = |word: &str| Word::Of(word.to_owned());
    for (json, word) in [
        ("{}", Word::Absent),
        (r#"{"status":null}"#, Word::Blank),
        (r#"{"status":" "}"#, Word::Blank),
        (r#"{"status":" VALID "}"#, of("VALID")),
        (r#"{"status":1}"#, Word::Unreadable),
        (r#"{"status":true}"#, Word::Unreadable),
        (r#"{"status":[1]}"#, Word::Unreadable),
        (r#"{"status":"\ufeff\u200b VALID\u0000"}"#, of("VALID")),
        (r#"{"status":"VAL\u0000ID"}"#, Word::Unreadable),
        (r#"{"status":"VAL\u200bID"}"#, Word::Unreadable),
        (r#"{"status":["VALID"]}"#, of("VALID")),
        (r#"{"status":[]}"#, Word::Unreadable),
        (r#"{"status":{}}"#, Word::Unreadable),
        (r#"{"status":"VALID","status":null}"#, of("VALID")),
        (r#"{"status":"","status":"VALID"}"#, of("VALID")),
        (r#"{"status":"valid","status":"VALID"}"#, of("valid")),
        (r#"{"status":[],"status":"VALID"}"#, of("VALID")),
        (
            r#"{"status":"VALID","status":"INVALID"}"#,
            Word::Contradictory,
        ),
        (r#"{"Status":"VALID"}"#, of("VALID")),
        (r#"{"status":null,"STATUS":"VALID"}"#, of("VALID")),
        (
            r#"{"status":"VALID","STATUS":"INVALID"}"#,
            Word::Contradictory,
        ),
        (r#"{"status":"VALID","STATUS":"valid"}"#, of("VALID")),
    ] {
        assert_eq!(body(json).fields().word("status"), word, "{json}");
    }
    for (json, scalar) in [
        ("1", of("1")),
        ("true", of("true")),
        ("[]", Word::Unreadable),
    ] {
        let body = body(&format!(r#"{{"status":{json}}}"#));
        assert_eq!(body.fields().scalar("status"), scalar, "{json}");
    }
    assert_eq!(
        body(r#"{"accountStatus":"VALID"}"#)
            .fields()
            .word("account_status"),
        of("VALID")
    );
}

#[test]
fn a_field_with_two_values_is_left_out() {
    let twice = body(r#"{"name":"ASHA","name":"RAVI","utr":null,"utr":"1","id":"2","id":[]}"#);
    let fields = twice.fields();
    assert_eq!(fields.text("name"), None);
    assert_eq!(fields.text("utr").as_deref(), Some("1"));
    assert_eq!(fields.text("id").as_deref(), Some("2"));
    assert_eq!(twice.not_understood(), ["id", "name"]);
}

#[test]
fn an_object_under_two_names_is_one() {
    let both = body(
        r#"{"results":null,"validation_results":{"status":"active"},"data":[{"a":"1"}],"bad":"x"}"#,
    );
    let fields = both.fields();
    let results = fields.object_of(&["results", "validation_results"]);
    assert_eq!(results.word("status"), Word::Of("active".into()));
    assert_eq!(fields.object("data").text("a").as_deref(), Some("1"));
    assert!(fields.object("bad").is_absent() && fields.object("none").is_absent());
    assert_eq!(both.not_understood(), ["bad"]);
    let differing =
        body(r#"{"results":{"status":"invalid"},"validation_results":{"status":"active"}}"#);
    let results = differing
        .fields()
        .object_of(&["results", "validation_results"]);
    assert_eq!(results.word("status"), Word::Contradictory);
}

#[test]
fn scores_and_flags_are_read_as_text_or_number() {
    for (json, score, is_understood) in [
        (r#""90.00""#, Some(90), true),
        ("59.45", Some(59), true),
        ("100", Some(100), true),
        ("null", None, true),
        (r#""""#, None, true),
        ("101", None, false),
        ("-1", None, false),
        (r#""NaN""#, None, false),
        ("[]", None, false),
    ] {
        let body = body(&format!(r#"{{"score":{json}}}"#));
        assert_eq!(body.fields().score("score"), score, "{json}");
        assert_eq!(body.not_understood().is_empty(), is_understood, "{json}");
    }
    for (json, flag) in [
        ("true", Some(true)),
        (r#""True""#, Some(true)),
        ("1", Some(true)),
        ("0", Some(false)),
        (r#""false""#, Some(false)),
        ("2", None),
        ("null", None),
        ("[]", None),
    ] {
        let body = body(&format!(r#"{{"success":{json}}}"#));
        assert_eq!(body.fields().flag("success"), flag, "{json}");
    }
}

#[test]
fn only_an_object_is_a_body() {
    for json in ["", "null", "7", "[]", "[1]", "[{},{}]"] {
        assert!(Body::parse(json.as_bytes()).is_none(), "{json}");
    }
    assert!(Body::parse(br#"[{"a":1}]"#).is_some());
}
