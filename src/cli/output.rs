//! What subcommands print.

use std::{fmt::Write as _, io::Write};

use crate::{config::Problem, language::is_control};

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

/// Replaces characters by which a provider's text could control the terminal that shows it.
pub(super) fn printable(text: &str) -> String {
    text.chars().map(|character| if is_control(character) { '\u{fffd}' } else { character }).collect()
}

/// The same for a whole text of several lines: whoever can write to the database may have written any part of it.
pub(super) fn printable_lines(text: &str) -> String {
    text.split('\n').map(printable).collect::<Vec<_>>().join("\n")
}

/// JSON, with escapes for such characters. Outside of its texts there are none but line ends.
pub(super) fn json_text(json: &str) -> String {
    json.chars().fold(String::new(), |mut out, character| {
        if is_control(character) && character != '\n' {
            // All of them are in the basic plane, and have one unit of UTF-16.
            let _infallible = write!(out, "\\u{:04x}", u32::from(character));
        } else {
            out.push(character);
        }
        out
    })
}
