//! docs/operations.md as the tests read it: its quotations, commands and statements. A test runs the statements.

use std::path::Path;

use anyhow::Result;
use diesel::connection::SimpleConnection;
use khata_e2e::{Setup, TestStack};

/// Mark of a part that only the reader knows.
const LEFT_OUT: char = '…';

/// The page.
pub(crate) fn page() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/operations.md");
    std::fs::read_to_string(path).unwrap()
}

/// Returns the text below a heading such as `## Restore`, up to the next of its rank or higher.
pub(crate) fn section<'a>(page: &'a str, heading: &str) -> &'a str {
    let (_, below) = page.split_once(&format!("\n{heading}\n")).expect(heading);
    let rank = heading.find(' ').unwrap();
    let end = (1..=rank)
        .filter_map(|rank| below.find(&format!("\n{} ", "#".repeat(rank))))
        .min();
    &below[..end.unwrap_or(below.len())]
}

/// The rows of the section's table, without its head.
fn table<'a>(page: &'a str, heading: &str) -> impl Iterator<Item = &'a str> {
    let lines = section(page, heading).lines();
    lines.filter(|line| line.starts_with('|')).skip(2)
}

fn first_cell(row: &str) -> &str {
    row.split('|').nth(1).unwrap_or_default().trim()
}

/// Returns the first cell of each row of the section's table.
pub(crate) fn first_cells<'a>(page: &'a str, heading: &str) -> Vec<&'a str> {
    table(page, heading).map(first_cell).collect()
}

/// The row of the section's table that begins so.
pub(crate) fn row<'a>(page: &'a str, heading: &str, cell: &str) -> &'a str {
    let mut rows = table(page, heading);
    rows.find(|row| first_cell(row) == cell).expect(cell)
}

/// Returns the texts in backquotes.
pub(crate) fn code(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

/// Returns the texts in quotation marks, outside of code.
pub(crate) fn quoted(text: &str) -> Vec<String> {
    let prose: String = text.split('`').step_by(2).collect();
    prose
        .split('"')
        .skip(1)
        .step_by(2)
        .map(str::to_owned)
        .collect()
}

/// Returns whether the text contains the quotation; `…` matches any text.
pub(crate) fn says(text: &str, quote: &str) -> bool {
    let mut rest = text;
    quote.split(LEFT_OUT).map(str::trim).all(|part| {
        let found = rest.find(part);
        rest = found.map_or("", |at| &rest[at + part.len()..]);
        found.is_some()
    })
}

/// The fenced blocks of this language.
pub(crate) fn blocks<'a>(text: &'a str, language: &str) -> Vec<&'a str> {
    let fence = format!("```{language}\n");
    let blocks = text.split(fence.as_str()).skip(1);
    blocks
        .map(|block| block.split("```").next().unwrap())
        .collect()
}

/// The SQL statement of the page that contains this, without its semicolon.
pub(crate) fn statement<'a>(page: &'a str, part: &str) -> &'a str {
    let mut statements = blocks(page, "sql").into_iter();
    let found = statements.find(|statement| statement.contains(part));
    found.expect(part).trim().trim_end_matches(';')
}

#[tokio::test]
async fn every_statement_in_the_runbook_runs() -> Result<()> {
    let stack = TestStack::start(Setup {
        apis: 0,
        workers: 0,
        ..Setup::default()
    })
    .await?;
    let merchant = stack.database.texts("select id from merchants")?.remove(0);
    let page = page();
    let statements = blocks(&page, "sql");
    assert!(statements.len() >= 4, "{statements:?}");
    let mut connection = stack.database.connect()?;
    for statement in statements {
        assert!(
            statement.trim_start().starts_with("select "),
            "not a select: {statement}"
        );
        // Every `…` in a statement is a merchant's id.
        let filled = statement.replace(LEFT_OUT, &merchant);
        connection.batch_execute(&filled).expect(statement);
    }
    Ok(())
}

#[test]
fn quotations_are_found() {
    let text = "circuit open until 10:02:11 UTC (most recent calls failed)";
    for (quote, is_there) in [
        ("circuit open until … UTC", true),
        ("most recent calls failed", true),
        ("… failed", true),
        ("failed … open", false),
        ("open until 10:02:12", false),
    ] {
        assert_eq!(says(text, quote), is_there, "{quote}");
    }
    assert_eq!(
        quoted(r#"`a{b="c"}` "said" and `x "y"` "again""#),
        ["said", "again"]
    );
    assert_eq!(code("`one` and `two`"), ["one", "two"]);
    let page = "# t\n\n## a\n\n| x | y |\n|---|---|\n| one | 1 |\n\n### b\n\nlow\n\n## c\n";
    assert_eq!(first_cells(page, "## a"), ["one"]);
    assert_eq!(section(page, "### b").trim(), "low");
}
