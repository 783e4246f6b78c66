//! `evergate config translate`.

use std::{
    io::Write as _,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::Path,
    process::ExitCode,
};

use anyhow::Context as _;
use clap::{Arg, ArgAction, ArgMatches, Command};

use super::output::{print_error, print_out, printable};
use crate::{
    config::Environment,
    translate::{self, Output, Secrets, Severity, Sources},
};

/// Exit status where something is to be filled in, or is different from before.
const EXIT_WARNINGS: u8 = 1;
/// Exit status where an administrator must decide.
const EXIT_DECISION: u8 = 2;
/// Where secrets are mounted unless the administrator says otherwise.
const SECRETS: &str = "/run/secrets";
const FILE: &str = "evergate.toml";

pub(super) fn command() -> Command {
    let switch = |name: &'static str, help: &'static str| Arg::new(name).long(name).action(ArgAction::SetTrue).help(help);
    Command::new("translate")
        .about("Translate oauth2-proxy's configuration, and say what has no equivalent")
        .long_about(
            "Translates oauth2-proxy's configuration: its environment (OAUTH2_PROXY_...), its command line after --, and files. By its \
             name, a file is variables (.env), YAML (.yaml, .yml: the alpha configuration, a Kubernetes manifest, a compose file, \
             values of the Helm chart), or else oauth2-proxy.cfg. Evergate's own flags, as in --access-url, fill in what it cannot \
             know.\n\nExit codes: 0 all is translated, 1 something is different or to be filled in, 2 an administrator must decide, 64 a \
             source cannot be read.",
        )
        .arg(Arg::new("file").value_name("FILE").num_args(0..).help("Files of oauth2-proxy, or that hold how it is started"))
        .arg(Arg::new("output").long("output").value_name("DIR").help("Write evergate.env, evergate.toml and secrets/ into a new folder"))
        .arg(switch("show-secrets", "Print secrets; otherwise only where they are to be"))
        .arg(switch("options", "Print the table of all options instead"))
        .arg(
            Arg::new("argument")
                .value_name("OAUTH2-PROXY'S FLAGS")
                .num_args(0..)
                .last(true)
                .allow_hyphen_values(true)
                .help("oauth2-proxy's command line"),
        )
}

pub(super) fn run(environment: &Environment, verb: &ArgMatches) -> anyhow::Result<ExitCode> {
    if verb.get_flag("options") {
        print_out(&translate::options_page())?;
        return Ok(ExitCode::SUCCESS);
    }
    let all = |name: &str| verb.get_many::<String>(name).unwrap_or_default().cloned().collect();
    let sources = Sources { arguments: all("argument"), variables: environment.variables.clone(), files: all("file") };
    let translation = translate::translate(&sources, &environment.flags, &|path| std::fs::read_to_string(path))?;
    match verb.get_one::<String>("output") {
        Some(folder) => {
            let folder = std::path::absolute(folder)?;
            let within = |name: &str| folder.join(name).display().to_string();
            write(&folder, &translation.output(&Secrets::In(within("secrets")), &within(FILE)))?;
        }
        None => {
            let secrets = if verb.get_flag("show-secrets") { Secrets::Shown } else { Secrets::In(SECRETS.to_owned()) };
            let output = translation.output(&secrets, FILE);
            print_out(&output.environment)?;
            if let Some(file) = output.file {
                print_out(&format!("\n# ---- {FILE} ----\n{file}"))?;
            }
        }
    }
    for note in translation.notes().iter().filter(|note| note.severity > Severity::Info) {
        print_error(&printable(&note.to_string()));
    }
    Ok(match translation.severity() {
        Severity::Info => ExitCode::SUCCESS,
        Severity::Warning => ExitCode::from(EXIT_WARNINGS),
        Severity::Error => ExitCode::from(EXIT_DECISION),
    })
}

/// Writes the files for their owner alone. What is there already is never overwritten.
fn write(folder: &Path, output: &Output) -> anyhow::Result<()> {
    let make = |folder: &Path| {
        std::fs::DirBuilder::new().mode(0o700).create(folder).with_context(|| format!("{} cannot be created", folder.display()))
    };
    make(folder)?;
    let put = |path: &Path, text: &str| {
        let file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
        file.and_then(|mut file| file.write_all(text.as_bytes())).with_context(|| format!("{} cannot be written", path.display()))
    };
    put(&folder.join("evergate.env"), &output.environment)?;
    if let Some(file) = &output.file {
        put(&folder.join(FILE), file)?;
    }
    let secrets = folder.join("secrets");
    make(&secrets)?;
    output.secrets.iter().try_for_each(|(name, value)| put(&secrets.join(name), value))
}
