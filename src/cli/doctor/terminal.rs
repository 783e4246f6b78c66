//! The administrator's terminal, which tells where to send a browser, and takes what it comes back with.

use std::io::{self, BufRead};

use tokio::sync::mpsc;
use url::Url;

use crate::{
    cli::{callback::Callback, output::print_error},
    doctor::{Browser, Errand},
};

const PAGE: &str = "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<title>evergate doctor</title>\n\
    <p>Done. The report is in the terminal; this window can be closed.</p>\n</html>\n";

/// The terminal, and the listener where browsers come back by themselves.
pub(super) struct Terminal {
    lines: mpsc::Receiver<String>,
    callback: Option<Callback>,
}

impl Terminal {
    /// Reads standard input from now on.
    pub(super) fn open() -> Self {
        let (sender, lines) = mpsc::channel(1);
        // A thread of its own, because a read of standard input cannot be cancelled. It ends with the process.
        std::thread::spawn(move || {
            for line in io::stdin().lock().lines().map_while(Result::ok) {
                if sender.blocking_send(line).is_err() {
                    break;
                }
            }
        });
        Self { lines, callback: None }
    }

    /// Listens at `redirect` from now on, if that is an address of this machine, and nowhere else.
    pub(super) async fn listen(&mut self, redirect: Option<&Url>) {
        if let Some(before) = self.callback.take() {
            before.close().await;
        }
        let Some(redirect) = redirect else { return };
        match Callback::listen(redirect, PAGE).await {
            Ok(callback) => self.callback = Some(callback),
            Err(error) => {
                print_error(&format!("{redirect} cannot be listened on ({error}), so its address is to be pasted here."));
            }
        }
    }

    /// Asks whether the login may be ended.
    pub(super) async fn agrees_to_destructive(&mut self) -> io::Result<bool> {
        print_error(
            "--destructive presents a used refresh token again, logs the browser out at the provider, and revokes the tokens of \
             this login. Use a test account: some providers end the user's other sessions too. Go on? [y/N]",
        );
        let answer = self.lines.recv().await.ok_or_else(end_of_input)?;
        Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
    }

    /// A line of standard input. Never, once it has ended, if browsers come back by themselves.
    async fn line(lines: &mut mpsc::Receiver<String>, is_listening: bool) -> io::Result<String> {
        match lines.recv().await {
            Some(line) => Ok(line),
            None if is_listening => std::future::pending().await,
            None => Err(end_of_input()),
        }
    }
}

impl Browser for Terminal {
    async fn visit(&mut self, errand: Errand, url: &Url) -> io::Result<String> {
        print_error(&instructions(errand, url, self.callback.is_some()));
        loop {
            let state = url.query_pairs().find(|(name, _)| name == "state").map(|(_, state)| state.into_owned());
            let line = Self::line(&mut self.lines, self.callback.is_some());
            let line = match &mut self.callback {
                None => line.await?,
                Some(callback) => tokio::select! {
                    query = callback.comes_back(state.as_deref()) => return Ok(query),
                    line = line => line?,
                },
            };
            match query_of(&line) {
                _ if errand == Errand::Logout => return Ok(String::new()),
                Some(query) => return Ok(query),
                None => print_error("That is not the address of a login's end, which has code or error, and state. Once more:"),
            }
        }
    }
}

fn end_of_input() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "standard input has ended")
}

/// The query of an address that a login ends at.
fn query_of(line: &str) -> Option<String> {
    let address = Url::parse(line.trim()).ok()?;
    let is_of_login = address.query_pairs().any(|(name, _)| matches!(name.as_ref(), "code" | "error" | "state"));
    address.query().filter(|_| is_of_login).map(str::to_owned)
}

fn instructions(errand: Errand, url: &Url, is_listening: bool) -> String {
    let what = match errand {
        Errand::Login => "Open this address in a private window of a browser, and log in:",
        Errand::Consent => "That brought no refresh token. Once more, with consent:",
        Errand::LoginAgain => "The last trial has ended the login. Once more:",
        Errand::Logout => "Open this address in the same browser, and log out:",
    };
    let then = match (errand, is_listening) {
        (Errand::Logout, _) => "Then press Enter here.",
        (Errand::Login | Errand::Consent | Errand::LoginAgain, true) => {
            "The browser comes back by itself. If it runs on another machine, copy the address that it ends at, and paste it here:"
        }
        (Errand::Login | Errand::Consent | Errand::LoginAgain, false) => {
            "It ends at the redirect URI, perhaps with an error page. Copy the whole address from its address bar, and paste it here:"
        }
    };
    format!("\n{what}\n\n  {url}\n\n{then}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_a_login_ends_at_is_told_from_any_other_text() {
        let cases = [
            (" https://app.test/oauth2/callback?code=c&state=s \n", Some("code=c&state=s")),
            ("http://localhost/cb?error=access_denied", Some("error=access_denied")),
            ("https://app.test/oauth2/callback", None),
            ("https://app.test/?x=1", None),
            ("code=c", None),
            ("", None),
        ];
        for (line, query) in cases {
            assert_eq!(query_of(line).as_deref(), query, "{line}");
        }
    }
}
