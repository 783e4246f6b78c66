//! `evergate config`.

use super::{say, say_warnings};
use crate::config::{Environment, Problems, check, print};

/// Prints what was asked for. Settings that are wrong are shown all the same, with what is wrong.
pub(super) fn run(environment: &Environment, what: Option<&str>) -> anyhow::Result<()> {
    match what {
        Some("example") => say(&print::example()),
        Some("reference") => say(&print::reference()),
        Some(_) | None => {
            let mut problems = Problems::default();
            let raw = environment.read(&mut problems);
            say(&print::effective(&raw));
            match check(&raw, problems) {
                Ok(checked) => say_warnings(&checked.warnings),
                Err(problems) => {
                    say_warnings(raw.warnings());
                    return Err(problems.into());
                }
            }
        }
    }
    Ok(())
}
