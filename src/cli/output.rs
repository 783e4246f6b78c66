//! What subcommands print.

use std::io::Write;

use crate::config::Problem;

/// Prints to standard output; a closed pipe is not an error.
pub(super) fn print_out(text: &str) {
    let _best_effort = std::io::stdout().write_all(text.as_bytes());
}

/// Prints warnings about the settings to standard error, for subcommands that do not log.
pub(super) fn print_warnings(warnings: &[Problem]) {
    warnings.iter().for_each(|warning| print_error(&format!("evergate: warning: {warning}")));
}

/// Prints to standard error; a closed pipe is not an error.
pub(super) fn print_error(text: &str) {
    let _best_effort = writeln!(std::io::stderr(), "{}", text.trim_end());
}
