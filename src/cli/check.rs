//! `evergate check`.

use std::process::ExitCode;

use super::{
    output::{json_text, print_out, printable_lines},
    runtime::block_on,
};
use crate::{
    check::{self, Level},
    clock::Clock,
    config::{self, Environment, Problems},
};

/// Exit status for findings that users will notice.
const EXIT_ERRORS: u8 = 2;
/// Exit status for findings that are worth a look.
const EXIT_WARNINGS: u8 = 1;

/// Checks what these settings name, and prints what it finds.
pub(super) fn run(environment: &Environment, as_json: bool) -> anyhow::Result<ExitCode> {
    let mut problems = Problems::default();
    let raw = environment.read(&mut problems);
    let checked = config::check(&raw, problems)?;
    let report = block_on(async { Ok(check::run(&checked, &Clock::System).await) })?;
    // A provider, a database and an app have a say in it.
    print_out(&if as_json {
        format!("{}\n", json_text(&serde_json::to_string_pretty(&report)?))
    } else {
        printable_lines(&report.to_string())
    })?;
    Ok(match report.worst() {
        Level::Ok | Level::Info => ExitCode::SUCCESS,
        Level::Warning => ExitCode::from(EXIT_WARNINGS),
        Level::Error => ExitCode::from(EXIT_ERRORS),
    })
}
