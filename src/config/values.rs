//! Parses values. Errors say what the value must be, without the value itself.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use ipnet::{IpNet, Ipv4Net};

use super::yaml::{self, Node};
use crate::{policy::ascii_domain, secret::Secret};

/// `true` or `false`, in the spellings that Go accepts, as Coder does.
pub(super) fn boolean(text: &str) -> Result<bool, String> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err("must be true or false".to_owned()),
    }
}

/// A duration like `1h30m`, `45s`, `30d` or `500ms`; `0` needs no unit.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || "must be a duration like 45s, 15m, 24h or 30d".to_owned();
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let mut rest = text;
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let is_number = |character: char| character.is_ascii_digit() || character == '.';
        let (number, tail) = rest.split_at(rest.find(|character| !is_number(character)).ok_or_else(wrong)?);
        let (unit, tail) = tail.split_at(tail.find(is_number).unwrap_or(tail.len()));
        let unit = match unit {
            "ns" => 1,
            "us" | "µs" | "μs" => 1_000,
            "ms" => 1_000_000,
            "s" => SECOND,
            "m" => 60 * SECOND,
            "h" => 3600 * SECOND,
            "d" => 86_400 * SECOND,
            "w" => 604_800 * SECOND,
            _ => return Err(wrong()),
        };
        let part = nanoseconds(number, unit).filter(|part| *part <= LONGEST).ok_or_else(wrong)?;
        total = total.checked_add(part).ok_or_else(wrong)?;
        rest = tail;
    }
    if text.is_empty() { Err(wrong()) } else { Ok(total) }
}

/// In nanoseconds.
const SECOND: u128 = 1_000_000_000;
/// A century, so that later arithmetic on times cannot overflow.
const LONGEST: Duration = Duration::from_secs(100 * 366 * 86_400);
/// The digits of a fraction that may matter, as Go has it.
const FRACTION_DIGITS: usize = 18;

/// A number of a unit (`1.5`), the unit in nanoseconds.
fn nanoseconds(number: &str, unit: u128) -> Option<Duration> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let has_digits = !whole.is_empty() || !fraction.is_empty();
    let digits = |text: &str| if text.is_empty() { Some(0) } else { text.parse::<u64>().ok().map(u128::from) };
    let whole = digits(whole).filter(|_| has_digits)?.checked_mul(unit)?;
    let fraction = fraction.get(..FRACTION_DIGITS.min(fraction.len()))?;
    let scale = 10_u128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
    let total = whole.checked_add(digits(fraction)?.checked_mul(unit)? / scale)?;
    u64::try_from(total).ok().map(Duration::from_nanos).or_else(|| {
        let seconds = u64::try_from(total / SECOND).ok()?;
        Some(Duration::from_secs(seconds))
    })
}

/// A limit; 0 is no limit.
pub(super) fn limit(text: &str) -> Result<Option<usize>, String> {
    match text.parse() {
        Ok(most @ 0..=1_000_000) => Ok(Some(most).filter(|most| *most > 0)),
        _ => Err("must be a whole number up to 1000000".to_owned()),
    }
}

/// A network, or one address. One of IPv4 that is written as IPv6 maps it (RFC 4291 section 2.5.5.2) is IPv4's, as addresses are that it
/// is compared with.
pub(super) fn network(text: &str) -> Option<IpNet> {
    let network = text.parse().ok().or_else(|| text.parse::<IpAddr>().map(IpNet::from).ok())?;
    let mapped = match network {
        IpNet::V4(_) => None,
        IpNet::V6(network) => network.addr().to_ipv4_mapped().zip(network.prefix_len().checked_sub(MAPPED_PREFIX)),
    };
    let canonical = mapped.and_then(|(address, length)| Ipv4Net::new(address, length).ok());
    Some(canonical.map_or(network, IpNet::V4))
}

/// The length of `::ffff:0:0/96`, in which addresses of IPv4 are mapped.
const MAPPED_PREFIX: u8 = 96;

/// Texts separated by commas; they are trimmed, and empty ones are left out. One in double quotes may have commas (RFC 4180), as in
/// Coder's lists, because groups of LDAP have them. What [`check_list`] does not take is read to its end as it stands.
pub(super) fn list(text: &str) -> Vec<String> {
    let mut members = Vec::new();
    let mut rest = Some(text);
    while let Some(text) = rest {
        let (member, tail) = quoted(text).unwrap_or_else(|| match text.split_once(',') {
            Some((member, tail)) => (member.trim().to_owned(), Some(tail)),
            None => (text.trim().to_owned(), None),
        });
        members.push(member);
        rest = tail;
    }
    members.retain(|member| !member.is_empty());
    members
}

/// The member in quotes at the beginning of a list, and what comes after its comma.
fn quoted(text: &str) -> Option<(String, Option<&str>)> {
    let mut rest = text.trim_start().strip_prefix('"')?;
    let mut member = String::new();
    loop {
        let (part, tail) = rest.split_once('"')?;
        member.push_str(part);
        match tail.strip_prefix('"') {
            Some(tail) => {
                member.push('"');
                rest = tail;
            }
            None if tail.trim().is_empty() => return Some((member, None)),
            None => return tail.trim_start().strip_prefix(',').map(|tail| (member, Some(tail))),
        }
    }
}

/// Checks that a list's quotes stand around whole members: a group with a stray quote is nobody's, and locks everybody out.
pub(super) fn check_list(text: &str) -> Result<(), String> {
    let mut rest = Some(text);
    while let Some(text) = rest {
        rest = match quoted(text) {
            Some((_, tail)) => tail,
            None => {
                let (member, tail) = text.split_once(',').map_or((text, None), |(member, tail)| (member, Some(tail)));
                if member.contains('"') {
                    let what = "must be texts separated by commas like one,two; one with a comma in it is in double quotes";
                    return Err(what.to_owned());
                }
                tail
            }
        };
    }
    Ok(())
}

/// A list as the text that [`list`] reads as these members.
pub(super) fn list_of(members: &[&str]) -> String {
    let written = |member: &&str| match member.contains([',', '"']) {
        true => format!("\"{}\"", member.replace('"', "\"\"")),
        false => (*member).to_owned(),
    };
    members.iter().map(written).collect::<Vec<_>>().join(",")
}

/// Domains in their one form.
pub(super) fn domains(members: &[String]) -> Result<Vec<String>, String> {
    let domains: Option<Vec<_>> = members.iter().map(|text| ascii_domain(text.trim_start_matches('@'))).collect();
    domains.ok_or_else(|| "must be domains like example.com".to_owned())
}

/// A map of texts, as JSON or YAML.
pub(super) fn map(text: &str) -> Result<BTreeMap<String, String>, String> {
    members_of(text, text_of)
        .ok_or_else(|| r#"must be a map of texts like {"prompt":"consent"} or {prompt: consent}, each key once"#.to_owned())
}

/// A map of lists of texts, likewise.
pub(super) fn map_of_lists(text: &str) -> Result<BTreeMap<String, Vec<String>>, String> {
    let list_of = |member| match member {
        Node::List(members) => members.into_iter().map(text_of).collect(),
        Node::Null | Node::Text(_) | Node::Map(_) => None,
    };
    members_of(text, list_of)
        .ok_or_else(|| r#"must be a map of lists like {"admins":["owner"]} or {admins: [owner]}, each key once"#.to_owned())
}

fn text_of(member: Node) -> Option<String> {
    match member {
        Node::Text(text) => Some(text),
        Node::Null | Node::List(_) | Node::Map(_) => None,
    }
}

fn members_of<T>(text: &str, read: impl Fn(Node) -> Option<T>) -> Option<BTreeMap<String, T>> {
    match yaml::parse(text) {
        Ok(Node::Map(members)) => members.into_iter().map(|(key, member)| Some((key, read(member)?))).collect(),
        Ok(Node::Null | Node::Text(_) | Node::List(_)) | Err(_) => None,
    }
}

/// A secret that programs send: long enough that it cannot be guessed, and with nothing in it that a header changes.
pub(super) fn long_secret(text: &str) -> Result<Secret, String> {
    let is_good = text.len() >= MIN_SECRET && text.bytes().all(|byte| byte.is_ascii_graphic());
    if is_good { Ok(Secret::new(text)) } else { Err("must be 32 characters or more, without spaces".to_owned()) }
}

/// The shortest secret that programs send.
const MIN_SECRET: usize = 32;

/// Where to listen. A port alone, as Go takes it, means all interfaces, and `localhost` is IPv4's loopback.
pub(super) fn address(text: &str) -> Result<SocketAddr, String> {
    let digits = |text: &&str| text.bytes().all(|digit| digit.is_ascii_digit());
    let port_of = |host: &str| text.strip_prefix(host)?.strip_prefix(':').filter(digits)?.parse::<u16>().ok();
    let everywhere = || port_of("").map(|port| SocketAddr::from((Ipv6Addr::UNSPECIFIED, port)));
    let here = || port_of("localhost").map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
    let address = text.parse().ok().or_else(everywhere).or_else(here);
    address.ok_or_else(|| "must be an IP address and a port like 0.0.0.0:3000, or a port like :3000".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_they_are_written() {
        let hour = Duration::from_secs(3600);
        for (text, expected) in [
            ("24h", 24 * hour),
            ("1h30m", hour * 3 / 2),
            ("30d", 720 * hour),
            ("24h0m0s", 24 * hour),
            ("500ms", Duration::from_millis(500)),
            ("0", Duration::ZERO),
            ("1.5h", hour * 3 / 2),
            ("0.5s", Duration::from_millis(500)),
            (".5h", hour / 2),
            ("1.h", hour),
            ("10us", Duration::from_micros(10)),
            ("10µs500ns", Duration::from_nanos(10_500)),
            ("36500d", 24 * 36500 * hour),
        ] {
            assert_eq!(duration(text), Ok(expected), "{text}");
        }
        for wrong in ["", "h", "10", "1x", "-1h", "1.5.5h", ".h", "1,5h", "99999999999999999999h", "9999999w", "1h x"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn an_address_may_be_a_port_alone() {
        for (text, expected) in [
            ("127.0.0.1:3000", "127.0.0.1:3000"),
            ("[::1]:3000", "[::1]:3000"),
            (":3000", "[::]:3000"),
            ("localhost:3000", "127.0.0.1:3000"),
        ] {
            assert_eq!(address(text), Ok(expected.parse().unwrap()), "{text}");
        }
        for wrong in ["", ":", "3000", "localhost", "localhost:", ":70000", "::3000", "app.example:3000", ":+3"] {
            assert!(address(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_member_in_quotes_may_have_commas_and_a_stray_quote_is_a_mistake() {
        for (text, members) in [
            (r#""CN=admins,OU=Groups,DC=x""#, &["CN=admins,OU=Groups,DC=x"][..]),
            (r#" "a,b" , c,"d""#, &["a,b", "c", "d"]),
            (r#""say ""hi""",x"#, &[r#"say "hi""#, "x"]),
            (r#""",x"#, &["x"]),
            ("one,two", &["one", "two"]),
            ("'self',[::1]:80", &["'self'", "[::1]:80"]),
        ] {
            assert_eq!(
                (check_list(text), list(text)),
                (Ok(()), members.iter().map(|member| (*member).to_owned()).collect()),
                "{text}"
            );
            assert_eq!(list(&list_of(members)), members, "{text}");
        }
        for wrong in [r#"["a","b"]"#, r#"["a"]"#, r#"a"b"#, r#""a"b,c"#, r#""a,b"#, r#"a,"b"#, r#"a,b""#, "\""] {
            assert!(check_list(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_network_of_ipv4_is_the_same_however_it_is_written() {
        for (text, expected) in [
            ("10.0.0.0/8", "10.0.0.0/8"),
            ("10.1.2.3", "10.1.2.3/32"),
            ("::ffff:127.0.0.0/104", "127.0.0.0/8"),
            ("::ffff:10.1.2.3", "10.1.2.3/32"),
            ("::ffff:0:0/96", "0.0.0.0/0"),
            ("::ffff:0:0/95", "::ffff:0:0/95"),
            ("::/0", "::/0"),
            ("fd00::/8", "fd00::/8"),
            ("::10.0.0.0/104", "::10.0.0.0/104"),
        ] {
            assert_eq!(network(text), Some(expected.parse().unwrap()), "{text}");
        }
        assert_eq!(network("10.0.0.0/33"), None);
    }

    #[test]
    fn lists_forgive_blanks() {
        assert_eq!(list(" openid, profile ,,email "), ["openid", "profile", "email"]);
        assert!(list(" , ").is_empty());
    }
}
