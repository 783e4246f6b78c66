//! `evergate login`, `token` and `git-credential`: a terminal gets a personal access token, and gives it to curl, Git and whatever else
//! asks for one.

mod client;
mod kept;

use std::{io::BufRead, path::Path};

use anyhow::{Context, bail};
use base64::prelude::*;
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use url::{Url, form_urlencoded};

use super::{
    callback::Callback,
    output::{print_error, print_out, printable},
    runtime::block_on,
};
use crate::secret::{random_text, sha256};

use client::Client;
use kept::KeptTokens;

const PAGE: &str = "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<title>evergate login</title>\n\
    <p>Done. The terminal is signed in; this window can be closed.</p>\n</html>\n";

fn url_argument() -> Arg {
    Arg::new("url").value_name("URL").required(true).value_parser(origin).help("The app's address, as in https://app.example.com")
}

pub(super) fn commands() -> [Command; 3] {
    let option =
        |name: &'static str, value: &'static str, help: &'static str| Arg::new(name).long(name).value_name(value).help(help);
    [
        Command::new("login")
            .about("Get a personal access token for an app behind Evergate, by signing in in a browser")
            .arg(url_argument())
            .args([
                option("name", "NAME", "What the token is called among yours; default: this machine's name"),
                option("days", "DAYS", "How long it lives").value_parser(value_parser!(u32).range(1..)),
                option("route", "ROUTE", "The only route where it may be used, as the page of tokens names it"),
                option("ca", "FILE", "PEM file of the CA bundle that the app's certificate is verified with"),
                option("prefix", "PATH", "CODER_PATH_PREFIX of that Evergate; default /oauth2"),
                Arg::new("no-browser")
                    .long("no-browser")
                    .action(ArgAction::SetTrue)
                    .help("The browser is on another machine: copy a code from it"),
            ]),
        Command::new("token").about("Print the token that login has got for an app").arg(url_argument()),
        Command::new("git-credential")
            .about("Give Git the token that login has got: git config credential.URL.helper '!evergate git-credential'")
            .arg(Arg::new("operation").required(true).help("What Git asks for: get; store and erase do nothing")),
    ]
}

/// Gets a token, and keeps it in the user's configuration directory.
pub(super) fn login(verb: &ArgMatches) -> anyhow::Result<()> {
    let text = |name: &str| verb.get_one::<String>(name).cloned();
    let app = text("url").unwrap_or_default();
    let prefix = text("prefix").unwrap_or_else(|| "/oauth2".to_owned());
    let client = Client::new(text("ca").as_deref().map(Path::new))?;
    let kept = KeptTokens::open()?;
    let verifier = random_text::<32>();
    let challenge = BASE64_URL_SAFE_NO_PAD.encode(sha256(verifier.as_bytes()));
    let state = random_text::<16>();
    let token = block_on(async {
        let loopback = Url::parse("http://127.0.0.1:0/")?;
        let callback = match verb.get_flag("no-browser") {
            true => None,
            false => Some(Callback::listen(&loopback, PAGE).await.context("no port of this machine can be listened on")?),
        };
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.append_pair("name", &text("name").unwrap_or_else(kept::machine_name));
        query.append_pair("code_challenge", &challenge).append_pair("state", &state);
        query.extend_pairs(verb.get_one::<u32>("days").map(|days| ("days", days.to_string())));
        query.extend_pairs(text("route").map(|route| ("route", route)));
        query.extend_pairs(callback.as_ref().map(|callback| ("port", callback.port().to_string())));
        let address = format!("{app}{prefix}/terminal?{}", query.finish());
        print_error(&format!("Open this page in a browser, and allow the token:\n\n  {address}\n"));
        let code = match callback {
            Some(mut callback) => {
                client::open_browser(&address);
                let query = callback.comes_back(Some(&state)).await;
                let code = form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "code");
                code.map(|(_, code)| code.into_owned()).context("the browser has brought no code")?
            }
            None => {
                print_error("Paste the code that the page shows:");
                let mut line = String::new();
                std::io::stdin().lock().read_line(&mut line)?;
                line.trim().to_owned()
            }
        };
        client.redeem(&format!("{app}{prefix}/terminal/token"), &code, &verifier).await
    })?;
    let days = token.expires_in / (24 * 3600);
    kept.keep(&app, &token.into())?;
    print_error(&format!(
        "Signed in at {} for {days} days. Use the token with: $(evergate token {})",
        printable(&app),
        printable(&app)
    ));
    Ok(())
}

/// Prints the token of an app.
pub(super) fn token(verb: &ArgMatches) -> anyhow::Result<()> {
    let app = verb.get_one::<String>("url").cloned().unwrap_or_default();
    let Some(kept) = KeptTokens::open()?.find(&app)? else {
        bail!("there is no token for {}: run evergate login {0}", printable(&app))
    };
    if kept.has_expired() {
        bail!("{}", expired(&app));
    }
    print_out(&format!("{}\n", kept.token.expose()))
}

/// Speaks Git's protocol of credential helpers (gitcredentials(7)): lines `name=value` to an empty one. Of an app that is not known,
/// nothing is said, so that Git asks elsewhere.
pub(super) fn git_credential(verb: &ArgMatches) -> anyhow::Result<()> {
    if verb.get_one::<String>("operation").map(String::as_str) != Some("get") {
        return Ok(());
    }
    let (mut protocol, mut host) = (String::new(), String::new());
    for line in std::io::stdin().lock().lines() {
        match line?.split_once('=') {
            Some(("protocol", value)) => value.clone_into(&mut protocol),
            Some(("host", value)) => value.clone_into(&mut host),
            Some(_) => {}
            None => break,
        }
    }
    let Ok(app) = origin(&format!("{protocol}://{host}")) else { return Ok(()) };
    match KeptTokens::open()?.find(&app)? {
        Some(kept) if kept.has_expired() => print_error(&expired(&app)),
        Some(kept) => print_out(&format!("username=evergate\npassword={}\n", kept.token.expose()))?,
        None => {}
    }
    Ok(())
}

fn expired(app: &str) -> String {
    format!("the token for {} has expired: run evergate login {0}", printable(app))
}

/// The origin of an app's address. A token is sent there, so that it must be https, except on this machine.
fn origin(text: &str) -> anyhow::Result<String> {
    let url = Url::parse(text).with_context(|| format!("{} is no address like https://app.example.com", printable(text)))?;
    let is_loopback = url.host().is_some_and(|host| match host {
        url::Host::Ipv4(address) => address.is_loopback(),
        url::Host::Ipv6(address) => address.is_loopback(),
        url::Host::Domain(name) => name == "localhost",
    });
    match url.scheme() {
        "https" => Ok(url.origin().ascii_serialization()),
        "http" if is_loopback => Ok(url.origin().ascii_serialization()),
        _ => bail!("{} is no https address", printable(text)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_for_an_origin_and_sent_over_tls() {
        for (text, expected) in [
            ("https://app.example.com", Some("https://app.example.com")),
            ("https://App.example.com:443/a?b", Some("https://app.example.com")),
            ("https://app.example.com:8443/", Some("https://app.example.com:8443")),
            ("http://127.0.0.1:80/", Some("http://127.0.0.1")),
            ("http://localhost:3000", Some("http://localhost:3000")),
            ("http://app.example.com", None),
            ("app.example.com", None),
            ("ftp://app.example.com", None),
            ("://", None),
        ] {
            assert_eq!(origin(text).ok().as_deref(), expected, "{text}");
        }
    }
}
