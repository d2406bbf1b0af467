//! `khata merchant list`.

use khata_store::merchants;
use serde_json::{Value, json};

use super::settings::{merchant_json, results_reused};
use crate::options::CommonOptions;
use crate::output::{Table, time, yes_or_no};

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct List {
    #[command(flatten)]
    common: CommonOptions,
}

impl List {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let mut connection = self.common.connect()?;
        let merchants = merchants::all(&mut connection)?;
        let headings = [
            "NAME",
            "ID",
            "CREATED",
            "IMPLICIT CUSTOMERS",
            "DEADLINE",
            "REQUESTS/S",
            "VALIDATIONS/DAY",
            "FAIL ON NAME MISMATCH",
            "RESULTS REUSED",
        ];
        let rows = merchants.iter().map(|merchant| {
            [
                merchant.name.clone(),
                merchant.id.to_string(),
                time(merchant.created_at),
                yes_or_no(merchant.implicit_customers).to_owned(),
                format!("{} s", merchant.validation_deadline_seconds),
                merchant.requests_per_second.to_string(),
                merchant.validations_per_account_per_day.to_string(),
                yes_or_no(merchant.fail_on_name_mismatch).to_owned(),
                results_reused(merchant),
            ]
        });
        let table = Table::rows(headings, rows);
        let list: Vec<Value> = merchants.iter().map(merchant_json).collect();
        self.common
            .print(&json!({ "merchants": list }), &table.to_string())
    }
}
