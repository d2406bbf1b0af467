//! Two pages name the tests that hold what they say, row by row: `docs/contract-tests.md` and `docs/reliability.md`. Each
//! test, scenario of `make chaos`, or target of `make`, that a row names must exist. So must each file and section that a link of a page names.

use std::path::{Path, PathBuf};

/// Page, section, and a number of rows: fewer would be a table that is not read.
const PAGES: [(&str, &str, usize); 2] = [
    ("docs/contract-tests.md", "## Rules and their tests", 80),
    ("docs/reliability.md", "## How soon each fault heals", 20),
];
/// Where a file is that is named without a folder.
const STACK: &str = "e2e/tests/stack";
const NOT_BUILT: &str = "not built yet";
const SCENARIOS: &str = "e2e/src/bin/khata-chaos/scenarios.rs";

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
    if let Some(scenario) = name.strip_prefix("make chaos SCENARIO=") {
        let known = std::fs::read_to_string(root.join(SCENARIOS)).unwrap_or_default();
        let is_known = known.contains(&format!("\"{scenario}\""));
        return (!is_known).then(|| format!("{SCENARIOS} has no scenario {scenario}"));
    }
    if let Some(target) = name.strip_prefix("make ") {
        let known = std::fs::read_to_string(root.join("Makefile")).unwrap_or_default();
        let is_known = known.contains(&format!("\n{target}: ## "));
        return (!is_known).then(|| format!("make has no target {target}"));
    }
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
        ("`make chaos SCENARIO=mix`".to_owned(), ""),
        ("`make chaos SCENARIO=mi`".to_owned(), "has no scenario mi"),
        ("`make restore`".to_owned(), ""),
        ("`make restor`".to_owned(), "no target restor"),
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

/// Returns the page without its blocks of code.
fn prose(page: &str) -> String {
    page.split("```").step_by(2).collect()
}

/// Returns the targets of the links: `](docs/api.md#limits)`.
fn targets(prose: &str) -> impl Iterator<Item = &str> {
    let links = prose.split("](").skip(1);
    links.filter_map(|link| Some(link.split_once(')')?.0))
}

/// Returns the anchors of the headings as GitHub makes them.
fn anchors(prose: &str) -> Vec<String> {
    let headings = prose.lines().filter(|line| line.starts_with('#'));
    headings
        .map(|line| {
            let title = line.trim_start_matches('#').trim().to_lowercase();
            let kept = |c: &char| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_');
            title
                .chars()
                .filter(kept)
                .collect::<String>()
                .replace(' ', "-")
        })
        .collect()
}

/// Returns the links of a page that lead nowhere. Pages elsewhere are not looked up.
fn broken_links(path: &Path) -> Vec<String> {
    let page = prose(&std::fs::read_to_string(path).unwrap_or_default());
    let folder = path.parent().unwrap_or(path);
    let leads_nowhere = |target: &&str| {
        if target.contains("://") {
            return false;
        }
        let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
        let file = if file.is_empty() {
            path.to_owned()
        } else {
            folder.join(file)
        };
        let has_anchor = || {
            let text = std::fs::read_to_string(&file).unwrap_or_default();
            anchor.is_empty() || anchors(&prose(&text)).iter().any(|one| one == anchor)
        };
        !file.exists() || !has_anchor()
    };
    let broken = targets(&page).filter(leads_nowhere);
    broken
        .map(|target| format!("{}: {target}", path.display()))
        .collect()
}

#[test]
fn every_link_of_the_pages_leads_somewhere() {
    let root = repository();
    let mut pages = vec![root.join("README.md"), root.join("CONTRIBUTING.md")];
    for entry in std::fs::read_dir(root.join("docs")).expect("docs") {
        pages.extend(entry.map(|entry| entry.path()));
    }
    pages.retain(|path| path.extension().is_some_and(|ending| ending == "md"));
    let links: usize = pages
        .iter()
        .map(|path| targets(&prose(&std::fs::read_to_string(path).unwrap_or_default())).count())
        .sum();
    assert!(links > 100, "{links} links: were the pages read?");
    let broken: Vec<String> = pages.iter().flat_map(|path| broken_links(path)).collect();
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn a_broken_link_is_found() {
    let text =
        "# A `title`, with: signs\n```\n# no title ](no link)\n```\n[a](#b) [c](https://d/e)";
    assert_eq!(anchors(&prose(text)), ["a-title-with-signs"]);
    let prose = prose(text);
    assert_eq!(targets(&prose).collect::<Vec<_>>(), ["#b", "https://d/e"]);
    let page = repository().join("docs/api.md");
    assert!(broken_links(&page).is_empty());
}
