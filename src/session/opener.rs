//! By what a user recognises one of their sessions: the browser and the system, and the network address of the login.

use std::net::IpAddr;

/// What opened a session.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Opener {
    /// The browser and the system, as in `Firefox, Linux`, as far as `User-Agent` tells them. Both are names.
    pub browser: Option<String>,
    /// The client's address, if it is known.
    pub address: Option<IpAddr>,
}

impl Opener {
    /// The opener of a session whose login's `User-Agent` and address are these. Of the former no more is kept than two names.
    pub fn of(user_agent: Option<&str>, address: Option<IpAddr>) -> Self {
        Self { browser: user_agent.and_then(described), address }
    }
}

/// What browsers call themselves, the more particular ones first: nearly all call themselves Mozilla, Chrome and Safari too.
const BROWSERS: [(&str, &str); 12] = [
    ("Edg", "Edge"),
    ("OPR/", "Opera"),
    ("Vivaldi/", "Vivaldi"),
    ("SamsungBrowser/", "Samsung Internet"),
    ("YaBrowser/", "Yandex Browser"),
    ("Firefox/", "Firefox"),
    ("FxiOS/", "Firefox"),
    ("CriOS/", "Chrome"),
    ("Chromium/", "Chromium"),
    ("HeadlessChrome/", "Chrome"),
    ("Chrome/", "Chrome"),
    ("Safari/", "Safari"),
];

/// The same of systems. An iPad calls itself a Macintosh.
const SYSTEMS: [(&str, &str); 8] = [
    ("Windows", "Windows"),
    ("Android", "Android"),
    ("iPhone", "iOS"),
    ("iPad", "iPadOS"),
    ("CrOS", "ChromeOS"),
    ("Macintosh", "macOS"),
    ("Linux", "Linux"),
    ("BSD", "BSD"),
];

fn described(user_agent: &str) -> Option<String> {
    let named = |names: &[(&str, &'static str)]| names.iter().find(|(part, _)| user_agent.contains(part)).map(|(_, name)| *name);
    match (named(&BROWSERS), named(&SYSTEMS)) {
        (Some(browser), Some(system)) => Some(format!("{browser}, {system}")),
        (Some(one), None) | (None, Some(one)) => Some(one.to_owned()),
        (None, None) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_browser_is_described_by_two_names() {
        for (agent, name) in [
            ("Mozilla/5.0 (X11; Linux x86_64; rv:133.0) Gecko/20100101 Firefox/133.0", Some("Firefox, Linux")),
            (
                "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36 Edg/131.0.0.0",
                Some("Edge, Windows"),
            ),
            (
                "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.1 Mobile/15E148 Safari/604.1",
                Some("Safari, iOS"),
            ),
            (
                "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Mobile Safari/537.36",
                Some("Chrome, Android"),
            ),
            ("curl/8.11.0", None),
            ("", None),
            ("<script>Linux", Some("Linux")),
        ] {
            assert_eq!(described(agent).as_deref(), name, "{agent}");
        }
    }
}
