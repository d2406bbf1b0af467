//! `khata`: the operator's commands. See `khata --help`.

use std::process::ExitCode;

fn main() -> ExitCode {
    khata_cli::run()
}
