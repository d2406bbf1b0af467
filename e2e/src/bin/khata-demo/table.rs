//! The table of results.

use comfy_table::presets;
use khata_e2e::client::text;

use crate::Posted;

/// Formats the accounts as a table, a row each.
pub(crate) fn table(posted: &[Posted]) -> String {
    let mut table = comfy_table::Table::new();
    table.load_style(presets::NOTHING).set_header([
        "  example",
        "account",
        "gateway",
        "expected",
        "statuses",
        "name / failure",
        "seconds",
        "",
    ]);
    for one in posted {
        let failure = text(&one.account, "/validation/failure/code");
        let name = text(&one.account, "/validation/name_at_bank");
        table.add_row([
            format!("  {}", one.sample.what),
            one.sample.masked.to_owned(),
            one.gateway().to_owned(),
            one.sample.status.to_owned(),
            one.statuses.join(" > "),
            if failure.is_empty() { name } else { failure }.to_owned(),
            one.took
                .map_or_else(String::new, |took| format!("{:.1}", took.as_secs_f64())),
            if one.is_as_expected() {
                "ok"
            } else {
                "NOT AS EXPECTED"
            }
            .to_owned(),
        ]);
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table.trim_fmt()
}
