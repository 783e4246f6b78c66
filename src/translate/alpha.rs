//! The alpha configuration. What has a flag too becomes that option; apps, headers and parameters of the login URL are lists of their
//! own.

use super::{
    alpha_config::{FurtherProvider, Header, HeaderSource, Upstream},
    given::{Given, Precedence},
    options::{ALPHA, AlphaKey, AlphaMeaning, Meaning},
    result::Note,
    source_reader::SourceReader,
};
use crate::config::document::Node;

/// The keys at the top; the first four are nobody else's.
const TOP: [&str; 7] =
    ["upstreamconfig", "providers", "injectrequestheaders", "injectresponseheaders", "upstreams", "server", "metricsserver"];

/// Whether a document is an alpha configuration.
pub(super) fn is_alpha(node: &Node) -> bool {
    let Node::Map(members) = node else { return false };
    let names: Vec<String> = members.keys().map(|name| name.to_ascii_lowercase()).collect();
    !names.is_empty() && names.iter().all(|name| TOP.contains(&name.as_str()))
}

/// Whether a line begins a part of an alpha configuration that nothing else has.
pub(super) fn is_heading(line: &str) -> bool {
    line.split_once(':')
        .is_some_and(|(name, _)| TOP.iter().take(4).any(|top| name.trim_matches(['"', '\'']).eq_ignore_ascii_case(top)))
}

/// Reads one.
pub(super) fn read(reader: &mut SourceReader<'_>, name: &str, node: &Node) {
    let node = substituted(reader, name, node);
    let mut leaves = Vec::new();
    flatten(&node, "", "", &mut leaves);
    let mut further: Vec<FurtherProvider> = items(&node, "providers").enumerate().skip(1).map(further_provider(name)).collect();
    for leaf in leaves {
        let given = match leaf.provider().and_then(|at| further.get_mut(at.checked_sub(1)?)) {
            Some(provider) => &mut provider.given,
            None => &mut reader.read.given,
        };
        add(given, leaf, name);
    }
    let alpha = &mut reader.read.alpha;
    alpha.is_given = true;
    alpha.further_providers.append(&mut further);
    let config = member(&node, "upstreamConfig").unwrap_or(&node);
    alpha.upstreams.extend(
        items(config, "upstreams").enumerate().filter_map(|(at, item)| upstream(item, format!("upstreams[{at}] in {name}"))),
    );
    for (key, headers) in
        [("injectRequestHeaders", &mut alpha.request_headers), ("injectResponseHeaders", &mut alpha.response_headers)]
    {
        headers.extend(items(&node, key).filter_map(|item| header(item, name, key)));
    }
    alpha.login_parameters.extend(items(&node, "providers").take(1).flat_map(|provider| login_parameters(provider, name)));
}

/// Adds what a text of the document means.
fn add(given: &mut Given, leaf: Leaf, name: &str) {
    let origin = format!("{} in {name}", leaf.shown);
    match key_of(&leaf.path).map(|key| key.meaning) {
        Some(AlphaMeaning::Option(flag)) if leaf.value.contains("${") => {
            given.add_elsewhere(flag, &origin, "a variable that is not set here".to_owned(), Precedence::File);
        }
        Some(AlphaMeaning::Option(flag)) => given.add(flag, vec![leaf.value], &origin, Precedence::File),
        Some(AlphaMeaning::Own(Meaning::Becomes(_))) => {}
        Some(AlphaMeaning::Own(Meaning::NoEffect(why))) => given.notes.push(Note::info(&origin, no_effect(why))),
        Some(AlphaMeaning::Own(Meaning::Restriction(why) | Meaning::NoRestriction(why))) => {
            given.notes.push(Note::closing(&origin, why));
        }
        Some(AlphaMeaning::Own(Meaning::NoEquivalent(why))) => {
            if leaf.value != "false" {
                given.notes.push(Note::warning(&origin, format!("has no equivalent: {why}")));
            }
        }
        None => given.notes.push(Note::closing(
            &origin,
            "is no key of the alpha configuration of oauth2-proxy 7.15, and may restrict who enters",
        )),
    }
}

/// A provider after the first, without its options.
fn further_provider(name: &str) -> impl Fn((usize, &Node)) -> FurtherProvider {
    move |(at, provider)| FurtherProvider {
        origin: format!("providers[{at}] in {name}"),
        id: text(provider, "id"),
        given: Given::default(),
        login_parameters: login_parameters(provider, name).collect(),
    }
}

/// The parameters of a provider's login URL, with their values and where these were given.
fn login_parameters(provider: &Node, name: &str) -> impl Iterator<Item = (String, (String, String))> {
    items(provider, "loginURLParameters").filter_map(move |parameter| {
        let key = text(parameter, "name")?;
        let value = items(parameter, "default").find_map(as_text)?;
        let origin = format!("loginURLParameters.{key} in {name}");
        Some((key, (value, origin)))
    })
}

fn no_effect(why: &str) -> String {
    format!("has no effect here: {why}")
}

/// One text of the document.
struct Leaf {
    /// With `[]` for the members of lists, in lower case.
    path: String,
    /// With their numbers.
    shown: String,
    value: String,
}

impl Leaf {
    /// The number of the provider that it is of.
    fn provider(&self) -> Option<usize> {
        self.path.strip_prefix("providers[]")?;
        self.shown.split_once('[')?.1.split_once(']')?.0.parse().ok()
    }
}

fn flatten(node: &Node, path: &str, shown: &str, leaves: &mut Vec<Leaf>) {
    match node {
        Node::Null => {}
        Node::Text(value) => leaves.push(Leaf { path: path.to_owned(), shown: shown.to_owned(), value: value.clone() }),
        Node::List(members) => {
            for (at, member) in members.iter().enumerate() {
                flatten(member, &format!("{path}[]"), &format!("{shown}[{at}]"), leaves);
            }
        }
        Node::Map(members) => {
            for (name, member) in members {
                let dot = if path.is_empty() { "" } else { "." };
                flatten(member, &format!("{path}{dot}{}", name.to_ascii_lowercase()), &format!("{shown}{dot}{name}"), leaves);
            }
        }
    }
}

/// The key of a path, also in the layouts of older releases.
fn key_of(path: &str) -> Option<&'static AlphaKey> {
    let path =
        path.strip_prefix("upstreams[]").map_or_else(|| path.to_owned(), |rest| format!("upstreamconfig.upstreams[]{rest}"));
    let find = |path: &str| {
        ALPHA.iter().find(|key| {
            let key = key.path.to_ascii_lowercase();
            path.strip_prefix(&key).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        })
    };
    // Before 7.14 a value's source was not named.
    let of_source = |source: &str| find(&path.replacen(".values[].", &format!(".values[].{source}."), 1));
    find(&path).or_else(|| of_source("claimsource")).or_else(|| {
        let is_secret = [".value", ".fromenv", ".fromfile"].iter().any(|end| path.ends_with(end));
        of_source("secretsource").filter(|_| is_secret).or_else(|| {
            let parent = path.rsplit_once('.').map(|(parent, _)| parent)?.strip_suffix(".values[]")?;
            find(&format!("{parent}.values[].secretsource")).filter(|_| is_secret)
        })
    })
}

/// Puts the values of variables in, as in `${CLIENT_SECRET}`.
fn substituted(reader: &mut SourceReader<'_>, name: &str, node: &Node) -> Node {
    match node {
        Node::Null => Node::Null,
        Node::List(members) => Node::List(members.iter().map(|member| substituted(reader, name, member)).collect()),
        Node::Map(members) => {
            Node::Map(members.iter().map(|(key, member)| (key.clone(), substituted(reader, name, member))).collect())
        }
        Node::Text(text) => {
            let (mut whole, mut rest) = (String::new(), text.as_str());
            while let Some((before, variable, after)) =
                rest.split_once("${").and_then(|(before, rest)| rest.split_once('}').map(|(name, after)| (before, name, after)))
            {
                whole.push_str(before);
                let (variable, default) = variable.split_once(":-").unwrap_or((variable, ""));
                match reader.variables.get(variable) {
                    Some(value) => whole.push_str(value),
                    None if !default.is_empty() => whole.push_str(default),
                    None => {
                        let subject = format!("${{{variable}}} in {name}");
                        let message = "is a variable that is not set here; set it for this command, or fill its value in";
                        reader.read.given.notes.push(Note::warning(&subject, message));
                        whole.push_str(&format!("${{{variable}}}"));
                    }
                }
                rest = after;
            }
            whole.push_str(rest);
            Node::Text(whole)
        }
    }
}

/// A member by its name in any case.
fn member<'a>(node: &'a Node, name: &str) -> Option<&'a Node> {
    let Node::Map(members) = node else { return None };
    members.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, member)| member)
}

fn items<'a>(node: &'a Node, name: &str) -> impl Iterator<Item = &'a Node> {
    let list: &[Node] = match member(node, name) {
        Some(Node::List(members)) => members,
        Some(Node::Null | Node::Text(_) | Node::Map(_)) | None => &[],
    };
    list.iter()
}

fn as_text(node: &Node) -> Option<String> {
    match node {
        Node::Text(text) => Some(text.clone()),
        Node::Null | Node::List(_) | Node::Map(_) => None,
    }
}

fn text(node: &Node, name: &str) -> Option<String> {
    member(node, name).and_then(as_text)
}

fn upstream(node: &Node, origin: String) -> Option<Upstream> {
    let is = |name: &str, default: bool| text(node, name).map_or(default, |value| value == "true");
    let status = is("static", false).then(|| text(node, "staticCode").unwrap_or_else(|| "200".to_owned()));
    Some(Upstream {
        path: text(node, "path")?,
        address: text(node, "uri").unwrap_or_default(),
        status: status.and_then(|status| status.parse().ok()),
        rewrite: text(node, "rewriteTarget"),
        keeps_host: is("passHostHeader", true),
        timeout: text(node, "timeout"),
        origin,
    })
}

fn header(node: &Node, file: &str, list: &str) -> Option<Header> {
    let name = text(node, "name")?;
    let origin = format!("{list}.{name} in {file}");
    let values = items(node, "values").filter_map(|value| {
        let source = member(value, "claimSource").unwrap_or(value);
        if let Some(claim) = text(source, "claim") {
            let password = member(source, "basicAuthPassword").map(|password| text(password, "fromFile"));
            return Some(HeaderSource::Claim { claim, prefix: text(source, "prefix").unwrap_or_default(), password });
        }
        (member(value, "secretSource").is_some() || ["value", "fromFile", "fromEnv"].iter().any(|key| text(value, key).is_some()))
            .then_some(HeaderSource::Fixed)
    });
    Some(Header { name, values: values.collect(), origin })
}
