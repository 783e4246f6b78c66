//! Settings of `app_tokens`: where apps' jobs ask for their users' tokens, and which they get.

use std::path::PathBuf;

use super::{
    reader::Reader,
    route_reader::RouteReader,
    setting::{Section, Setting, ValueType, setting},
    values,
};
use crate::{
    app_tokens::{ListenAddress, Settings},
    routing::Routes,
    secret::Secret,
};

/// The settings under their heading.
pub(super) const SECTION: Section = Section {
    title: "Tokens for apps' jobs",
    settings: &[
        &APP_TOKEN_ADDRESS,
        &APP_TOKEN_SOCKET_MODE,
        &APP_TOKEN_SECRET,
        &APP_TOKENS,
        &APP_TOKEN_BY_USER,
        &APP_TOKEN_AUDIENCES,
    ],
};

pub(super) const APP_TOKEN_ADDRESS: Setting = setting(
    "app_token_address",
    ValueType::Text,
    "",
    "Where apps' jobs ask for their users' access tokens with `GET /oauth2/token` ([app-jobs.md](app-jobs.md)): a unix socket, as in `unix:/run/evergate/token.sock`, or an address on loopback, as in `127.0.0.1:3001`. Not set: nowhere.",
);
const APP_TOKEN_SOCKET_MODE: Setting = setting(
    "app_token_socket_mode",
    ValueType::Text,
    "0660",
    "The permissions of that unix socket, in octal. Whoever may write to it may ask.",
);
const APP_TOKEN_SECRET: Setting = setting(
    "app_token_secret",
    ValueType::Secret,
    "",
    "What jobs must send as `Authorization: Bearer`: 32 characters at least, as from `openssl rand -hex 32`. Required on loopback, which every process of the machine reaches.",
);
const APP_TOKENS: Setting = setting(
    "app_tokens",
    ValueType::Bool,
    "false",
    "Whether the apps of all routes that send assertions (`CODER_IDENTITY_ASSERTION`) may ask for the tokens of their users, each by the assertion that came with a request.",
);
const APP_TOKEN_BY_USER: Setting = setting(
    "app_token_by_user",
    ValueType::Bool,
    "false",
    "Whether whoever may ask may also name any user (`subject`) who has a session, without an assertion.",
);
const APP_TOKEN_AUDIENCES: Setting = setting(
    "app_token_audiences",
    ValueType::List,
    "",
    "The services that jobs may have an access token exchanged for (token exchange, RFC 8693), as the provider names them: `audience` or `resource` of the exchange. Empty: none.",
);

/// The key of a route.
pub(super) const ROUTE_APP_TOKENS: Setting =
    setting("app_tokens", ValueType::Bool, "", "As `CODER_APP_TOKENS`, for this route's app.");

/// The shortest secret.
const MIN_SECRET: usize = 32;

/// Whether the apps of all routes may ask.
pub(super) fn of_all_routes(reader: &mut Reader<'_>) -> bool {
    reader.boolean(&APP_TOKENS).unwrap_or_default()
}

/// What is allowed; `None` where nobody listens, or something is wrong, which is noted.
pub(super) fn read(reader: &mut Reader<'_>, routes: Option<&Routes>) -> Option<Settings> {
    let mode = reader.parsed(&APP_TOKEN_SOCKET_MODE, socket_mode);
    let by_user = reader.boolean(&APP_TOKEN_BY_USER).unwrap_or_default();
    let secret = reader.owned(&APP_TOKEN_SECRET);
    if secret.as_ref().is_some_and(|secret| secret.len() < MIN_SECRET || !secret.bytes().all(|byte| byte.is_ascii_graphic())) {
        reader.problem(&APP_TOKEN_SECRET, "must be 32 characters or more, without spaces");
    }
    let some_may_ask = routes.is_none_or(|routes| routes.iter().any(|route| route.app_tokens));
    if !reader.is_given(&APP_TOKEN_ADDRESS) {
        for (setting, is_set) in [(&APP_TOKENS, routes.is_some() && some_may_ask), (&APP_TOKEN_BY_USER, by_user)] {
            if is_set {
                reader.warn(setting, "is set, and CODER_APP_TOKEN_ADDRESS is not, so that nobody can ask for tokens");
            }
        }
        return None;
    }
    let listen = reader.parsed(&APP_TOKEN_ADDRESS, |text| address(text, mode))?;
    if matches!(listen, ListenAddress::Loopback(_)) && !reader.is_given(&APP_TOKEN_SECRET) {
        reader.problem(
            &APP_TOKEN_SECRET,
            "is required, because every process of the machine reaches CODER_APP_TOKEN_ADDRESS on loopback",
        );
    }
    if !some_may_ask && !by_user {
        let why = "is set, and nobody may ask there: app_tokens is set for no route, nor CODER_APP_TOKEN_BY_USER";
        reader.problem(&APP_TOKEN_ADDRESS, why);
    }
    let audiences = reader.list(&APP_TOKEN_AUDIENCES);
    Some(Settings { listen, secret: secret.map(Secret::new), by_user, audiences })
}

/// Where jobs ask. On any other interface than loopback others than this machine's processes would get tokens.
fn address(text: &str, mode: Option<u32>) -> Result<ListenAddress, String> {
    let wrong =
        || "must be a unix socket like unix:/run/evergate/token.sock, or an address on loopback like 127.0.0.1:3001".to_owned();
    if let Some(path) = text.strip_prefix("unix:") {
        let path = PathBuf::from(path.strip_prefix("//").unwrap_or(path));
        let is_file = path.is_absolute() && path.file_name().is_some();
        return if is_file { Ok(ListenAddress::Unix { path, mode: mode.unwrap_or(0o600) }) } else { Err(wrong()) };
    }
    match values::address(text) {
        Ok(address) if address.ip().is_loopback() => Ok(ListenAddress::Loopback(address)),
        Ok(_) | Err(_) => Err(wrong()),
    }
}

fn socket_mode(text: &str) -> Result<u32, String> {
    let digits = text.strip_prefix("0o").unwrap_or(text);
    let mode =
        u32::from_str_radix(digits, 8).ok().filter(|mode| *mode <= 0o777 && digits.bytes().all(|byte| byte.is_ascii_digit()));
    mode.ok_or_else(|| "must be permissions in octal, as in 0660".to_owned())
}

impl RouteReader<'_> {
    /// Whether the route's app may ask. It names sessions by the assertions that it gets.
    pub(super) fn app_tokens(&mut self, all: bool, sends_assertions: bool) -> bool {
        let own = self.parsed(&ROUTE_APP_TOKENS, values::boolean);
        if own == Some(true) && !sends_assertions {
            self.problem(&ROUTE_APP_TOKENS, "needs assertion, by which the app says whose token it wants");
        }
        own.unwrap_or(all) && sends_assertions
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jobs_ask_on_this_machine_alone() {
        let unix = |path: &str| Ok(ListenAddress::Unix { path: path.into(), mode: 0o660 });
        for (text, expected) in [
            ("unix:/run/token.sock", unix("/run/token.sock")),
            ("unix:///run/token.sock", unix("/run/token.sock")),
            ("127.0.0.1:3001", Ok(ListenAddress::Loopback("127.0.0.1:3001".parse().unwrap()))),
            ("localhost:3001", Ok(ListenAddress::Loopback("127.0.0.1:3001".parse().unwrap()))),
            ("[::1]:3001", Ok(ListenAddress::Loopback("[::1]:3001".parse().unwrap()))),
        ] {
            assert_eq!(address(text, Some(0o660)), expected, "{text}");
        }
        for text in
            ["", ":3001", "0.0.0.0:3001", "[::]:3001", "192.0.2.1:3001", "unix:token.sock", "unix:", "unix:/", "/run/token.sock"]
        {
            assert!(address(text, Some(0o660)).is_err(), "{text}");
        }
    }

    #[test]
    fn permissions_are_octal() {
        assert_eq!([socket_mode("0660"), socket_mode("600"), socket_mode("0o777")], [Ok(0o660), Ok(0o600), Ok(0o777)]);
        for text in ["", "rw", "0888", "1777", "-1", "+7"] {
            assert!(socket_mode(text).is_err(), "{text}");
        }
    }
}
