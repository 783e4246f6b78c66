//! `evergate config`.

use super::output::{print_out, print_warnings};
use crate::config::{Environment, Problems, check, print};

/// Prints the settings, an example or the reference. Invalid settings are printed as well, with what is wrong.
pub(super) fn run(environment: &Environment, what: Option<&str>) -> anyhow::Result<()> {
    match what {
        Some("example") => print_out(&print::example())?,
        Some("reference") => print_out(&print::reference())?,
        Some(_) | None => {
            let mut problems = Problems::default();
            let raw = environment.read(&mut problems);
            print_out(&print::effective(&raw))?;
            match check(&raw, problems) {
                Ok(checked) => print_warnings(&checked.warnings),
                Err(problems) => {
                    print_warnings(raw.warnings());
                    return Err(problems.into());
                }
            }
        }
    }
    Ok(())
}
