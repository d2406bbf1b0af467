//! Two pages name the tests that hold what they say, row by row: `docs/contract-tests.md` and `docs/reliability.md`. Each
//! test that a row names must exist.

use std::path::{Path, PathBuf};

/// Page, section, and a number of rows: fewer would be a table that is not read.
const PAGES: [(&str, &str, usize); 2] = [
    ("docs/contract-tests.md", "## Rules and their tests", 80),
    ("docs/reliability.md", "## How soon each fault heals", 20),
];
/// Where a file is that is named without a folder.
const STACK: &str = "e2e/tests/stack";
const NOT_BUILT: &str = "not built yet";

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// A row's rule and what it says of tests; `None` for what is no row: the head, its rule, and a heading within the table.
fn row(line: &str) -> Option<(&str, &str)> {
    let cells = line.trim().strip_prefix('|')?.strip_suffix('|')?;
    let (rule, tests) = cells.rsplit_once('|')?;
    let (rule, tests) = (rule.trim(), tests.trim());
    let is_head = rule == "rule"
        || rule.starts_with("fault ")
        || rule.starts_with("---")
        || rule.starts_with("**");
    (!is_head).then_some((rule, tests))
}

/// Returns the errors in a row's tests.
fn faults(tests: &str, root: &Path) -> Vec<String> {
    if tests == NOT_BUILT {
        return Vec::new();
    }
    let named: Vec<&str> = tests.split('`').skip(1).step_by(2).collect();
    if named.is_empty() {
        return vec![format!("names no test, and does not say \"{NOT_BUILT}\"")];
    }
    named
        .into_iter()
        .filter_map(|name| fault(name, root))
        .collect()
}

fn fault(name: &str, root: &Path) -> Option<String> {
    let Some((file, function)) = name.split_once("::") else {
        return Some(format!("`{name}` is not written as file.rs::function"));
    };
    let file = if file.contains('/') {
        file.to_owned()
    } else {
        format!("{STACK}/{file}")
    };
    let Ok(code) = std::fs::read_to_string(root.join(&file)) else {
        return Some(format!("there is no file {file}"));
    };
    (!is_test(&code, function)).then(|| format!("{file} has no test {function}"))
}

/// Whether the code has a function of this name with a test's attribute above it.
fn is_test(code: &str, function: &str) -> bool {
    let begins = format!("fn {function}(");
    let mut is_attributed = false;
    for line in code.lines().map(str::trim) {
        if line.starts_with("#[") {
            is_attributed |= line.contains("test]") || line.contains("test(");
        } else if !line.starts_with("//") {
            let signature = line.trim_start_matches("async ");
            if is_attributed && signature.starts_with(&begins) {
                return true;
            }
            is_attributed = false;
        }
    }
    false
}

#[test]
fn every_test_named_in_the_docs_exists() {
    let root = repository();
    for (path, title, at_least) in PAGES {
        let page = std::fs::read_to_string(root.join(path)).expect(path);
        let (before, section) = page.split_once(title).expect(title);
        let section = section.split("\n## ").next().unwrap_or_default();
        let first = before.lines().count() + 1;
        let (mut rows, mut wrong) = (0, Vec::new());
        for (number, line) in section.lines().enumerate() {
            let Some((rule, tests)) = row(line) else {
                continue;
            };
            rows += 1;
            for fault in faults(tests, &root) {
                wrong.push(format!("{path}:{}: {rule}: {fault}", first + number));
            }
        }
        assert!(
            wrong.is_empty(),
            "{} faults in the table of {title:?}; put the rows right, or write the tests:\n{}",
            wrong.len(),
            wrong.join("\n")
        );
        assert!(rows >= at_least, "{path} has {rows} rows: was it read?");
    }
}

#[test]
fn a_wrong_row_is_found() {
    let root = repository();
    let own = "e2e/tests/docs.rs::a_wrong_row_is_found";
    for (tests, expected) in [
        (format!("`{own}`"), ""),
        (NOT_BUILT.to_owned(), ""),
        (String::new(), "names no test"),
        ("by eye".to_owned(), "names no test"),
        ("`flow.rs`".to_owned(), "not written as"),
        (
            "`no_gateway.rs::x`".to_owned(),
            "no file e2e/tests/stack/no_gateway.rs",
        ),
        (
            format!("`{own}`, `{own}_not`"),
            "no test a_wrong_row_is_found_not",
        ),
        ("`e2e/tests/docs.rs::is_test`".to_owned(), "no test is_test"),
    ] {
        let faults = faults(&tests, &root);
        assert_eq!(
            faults.is_empty(),
            expected.is_empty(),
            "{tests}: {faults:?}"
        );
        assert!(
            faults.iter().all(|fault| fault.contains(expected)),
            "{faults:?}"
        );
    }
    assert_eq!(
        row("| a `b | c` | `f.rs::t` |"),
        Some(("a `b | c`", "`f.rs::t`"))
    );
    assert_eq!(row("|---|---|"), None);
}
