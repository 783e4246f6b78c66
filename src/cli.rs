//! The command line: one subcommand per file.

mod callback;
mod check;
mod config;
mod demo;
mod doctor;
mod existing_store;
mod healthcheck;
mod keys;
mod login;
mod metrics;
mod migrate;
mod nobody;
mod output;
mod recorded;
mod reload;
mod runtime;
mod serve;
mod sessions;
mod signals;
mod spans;
mod translate;

use std::{collections::BTreeMap, process::ExitCode};

use clap::{Arg, ArgAction, ArgMatches, Command};

use crate::{
    config::{Environment, Problems, Setting, table},
    telemetry::logs::causes,
};

use nobody::Nobody;
use output::{print_error, reader_after};

/// Exit status for invalid settings or arguments (`EX_USAGE`).
const EXIT_USAGE: u8 = 64;
/// Exit status where nobody has the name that a command was given (`EX_NOUSER`).
const EXIT_NOBODY: u8 = 67;
/// Exit status for any other failure (`EX_UNAVAILABLE`).
const EXIT_UNAVAILABLE: u8 = 69;

/// Subcommands that no setting has an effect on.
const WITHOUT_SETTINGS: [&str; 5] = ["demo", "git-credential", "login", "metrics", "token"];

/// Parses the command line and runs its subcommand.
pub fn main() -> ExitCode {
    let matches = match command().try_get_matches() {
        Ok(matches) => matches,
        Err(error) => {
            let is_printed = reader_after(error.print()).is_ok();
            return match (error.use_stderr(), is_printed) {
                (true, _) => ExitCode::from(EXIT_USAGE),
                (false, false) => ExitCode::from(EXIT_UNAVAILABLE),
                (false, true) => ExitCode::SUCCESS,
            };
        }
    };
    let result = match matches.subcommand() {
        Some(("check", verb)) => {
            return exit_code(check::run(&environment(&matches), verb.get_flag("json")));
        }
        None | Some(("serve", _)) => serve::run(&environment(&matches)),
        Some(("config", verb)) => match verb.subcommand() {
            Some(("translate", verb)) => return exit_code(translate::run(&environment(&matches), verb)),
            Some((what, _)) => config::run(&environment(&matches), Some(what)),
            None => config::run(&environment(&matches), None),
        },
        Some((name, _)) if WITHOUT_SETTINGS.contains(&name) && takes_settings(&matches) => Err(no_settings(name).into()),
        Some(("demo", verb)) => demo::run(
            verb.get_one::<u16>("port").copied(),
            verb.get_one::<String>("app").map(String::as_str),
            verb.get_flag("admin"),
        ),
        Some(("doctor", verb)) => return exit_code(doctor::run(&environment(&matches), verb)),
        Some(("healthcheck", _)) => healthcheck::run(&environment(&matches)),
        Some(("login", verb)) => login::login(verb),
        Some(("token", verb)) => login::token(verb),
        Some(("git-credential", verb)) => login::git_credential(verb),
        Some(("keys", verb)) => keys::run(&environment(&matches), verb),
        Some(("metrics", _)) => metrics::run(),
        Some(("migrate", _)) => migrate::run(&environment(&matches)),
        Some(("sessions", verb)) => sessions::run(&environment(&matches), verb),
        Some((_, _)) => Ok(()),
    };
    exit_code(result.map(|()| ExitCode::SUCCESS))
}

fn exit_code(result: anyhow::Result<ExitCode>) -> ExitCode {
    match result {
        Ok(code) => code,
        Err(error) => {
            print_error(&format!("evergate: {}", causes(error.as_ref())));
            ExitCode::from(exit_status(&error))
        }
    }
}

/// By which exit status a script tells why a command failed.
fn exit_status(error: &anyhow::Error) -> u8 {
    if error.is::<Problems>() {
        EXIT_USAGE
    } else if error.is::<Nobody>() {
        EXIT_NOBODY
    } else {
        EXIT_UNAVAILABLE
    }
}

/// Whether settings are given as arguments.
fn takes_settings(matches: &ArgMatches) -> bool {
    let environment = environment(matches);
    !environment.flags.is_empty() || environment.config_path.is_some()
}

fn no_settings(name: &str) -> Problems {
    let mut problems = Problems::default();
    problems.add(format!("evergate {name}"), "takes none, and would ignore them");
    problems
}

/// All subcommands, with their arguments and with a flag for each setting.
pub fn command() -> Command {
    let verb = |name: &'static str, about: &'static str| Command::new(name).about(about);
    let config = verb("config", "Show the settings in effect and where each comes from")
        .subcommand(verb("show", "The settings in effect (the default)"))
        .subcommand(verb("example", "A configuration file with every setting and its default"))
        .subcommand(verb("reference", "The settings reference as Markdown"))
        .subcommand(translate::command());
    let port = Arg::new("port")
        .long("port")
        .value_parser(clap::value_parser!(u16))
        .help("Where the demo listens; any free port if left out");
    let app = Arg::new("app").long("app").value_name("URL").help("An app of yours to stand in for the sample one");
    let admin = Arg::new("admin")
        .long("admin")
        .action(ArgAction::SetTrue)
        .help("Show the administration, with two weeks of made history");
    let json = Arg::new("json").long("json").action(ArgAction::SetTrue).help("Print the findings as JSON");
    let secret_or_value = |key: &'static Setting| if key.is_secret() { format!("{}-file", key.flag()) } else { key.flag() };
    let flags = table::all().map(|key| {
        Arg::new(key.name)
            .long(secret_or_value(key))
            .value_name("VALUE")
            .global(true)
            .hide_short_help(true)
            .help(key.help)
            .help_heading("Settings")
    });
    Command::new("evergate")
        .about("An authenticating reverse proxy that keeps people logged in")
        .version(env!("CARGO_PKG_VERSION"))
        .subcommand(verb("serve", "Run the gateway (the default)"))
        .subcommand(verb("demo", "Run a provider, an app and the gateway between them on this machine").args([port, app, admin]))
        .subcommand(config)
        .subcommand(verb("check", "Find misconfiguration: settings, provider, database, upstreams; needs no user").arg(json))
        .subcommand(verb("metrics", "The metrics reference as Markdown"))
        .subcommand(verb("migrate", "Bring the database up to date and exit"))
        .subcommand(doctor::command())
        .subcommand(keys::command())
        .subcommands(login::commands())
        .subcommand(sessions::command())
        .subcommand(verb("healthcheck", "Ask the gateway on this machine whether it is alive"))
        .arg(
            Arg::new("config_path")
                .long("config")
                .value_name("FILE")
                .global(true)
                .help("A file with settings: TOML, or YAML as Coder has it"),
        )
        .args(flags)
}

/// Collects the process's environment variables and the flags of `matches`.
fn environment(matches: &ArgMatches) -> Environment {
    // Global flags may follow the subcommand; then the innermost matches have them.
    let mut innermost = matches;
    while let Some((_, inner)) = innermost.subcommand() {
        innermost = inner;
    }
    let flag = |name: &str| innermost.get_one::<String>(name).cloned();
    let flags: BTreeMap<_, _> = table::all()
        .filter_map(|key| {
            let name = if key.is_secret() { format!("{}_file", key.name) } else { key.name.to_owned() };
            Some((name, flag(key.name)?))
        })
        .collect();
    Environment::of_process(flags, flag("config_path"))
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_command_line_is_well_formed() {
        super::command().debug_assert();
    }
}
