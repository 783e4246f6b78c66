//! `evergate doctor`: one real login that shows whether the provider lets users stay logged in.

mod terminal;

use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::{Arg, ArgAction, ArgMatches, Command};

use super::{
    output::{json_text, print_out, printable_lines},
    runtime::block_on,
};
use crate::{
    app,
    config::{Environment, Problems, check},
    doctor::{Extent, Level, Report},
};

use terminal::Terminal;

/// Exit status if the worst finding is a warning.
const EXIT_WARNING: u8 = 1;
/// Exit status if the worst finding is an error.
const EXIT_ERROR: u8 = 2;

pub(super) fn command() -> Command {
    let flag = |name: &'static str, help: &'static str| Arg::new(name).long(name).action(ArgAction::SetTrue).help(help);
    Command::new("doctor")
        .about("Log in once, renew twice, and say whether the provider lets users stay logged in")
        .after_help(
            "Exit status: 0 all is well, 1 there are warnings, 2 there are errors, 64 wrong settings, 69 it could not be run.",
        )
        .args([
            flag("storm", "Make 100 concurrent requests on two temporary replicas with an expired token"),
            flag("destructive", "Find out what reuse, logout and revocation do; ends the login, and may need up to two more"),
            flag("yes", "Do not ask before --destructive"),
            flag("json", "Print JSON"),
            Arg::new("provider")
                .long("provider")
                .value_name("NAME")
                .help("The provider to examine, where there are several; all of them, one after the other, if none is named"),
            Arg::new("html").long("html").value_name("FILE").help("Also write the report as one HTML page"),
            Arg::new("redirect_uri").long("redirect-uri").value_name("URI").help(
                "Another redirect URI that is registered at the provider, as in http://localhost:8181/callback, where the doctor \
                 listens itself",
            ),
        ])
}

pub(super) fn run(environment: &Environment, verb: &ArgMatches) -> anyhow::Result<ExitCode> {
    let mut problems = Problems::default();
    let raw = environment.read(&mut problems);
    let settings = check(&raw, problems)?;
    let argument = |name| verb.get_one::<String>(name).map(String::as_str);
    let doctors = app::doctors(&settings, argument("provider"), argument("redirect_uri"))?;
    let has_several = doctors.len() > 1;
    if has_several && argument("html").is_some() {
        bail!("--html is the page of one provider; name it with --provider");
    }
    let extent = Extent { storm: verb.get_flag("storm"), destructive: verb.get_flag("destructive") };
    let reports = block_on(async {
        let (mut terminal, mut reports) = (Terminal::open(), Vec::new());
        if extent.destructive && !verb.get_flag("yes") && !terminal.agrees_to_destructive().await? {
            bail!("nothing was done");
        }
        for doctor in &doctors {
            terminal.listen(doctor.loopback_redirect().as_ref()).await;
            let report = Box::pin(doctor.examine(&mut terminal, extent)).await.context("the browser's answer cannot be read")?;
            if let Some(path) = argument("html") {
                std::fs::write(path, report.html()).with_context(|| format!("cannot write {path}"))?;
            }
            // The provider has a say in it.
            if !verb.get_flag("json") {
                print_out(&printable_lines(&report.text()))?;
            }
            reports.push(report);
        }
        Ok(reports)
    })?;
    if verb.get_flag("json") {
        let mut all: Vec<_> = reports.iter().map(Report::json).collect();
        let whole = if has_several { serde_json::Value::Array(all) } else { all.pop().unwrap_or_default() };
        print_out(&json_text(&format!("{whole:#}\n")))?;
    }
    Ok(match reports.iter().map(Report::level).max() {
        Some(Level::Ok) | None => ExitCode::SUCCESS,
        Some(Level::Warning) => ExitCode::from(EXIT_WARNING),
        Some(Level::Error) => ExitCode::from(EXIT_ERROR),
    })
}
