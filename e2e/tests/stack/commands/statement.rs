//! `khata doctor --statement`: compares a gateway's statement with the attempts.

use anyhow::Result;
use khata_e2e::TestStack;
use khata_e2e::client::text;
use serde_json::Value;

use super::doctor::{doctor, rules, stack_with_accounts};
use super::{assert_fails, document_of};

/// A stack with one VALID attempt at CASHFREE, and what its statement has.
struct Paid {
    stack: TestStack,
    /// Our reference of the attempt, and the gateway's.
    ours: String,
    theirs: String,
    /// An hour before and after the attempt, in India.
    before: String,
    after: String,
    /// Ids of the gateway accounts.
    cashfree: String,
    dummy: String,
}

impl Paid {
    async fn start() -> Result<Self> {
        let (stack, _) = stack_with_accounts().await?;
        let listed = document_of(&stack, &["gateway", "list", "--merchant", "e2e"])?;
        let accounts = listed["gateway_accounts"].as_array().unwrap();
        let id_of = |gateway: &str| {
            let account = accounts.iter().find(|one| one["gateway"] == gateway);
            text(account.unwrap(), "/id").to_owned()
        };
        let mut paid = Self {
            cashfree: id_of("CASHFREE"),
            dummy: id_of("DUMMY"),
            ours: String::new(),
            theirs: String::new(),
            before: String::new(),
            after: String::new(),
            stack,
        };
        paid.ours = paid.of_attempt("reference")?;
        paid.theirs = paid.of_attempt("gateway_reference")?;
        paid.before = paid.at("-1 h")?;
        paid.after = paid.at("1 h")?;
        Ok(paid)
    }

    fn of_attempt(&self, column: &str) -> Result<String> {
        let value = format!("select {column} from validation_attempts");
        Ok(self.stack.database.texts(&value)?.remove(0))
    }

    /// Returns the time of the attempt in India, shifted.
    fn at(&self, shift: &str) -> Result<String> {
        self.of_attempt(&format!(
            "to_char((started_at + interval '{shift}') at time zone interval '5 h 30 min', 'YYYY-MM-DD HH24:MI:SS')"
        ))
    }

    /// Compares a statement with these lines: reference, amount and time. Returns the exit code and the document.
    fn compare(
        &self,
        gateway: &str,
        lines: &[(&str, &str, &str)],
        options: &[&str],
    ) -> Result<(Option<i32>, Value)> {
        let rows = lines
            .iter()
            .map(|(reference, amount, time)| format!("{reference},{amount},{time}\n"));
        let statement = format!("User ID,Amount,Added On\n{}", rows.collect::<String>());
        let file = self.stack.write_file("statement.csv", &statement)?;
        let named = ["--statement", &file, "--gateway", gateway];
        doctor(&self.stack, &[&named[..], options].concat())
    }
}

#[tokio::test]
async fn a_gateways_statement_is_compared_with_the_attempts() -> Result<()> {
    let paid = Paid::start().await?;
    let Paid {
        ours,
        theirs,
        before,
        after,
        cashfree,
        ..
    } = &paid;
    let stack = &paid.stack;
    // The second attempt of the validation, which was not made.
    let unknown = ours.replace("_01", "_02");
    let own = (ours.as_str(), "1.00", before.as_str());
    let end = (theirs.as_str(), "1", after.as_str());
    for (lines, found) in [
        (vec![own], vec![]),
        // By the gateway's id, beside other payments.
        (vec![end, ("payroll", "25,000.00", before)], vec![]),
        (
            vec![own, (&unknown, "1.00", after)],
            vec![("rupee-without-attempt", 1)],
        ),
        (
            vec![own, (ours, "1.00", after)],
            vec![("rupees-of-one-reference", 1)],
        ),
        // Reversed, in either order of the rows and with either sign of payments.
        (vec![own, (ours, "-1.00", after)], vec![]),
        (vec![(ours, "-1", before), (ours, "1", after)], vec![]),
        (vec![own, (ours, "1", after), (ours, "-1", after)], vec![]),
        (
            vec![own, (&unknown, "1", after), (&unknown, "-1", after)],
            vec![("rupee-without-attempt", 1)],
        ),
        (
            vec![(&unknown, "1", before), ("theirs-2", "-1", after)],
            vec![("attempt-without-rupee", 1), ("rupee-without-attempt", 2)],
        ),
    ] {
        let (code, document) = paid.compare(cashfree, &lines, &[])?;
        let expected = Some(i32::from(!found.is_empty()));
        assert_eq!(
            (code, rules(&document)),
            (expected, found),
            "{lines:?}: {document}"
        );
    }
    let (_, document) = paid.compare(cashfree, &[own, (&unknown, "1", after)], &[])?;
    let finding = &document["rules"][0]["findings"][0];
    let says = format!("line 3: {unknown}: no attempt has it");
    assert_eq!(text(finding, "/detail"), says, "{document}");
    // The statement of another gateway account of the merchant.
    let columns = ["--reference-column", "userid", "--time-column", "ADDED ON"];
    let (code, document) = paid.compare(&paid.dummy, &[own], &columns)?;
    assert_eq!(
        (code, rules(&document)),
        (Some(1), vec![("rupee-without-attempt", 1)])
    );
    let detail = text(&document["rules"][0]["findings"][0], "/detail");
    assert!(
        detail.ends_with(&format!("its attempt is at gateway account {cashfree}")),
        "{detail}"
    );

    let file = stack.write_file("bad.csv", "User ID,Amount,Added On\nkh,1.00,yesterday\n")?;
    let named = ["doctor", "--statement", &file, "--gateway", cashfree];
    assert_fails(stack, &named, 2, "line 2")?;
    let wrong = [&named[..], &["--amount-column", "rupees"]].concat();
    assert_fails(stack, &wrong, 2, "User ID, Amount, Added On")?;
    assert_fails(stack, &named[..3], 2, "--gateway")
}

#[tokio::test]
async fn a_rupee_is_missed_within_the_period_of_all_rows_or_of_the_options() -> Result<()> {
    let paid = Paid::start().await?;
    let Paid {
        ours,
        before,
        after,
        cashfree,
        ..
    } = &paid;
    let unknown = ours.replace("_01", "_02");
    // A row of any amount, and the options, say that the statement covers a time.
    let other_amounts = [
        ("opening", "100.00", before.as_str()),
        ("closing", "100", after.as_str()),
    ];
    let not_ours = (unknown.as_str(), "1.00", before.as_str());
    let paid_elsewhere = ("rupee-without-attempt", 1);
    for (lines, options, missing) in [
        (vec![not_ours], &[][..], false),
        ([&other_amounts[..], &[not_ours]].concat(), &[], true),
        (
            [&other_amounts[..], &[not_ours]].concat(),
            &["--since", "0m"],
            false,
        ),
        (vec![not_ours], &["--until", "0m"], true),
    ] {
        let (_, document) = paid.compare(cashfree, &lines, options)?;
        let missing = missing.then_some(("attempt-without-rupee", 1));
        let expected: Vec<_> = missing.into_iter().chain([paid_elsewhere]).collect();
        assert_eq!(
            rules(&document),
            expected,
            "{lines:?} {options:?}: {document}"
        );
        let notes = document["notes"].to_string();
        assert!(notes.contains("Compared period: 20"), "{notes}");
        assert!(notes.contains("A UTR is neither"), "{notes}");
    }
    Ok(())
}

#[tokio::test]
async fn a_statement_is_read_as_banks_export_it_and_names_the_merchant_of_a_rupee() -> Result<()> {
    let paid = Paid::start().await?;
    let Paid {
        stack,
        ours,
        before,
        cashfree,
        ..
    } = &paid;
    let own = (ours.as_str(), "1.00", before.as_str());
    // As banks export it: a title, semicolons, dates with the month's name.
    let day = chrono::NaiveDate::parse_from_str(&paid.at("0 h")?[..10], "%Y-%m-%d")?;
    let day = day.format("%d-%b-%y");
    let export = format!("Statement of account;;\n\nUser ID;Amount;Added On\n{ours};1.00;{day}\n");
    let file = stack.write_file("export.csv", &export)?;
    let (code, document) = doctor(stack, &["--statement", &file, "--gateway", cashfree])?;
    assert_eq!((code, rules(&document)), (Some(0), vec![]), "{document}");
    // The gateway account of another merchant.
    stack.issue_key("other")?;
    let listed = document_of(stack, &["gateway", "list", "--merchant", "other"])?;
    let theirs_at = text(&listed, "/gateway_accounts/0/id");
    let columns = ["--reference-column", "userid", "--time-column", "ADDED ON"];
    let (_, document) = paid.compare(theirs_at, &[own], &columns)?;
    let detail = text(&document["rules"][0]["findings"][0], "/detail");
    let says = format!("its attempt is at gateway account {cashfree} of merchant e2e");
    assert!(detail.ends_with(&says), "{detail}");
    Ok(())
}

#[tokio::test]
async fn a_rupee_of_an_attempt_that_is_not_valid_is_a_violation_or_worth_knowing() -> Result<()> {
    let paid = Paid::start().await?;
    let Paid {
        stack,
        ours,
        after,
        cashfree,
        ..
    } = &paid;
    let unpaid = "update validation_attempts set class = 'MISCONFIGURED'";
    stack.database.execute(unpaid)?;
    let late = (ours.as_str(), "1.00", after.as_str());
    let (_, document) = paid.compare(cashfree, &[late], &[])?;
    assert_eq!(rules(&document), [("rupee-of-unpaid-attempt", 1)]);
    // The rupee of a call that failed came back.
    let back = (ours.as_str(), "-1.00", after.as_str());
    let (code, document) = paid.compare(cashfree, &[late, back], &[])?;
    assert_eq!((code, rules(&document)), (Some(0), vec![]), "{document}");
    assert_eq!(document["read"]["rupees_of_the_statement"], 1, "{document}");
    let notes = document["notes"].to_string();
    assert!(notes.contains("the same reference reversed: 1."), "{notes}");

    // A rupee that the gateway has not taken back is worth knowing, and no violation.
    let invalid = "update validation_attempts set class = 'INVALID', code = 'INVALID_ACCOUNT'";
    stack.database.execute(invalid)?;
    let (code, document) = paid.compare(cashfree, &[late], &[])?;
    assert_eq!((code, rules(&document)), (Some(0), vec![("rupee-kept", 1)]));
    let rule = &document["rules"][0];
    assert_eq!(rule["information"], true, "{document}");
    assert!(text(&rule["findings"][0], "/detail").ends_with("ended INVALID INVALID_ACCOUNT"));
    let (_, document) = paid.compare(cashfree, &[late, back], &[])?;
    assert!(rules(&document).is_empty(), "{document}");
    Ok(())
}
