//! What subcommands print.

use std::{
    fmt::Write as _,
    io::{self, Write},
};

use anyhow::Context;

use crate::{config::Problem, language::is_control};

/// Whether somebody reads what is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reader {
    /// Somebody does.
    Reads,
    /// The pipe is closed, as by `head`: nothing more needs to be found for it.
    Gone,
}

/// Prints to standard output; a closed pipe is not an error.
///
/// # Errors
/// It cannot be written, as on a full disk: whoever keeps what is printed must not take half of it for the whole.
pub(super) fn print_out(text: &str) -> anyhow::Result<()> {
    print_to_reader(text).map(|_| ())
}

/// The same for an output of many parts, and says whether somebody still reads it.
pub(super) fn print_to_reader(text: &str) -> anyhow::Result<Reader> {
    reader_after(write_all(&mut io::stdout(), text)).context(UNPRINTED)
}

const UNPRINTED: &str = "standard output cannot be written to";

/// Without the flush, what follows the last line end would be written when the process ends, and its failure told to nobody.
fn write_all(out: &mut impl Write, text: &str) -> io::Result<()> {
    out.write_all(text.as_bytes())?;
    out.flush()
}

/// What a write to a pipe or a file has shown.
pub(super) fn reader_after(written: io::Result<()>) -> io::Result<Reader> {
    match written {
        Ok(()) => Ok(Reader::Reads),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Reader::Gone),
        Err(error) => Err(error),
    }
}

/// What a command prints of what it does. It goes on if that cannot be printed, because what is half done is worse than what nobody reads,
/// and tells it at its end.
#[derive(Debug, Default)]
pub(super) struct ActionOutput {
    failure: Option<anyhow::Error>,
}

impl ActionOutput {
    pub(super) fn print(&mut self, text: &str) {
        if let Err(error) = print_out(text) {
            self.failure.get_or_insert(error);
        }
    }

    /// # Errors
    /// Something could not be printed.
    pub(super) fn finish(self) -> anyhow::Result<()> {
        self.failure.map_or(Ok(()), Err)
    }
}

/// Prints warnings about the settings to standard error, for subcommands that do not log.
pub(super) fn print_warnings(warnings: &[Problem]) {
    warnings.iter().for_each(|warning| print_error(&format!("evergate: warning: {warning}")));
}

/// Prints to standard error; a closed pipe is not an error.
pub(super) fn print_error(text: &str) {
    let _best_effort = writeln!(io::stderr(), "{}", text.trim_end());
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
            // Beyond the basic plane a character has two units of UTF-16, each with an escape of its own (RFC 8259 section 7).
            for unit in character.encode_utf16(&mut [0; 2]) {
                let _infallible = write!(out, "\\u{unit:04x}");
            }
        } else {
            out.push(character);
        }
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_who_leaves_is_no_failure_and_a_full_disk_is() {
        assert_eq!(reader_after(Ok(())).unwrap(), Reader::Reads);
        assert_eq!(reader_after(Err(io::ErrorKind::BrokenPipe.into())).unwrap(), Reader::Gone);
        assert_eq!(reader_after(Err(io::ErrorKind::StorageFull.into())).unwrap_err().kind(), io::ErrorKind::StorageFull);
    }

    #[test]
    fn json_is_the_same_text_after_its_hidden_characters_are_escaped() {
        let name: String = ('\0'..=char::MAX).filter(|character| is_control(*character)).chain("Eve 😀 \"\\".chars()).collect();
        let escaped = json_text(&serde_json::to_string_pretty(&[&name]).unwrap());
        assert!(!escaped.contains(|character| is_control(character) && character != '\n'));
        assert_eq!(serde_json::from_str::<[String; 1]>(&escaped).unwrap(), [name]);
    }
}
